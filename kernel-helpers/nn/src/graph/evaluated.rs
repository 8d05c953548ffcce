//! A network as it is evaluated, layer by layer: what is needed to compute it elsewhere.

use super::layered;
use super::{Model, Operation, Shape};
use base::Result;
use candle_core::{DType, Tensor};

/// A layer of a network in evaluation.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::graph::{EvaluatedLayer, Operation};
///
/// let net = Graph::new("small", [3, 8, 8], |x| x.conv(4, 3).batch_norm().relu().global_average_pool().linear(2))?
///     .build(0, &Device::Cpu)?;
/// let layers: Vec<EvaluatedLayer> = net.evaluated_layers()?;
/// assert!(matches!(layers[1].operation, Operation::Conv { outputs: 4, kernel: 3, .. }));
/// assert_eq!(layers[1].weight.as_ref().unwrap().dims(), [4, 3, 3, 3]);
/// assert_eq!((layers[2].inputs.as_slice(), layers[2].affine.as_ref().unwrap()[0].dims()), (&[1][..], &[4][..]));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EvaluatedLayer {
    /// Its name, in which those of its parameters begin.
    pub name: String,
    /// What it does.
    pub operation: Operation,
    /// The places of the layers that go into it.
    pub inputs: Vec<usize>,
    /// The shape of what comes out of it.
    pub shape: Shape,
    /// The weight of a convolution `[O, I / groups, K, K]` or of a linear layer `[O, I]`, as it is used: quantized, if the
    /// layer quantizes it.
    pub weight: Option<Tensor>,
    /// Its bias `[O]`.
    pub bias: Option<Tensor>,
    /// Of a batch norm: scale and shift `[C]`, so that `y = scale · x + shift`.
    pub affine: Option<[Tensor; 2]>,
}

impl Model {
    /// The layers in an order in which each comes after what goes into it. The first is the input.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn evaluated_layers(&self) -> Result<Vec<EvaluatedLayer>> {
        let all = self.quantized_parameters()?;
        let mut layers = Vec::new();
        for (at, (layer, parameters)) in self.graph.layers.iter().zip(&all).enumerate() {
            let affine = match self.context(at, &all, false).running {
                Some([mean, variance]) => {
                    // In f64, as the square root of a small variance is rounded hard otherwise.
                    let wide = |tensor: &Tensor| tensor.detach().to_dtype(DType::F64);
                    let scale = (wide(&parameters[0])? / (wide(variance)? + layered::EPS)?.sqrt()?)?;
                    let shift = (wide(&parameters[1])? - (wide(mean)? * &scale)?)?;
                    Some([scale.to_dtype(layered::DTYPE)?, shift.to_dtype(layered::DTYPE)?])
                }
                None => None,
            };
            let has_weight = layer.has_weight();
            let parameter = |index: usize| parameters.get(index).filter(|_| has_weight).map(Tensor::detach);
            layers.push(EvaluatedLayer {
                name: layer.name.clone(),
                operation: layer.operation.clone(),
                inputs: layer.inputs.clone(),
                shape: layer.shape,
                weight: parameter(0),
                bias: parameter(1),
                affine,
            });
        }
        Ok(layers)
    }

    /// The multiplications by weights that are not zero, for one image. A weight that is quantized to zero is zero.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let net = lenet(10)?.build(0, &Device::Cpu)?;
    /// assert_eq!(net.multiplications_in_use()?, net.graph().multiplications());
    /// prune_layers(&net, 0.5)?;
    /// assert!(net.multiplications_in_use()?.abs_diff(net.graph().multiplications() / 2) < 1_000);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If a quantizer fails.
    pub fn multiplications_in_use(&self) -> Result<usize> {
        self.multiplications_by(&self.quantized_parameters()?)
    }

    /// The same with these parameters, layer by layer.
    pub(super) fn multiplications_by(&self, parameters: &[Vec<Tensor>]) -> Result<usize> {
        let mut sum = 0;
        for (layer, parameters) in
            self.graph.layers.iter().zip(parameters).filter(|(layer, _)| layer.has_weight())
        {
            let weights: Vec<f32> = parameters[0].flatten_all()?.to_vec1()?;
            let nonzero = weights.iter().filter(|weight| **weight != 0.0).count();
            // Each weight is used as often as any other.
            sum += self.graph.multiplications_of(layer) / weights.len().max(1) * nonzero;
        }
        Ok(sum)
    }

    /// The place of the layer whose output is the network's.
    pub fn output_layer(&self) -> usize {
        self.graph.output
    }

    /// What comes out of every layer for images `[N, C, H, W]`, in evaluation mode; of the input, the images.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let net = lenet(10)?.build(0, &Device::Cpu)?;
    /// let digits = Tensor::zeros((4, 1, 28, 28), DType::F32, &Device::Cpu)?;
    /// let outputs = net.layer_outputs(&digits)?;
    /// assert_eq!(outputs[1].dims(), [4, 6, 28, 28]);
    /// let difference = (&outputs[net.output_layer()] - net.forward_t(&digits, false)?)?.abs()?.max_all()?;
    /// assert!(difference.to_scalar::<f32>()? < 1e-5);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If the images do not fit the network, or a tensor operation fails.
    pub fn layer_outputs(&self, images: &Tensor) -> Result<Vec<Tensor>> {
        layered::check_images(images, self.graph.layers[0].shape)?;
        let parameters = self.quantized_parameters()?;
        Ok(layered::outputs(&self.graph, images, |at| self.context(at, &parameters, false))?.0)
    }
}
