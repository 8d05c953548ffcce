//! A graph with values for its parameters.

use super::execute::{self, Workspace};
use super::layered::{self, Context, DTYPE, Statistics, check_images};
use super::operation::{Operation, Parameter, Start};
use super::plan::Plan;
use super::{Graph, Layer};
use crate::device::instruction_set;
use crate::fp_layers::{BatchNorm, FpConv, glorot, uniform};
use crate::network::layer_name;
use crate::quant::Quantization;
use crate::{Network, Part, Visitor};
use base::{Error, Result};
use candle_core::{Device, Tensor, Var};
use candle_nn::ModuleT;
use display::table::Table;
use display::{MimeBundle, Show, shows_itself};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::fmt;
use std::sync::Arc;

/// A network made from a [`Graph`]. Images `[N, C, H, W]` go in, f32. It can be trained, pruned, quantized, saved and
/// recorded; a clone shares its parameters.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let graph = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?;
/// let net = graph.build(0, &Device::Cpu)?;
/// let images = Tensor::zeros((4, 3, 32, 32), DType::F32, &Device::Cpu)?;
/// assert_eq!(net.forward_t(&images, false)?.dims(), [4, 10]);
/// let four_bits = net.quantized(|_| Ste { n_bits: Some(4), symmetric: false })?;
/// assert_eq!(four_bits.quantizers().len(), 2);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Model {
    pub(super) graph: Arc<Graph>,
    pub(super) layers: Vec<Tensors>,
    pub(super) device: Device,
    pub(super) seed: u64,
    pub(super) plan: Arc<Plan>,
    workspace: Workspace,
}

/// The values of a layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Tensors {
    /// In the order of [`Operation::parameters`].
    pub parameters: Vec<Var>,
    /// How the first of them is quantized.
    pub quantization: Quantization,
    pub norm: Option<BatchNorm>,
    /// How many training batches a dropout has seen: a scalar, i64.
    pub dropped: Option<Var>,
}

impl Graph {
    /// The network with fresh weights, see [`Model::new`].
    ///
    /// # Errors
    /// If a quantizer has an impossible bit width, or the tensors cannot be made on the device.
    pub fn build(self, seed: u64, device: &Device) -> Result<Model> {
        Model::new(self, seed, device)
    }
}

