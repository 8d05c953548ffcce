//! Networks with prepared weights.

use super::Model;
use super::execute::{Network, Ready};
use super::layered::{DTYPE, check_images};
use crate::Predictor;
use crate::device::instruction_set;
use base::{Error, Result};
use candle_core::{Module, Tensor};
use std::fmt;

/// A network as it is now, ready to be evaluated often: its weights are quantized and brought into the form of the kernels
/// once. For one image at a time that is most of the work. Convolutions leave out blocks of zeros, of 16 output channels each,
/// where most of a weight is such; other zeros are multiplied with.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// let ready = net.prepared()?;
/// let digits = Tensor::ones((2, 1, 28, 28), DType::F32, &Device::Cpu)?;
/// assert_eq!(ready.forward(&digits)?.to_vec2::<f32>()?, net.forward_t(&digits, false)?.to_vec2::<f32>()?);
/// # Ok::<(), Error>(())
/// ```
pub struct PreparedModel {
    model: Model,
    ready: Ready,
    multiplications: usize,
}

impl Model {
    /// The network as it is now, in evaluation mode, on the CPU. What is trained afterwards does not change it.
    ///
    /// # Errors
    /// If the network is on another device, or a quantizer fails.
    pub fn prepared(&self) -> Result<PreparedModel> {
        if !self.device.is_cpu() {
            return Err(Error::argument(
                "the network's device",
                "the CPU",
                format!("{:?}", self.device.location()),
            ));
        }
        let quantized = self.quantized_parameters()?;
        let (multiplications, parameters) = (self.multiplications_by(&quantized)?, quantized.concat());
        let network = Network {
            graph: self.graph.clone(),
            plan: self.plan.clone(),
            isa: instruction_set()?,
            seeds: vec![0; self.layers.len()],
        };
        Ok(PreparedModel {
            ready: Ready::new(network, &parameters, &self.running())?,
            model: self.clone(),
            multiplications,
        })
    }
}

impl Module for PreparedModel {
    /// The output for images `[N, C, H, W]`, without a way back for gradients.
    fn forward(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        check_images(images, self.model.graph.layers[0].shape)?;
        if images.elem_count() == 0 || images.dtype() != DTYPE || !images.device().is_cpu() {
            let expected = format!("at least one image, {DTYPE:?} on the CPU");
            let found =
                format!("{:?}, {:?} on {:?}", images.dims(), images.dtype(), images.device().location());
            return Err(Error::argument("the network's input", expected, found).into());
        }
        Ok(self.ready.evaluate(images)?)
    }
}

impl Predictor for PreparedModel {
    fn logits(&self, images: &Tensor) -> Result<Tensor> {
        Ok(self.forward(images)?)
    }

    fn multiplications(&self) -> Option<usize> {
        Some(self.multiplications)
    }
}

impl fmt::Debug for PreparedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PreparedModel({:?})", self.model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;
    use crate::models::*;
    use crate::ops::testing::random;
    use crate::prune::{Block, Pruning};
    use candle_core::Device;
    use candle_nn::ModuleT;

    #[test]
    fn one_image_among_threads_has_the_bits_that_it_has_in_a_batch() {
        let resnet = resnet_cifar(ResNetConfig::default());
        // Odd sizes, and strides that leave rows over.
        let odd = Graph::new("odd", [3, 61, 53], |x| {
            let x = x.conv(32, 5).padding(1).batch_norm().relu();
            let y = x.conv(48, 3).stride(2).batch_norm() + x.conv(48, 1).stride(2).batch_norm();
            let x = y.relu();
            let x = x.conv(64, 4).stride(3).padding(2).relu() + x.conv(64, 2).stride(3).padding(1);
            x.conv(64, 3).padding(0).relu().global_average_pool().linear(10)
        });
        for graph in [resnet, wide_resnet(10, 1), vgg(10), mobilenet(10), odd].map(Result::unwrap) {
            let net = graph.build(0, &Device::Cpu).unwrap();
            let ready = net.prepared().unwrap();
            let images = random(&net.graph().input_shape().of_batch(2), 1);
            let batch: Vec<Vec<f32>> = net.forward_t(&images, false).unwrap().to_vec2().unwrap();
            for threads in [1, 2, 3, 16] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                for (at, expected) in batch.iter().enumerate() {
                    let image = images.narrow(0, at, 1).unwrap();
                    let output = pool.install(|| ready.forward(&image)).unwrap();
                    assert_eq!(&output.to_vec2::<f32>().unwrap()[0], expected, "{net:?}, {threads} threads");
                }
            }
        }
    }

    #[test]
    fn blocks_of_zeros_are_left_out() {
        let net = vgg(10).unwrap().build(0, &Device::Cpu).unwrap();
        Pruning::new(0.8, 1).granularity(Block { rows: 16, columns: 1 }).prune(&net, 1, None).unwrap();
        let images = random(&[3, 3, 32, 32], 1);
        (0..20).for_each(|_| drop(net.forward_t(&images, true).unwrap())); // so that its output tells images apart
        let ready = net.prepared().unwrap();
        let (sparse, dense) = (ready.forward(&images).unwrap(), net.forward_t(&images, false).unwrap());
        let difference = (&sparse - &dense).unwrap().abs().unwrap().max_all().unwrap();
        let difference = difference.to_scalar::<f32>().unwrap();
        // Winograd's way of adding rounds otherwise.
        assert!(0.0 < difference && difference < 1e-4, "{difference}");
        let alone = ready.forward(&images.narrow(0, 1, 1).unwrap()).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(alone[0], sparse.to_vec2::<f32>().unwrap()[1]);
    }
}