impl Model {
    /// The network with fresh weights, drawn from `seed` layer after layer: those of convolutions and linear layers
    /// from a normal distribution with standard deviation `sqrt(2 / (n + m))`, n and m the kernel's area times the
    /// output and input channels (Glorot and Bengio, 2010), their biases as in PyTorch.
    ///
    /// # Errors
    /// If a quantizer has an impossible bit width, or the tensors cannot be made on the device.
    pub fn new(graph: Graph, seed: u64, device: &Device) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut layers = Vec::new();
        for layer in &graph.layers {
            layers.push(Tensors::new(&graph, layer, &mut rng, device)?);
        }
        Ok(Self::of_parts(graph, layers, device, seed))
    }

    pub(super) fn of_parts(graph: Graph, layers: Vec<Tensors>, device: &Device, seed: u64) -> Self {
        let (plan, workspace) = (Arc::new(Plan::of(&graph)), Workspace::default());
        Self { graph: Arc::new(graph), layers, device: device.clone(), seed, plan, workspace }
    }

    /// What the network consists of.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The same parameters, in a network whose layers' weights are quantized otherwise: `quantizer` is asked with the
    /// name of each layer that has a weight. Learned parameters start with the weights as they are.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let net = lenet(10)?.build(0, &Device::Cpu)?;
    /// let mixed = net.quantized(|layer| Ste {
    ///     n_bits: Some(if layer.starts_with("conv") { 8 } else { 4 }),
    ///     symmetric: false,
    /// })?;
    /// let widths: Vec<String> = mixed.quantizers().into_iter().map(|(_, q)| q.to_string()).collect();
    /// assert_eq!(widths, ["8 bits", "8 bits", "4 bits", "4 bits", "4 bits"]);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If a quantizer's settings are not possible.
    pub fn quantized<Q: Into<Quantization>>(&self, quantizer: impl Fn(&str) -> Q) -> Result<Self> {
        let (mut graph, mut layers) = ((*self.graph).clone(), self.layers.clone());
        let weights = graph.layers.iter_mut().zip(&mut layers).filter(|(layer, _)| layer.has_weight());
        for (layer, tensors) in weights {
            layer.quantization = quantizer(&layer.name).into();
            tensors.quantize(layer)?;
        }
        Ok(Self { graph: Arc::new(graph), layers, ..self.clone() })
    }

    /// The same network with tensors of its own: what becomes of one does not touch the other. A clone shares them.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let net = lenet(10)?.build(0, &Device::Cpu)?;
    /// let pruned = net.copy()?;
    /// prune_layers(&pruned, 0.5)?;
    /// assert_eq!(sparsity(&net)?.total(), 0.0);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If a tensor cannot be copied.
    pub fn copy(&self) -> Result<Self> {
        let copy = Model::new((*self.graph).clone(), self.seed, &self.device)?;
        let tensors =
            |net: &Self| net.named_parameters().into_iter().chain(net.named_buffers()).collect::<Vec<_>>();
        for ((_, from), (_, to)) in tensors(self).iter().zip(tensors(&copy)) {
            to.set(&from.copy()?)?;
        }
        Ok(copy)
    }

    /// A convolution as a layer of its own, which shares the weight; by its name in [`Network::prunable_layers`] or in
    /// full.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let net = resnet_cifar(ResNetConfig::default())?.build(0, &Device::Cpu)?;
    /// let conv = net.conv("body_op.0.conv1.0")?;
    /// prune_by_percentage(&conv.weight, 0.5)?; // the network's own
    /// assert!((sparsity(&net)?.layers[1].fraction() - 0.5).abs() < 1e-3);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is no such convolution, or it has groups or a bias.
    pub fn conv(&self, name: &str) -> Result<FpConv> {
        let layers = self.graph.layers.iter().zip(&self.layers);
        let mut convolutions = layers.filter_map(|(layer, tensors)| match layer.operation {
            Operation::Conv { stride, padding, groups: 1, bias: false, .. } => {
                let weight = tensors.parameters[0].clone();
                let quantization = tensors.quantization.clone();
                Some((layer, FpConv { weight, quantization, stride, padding }))
            }
            _ => None,
        });
        let is_called =
            |layer: &Layer| layer.name == name || layer_name(&format!("{}.weight", layer.name)) == name;
        let found = convolutions.find(|(layer, _)| is_called(layer));
        let expected = "the name of a convolution without groups and bias";
        found.map(|(_, conv)| conv).ok_or_else(|| Error::argument("layer", expected, format!("`{name}`")))
    }

    /// All layers' parameters as they are used, their weights quantized.
    pub(super) fn quantized_parameters(&self) -> Result<Vec<Vec<Tensor>>> {
        let of_layer = |(layer, tensors): (&Layer, &Tensors)| {
            let mut parameters: Vec<Tensor> =
                tensors.parameters.iter().map(|var| var.as_tensor().clone()).collect();
            if layer.has_weight() {
                parameters[0] = tensors.quantization.apply(&parameters[0])?;
            }
            Ok(parameters)
        };
        self.graph.layers.iter().zip(&self.layers).map(of_layer).collect()
    }

    /// The seed of a layer's dropout in this step.
    fn dropout_seed(&self, at: usize) -> u64 {
        let step =
            self.layers[at].dropped.as_ref().and_then(|count| count.to_scalar::<i64>().ok()).unwrap_or(0);
        let mix = |a: u64, b: u64| (a ^ b).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        mix(mix(self.seed, at as u64 + 1), step as u64 + 1)
    }

    pub(super) fn context<'a>(
        &'a self,
        at: usize,
        parameters: &'a [Vec<Tensor>],
        train: bool,
    ) -> Context<'a> {
        let norm = self.layers[at].norm.as_ref();
        Context {
            train,
            parameters: &parameters[at],
            running: norm.map(|norm| [norm.running_mean.as_tensor(), norm.running_var.as_tensor()]),
            seed: if train { self.dropout_seed(at) } else { 0 },
        }
    }

    /// The output layer by layer, with the statistics of the batch norms in training.
    fn forward_layers(&self, x: &Tensor, train: bool) -> Result<(Tensor, Statistics)> {
        let parameters = self.quantized_parameters()?;
        layered::forward(&self.graph, x, |at| self.context(at, &parameters, train))
    }

    /// The output as one operation on the CPU; none elsewhere.
    fn forward_planned(&self, x: &Tensor, train: bool) -> Result<Option<(Tensor, Statistics)>> {
        if !x.device().is_cpu() || !self.device.is_cpu() || x.dtype() != DTYPE || x.elem_count() == 0 {
            return Ok(None);
        }
        let parameters = self.quantized_parameters()?.concat();
        let seeds = (0..self.layers.len()).map(|at| if train { self.dropout_seed(at) } else { 0 });
        let network = execute::Network {
            graph: self.graph.clone(),
            plan: self.plan.clone(),
            isa: instruction_set()?,
            seeds: seeds.collect(),
        };
        if train {
            return network.train(x, &parameters, &self.workspace).map(Some);
        }
        Ok(Some((network.evaluate(x, &parameters, &self.running())?, Vec::new())))
    }

    /// The running statistics of each batch norm's layer: mean and variance.
    pub(super) fn running(&self) -> Vec<Option<[Tensor; 2]>> {
        let running = |tensors: &Tensors| {
            let norm = tensors.norm.as_ref()?;
            Some([norm.running_mean.as_tensor().clone(), norm.running_var.as_tensor().clone()])
        };
        self.layers.iter().map(running).collect()
    }

    /// Moves the running statistics, and counts the batch.
    fn track(&self, statistics: Statistics) -> Result<()> {
        for (at, statistics) in statistics {
            let norm = self.layers[at].norm.as_ref();
            norm.map_or(Ok(()), |norm| norm.track(&statistics))?;
        }
        let counts = self.layers.iter().filter_map(|layer| layer.dropped.as_ref());
        counts.into_iter().try_for_each(|count| Ok(count.set(&(count.as_tensor() + 1.0)?)?))
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Model({}, {} parameters)", self.graph.title(), self.graph.parameters())
    }
}

impl Tensors {
    fn new(graph: &Graph, layer: &Layer, rng: &mut ChaCha8Rng, device: &Device) -> Result<Self> {
        let Some(&input) = layer.inputs.first() else { return Ok(Self::default()) };
        let input = graph.layers[input].shape;
        match layer.operation {
            Operation::BatchNorm => {
                let norm = BatchNorm::new(input.channels, device)?;
                let parameters = vec![norm.weight.clone(), norm.bias.clone()];
                Ok(Self { parameters, norm: Some(norm), ..Self::default() })
            }
            Operation::Dropout(_) => {
                let dropped = Some(Var::from_tensor(&Tensor::new(0i64, device)?)?);
                Ok(Self { dropped, ..Self::default() })
            }
            _ => {
                let parameters = layer.operation.parameters(&input).into_iter();
                let drawn = parameters.map(|parameter| draw(&parameter.start, parameter.shape, rng, device));
                let mut tensors = Self { parameters: drawn.collect::<Result<_>>()?, ..Self::default() };
                tensors.quantize(layer)?;
                Ok(tensors)
            }
        }
    }
}

impl Tensors {
    /// Begins to quantize the weight as the layer says. What is not possible is refused here.
    fn quantize(&mut self, layer: &Layer) -> Result<()> {
        if let Some(weight) = self.parameters.first().filter(|_| layer.has_weight()) {
            self.quantization = layer.quantization.started_on(weight)?;
            self.quantization.apply(weight)?;
        }
        Ok(())
    }
}

fn draw(start: &Start, shape: Vec<usize>, rng: &mut ChaCha8Rng, device: &Device) -> Result<Var> {
    match start {
        Start::Glorot { fans } => glorot(shape, *fans, rng, device),
        Start::Uniform { bound } => uniform(shape, *bound, rng, device),
        Start::Ones => Ok(Var::ones(shape, DTYPE, device)?),
        Start::Given(tensor) => Ok(Var::from_tensor(&tensor.to_device(device)?.to_dtype(DTYPE)?.copy()?)?),
    }
}

impl ModuleT for Model {
    /// On the CPU the whole network is one operation, which computes the same as the layers and is much faster.
    fn forward_t(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        check_images(x, self.graph.layers[0].shape)?;
        let (output, statistics) = match self.forward_planned(x, train)? {
            Some(planned) => planned,
            None => self.forward_layers(x, train)?,
        };
        if train {
            self.track(statistics)?;
        }
        Ok(output)
    }
}

impl Network for Model {
    fn visit(&self, visitor: &mut Visitor) {
        for (layer, tensors) in self.graph.layers.iter().zip(&self.layers) {
            let part =
                Named { names: self.graph.parameters_of(layer), tensors, has_weight: layer.has_weight() };
            match layer.pruned {
                true => visitor.part(&layer.name, &part),
                false => visitor.unpruned_part(&layer.name, &part),
            }
        }
    }

    fn nonzero_multiplications(&self) -> Option<usize> {
        self.multiplications_in_use().ok()
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn description(&self) -> Option<String> {
        Some(self.graph.description())
    }

    fn summary(&self) -> Table {
        self.graph.summary()
    }
}

/// A layer's tensors with their names.
struct Named<'a> {
    names: Vec<Parameter>,
    tensors: &'a Tensors,
    has_weight: bool,
}

impl Part for Named<'_> {
    fn visit(&self, visitor: &mut Visitor) {
        for (index, (parameter, var)) in self.names.iter().zip(&self.tensors.parameters).enumerate() {
            match self.has_weight && index == 0 {
                true => visitor.weight(&parameter.name, var, &self.tensors.quantization),
                false => visitor.parameter(&parameter.name, var),
            }
        }
        if let Some(norm) = &self.tensors.norm {
            visitor.buffer("running_mean", &norm.running_mean);
            visitor.buffer("running_var", &norm.running_var);
            visitor.buffer("num_batches_tracked", &norm.num_batches_tracked);
        }
        if let Some(count) = &self.tensors.dropped {
            visitor.buffer("num_batches_tracked", count);
        }
    }
}

impl Show for Model {
    /// The [`Network::summary`].
    fn forms(&self) -> MimeBundle {
        self.summary().forms()
    }
}

shows_itself!(Model);
