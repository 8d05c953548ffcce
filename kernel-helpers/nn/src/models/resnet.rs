//! Residual networks for 32 x 32 images.

use crate::graph::{Graph, Node};
use crate::quant::Ste;
use base::{Error, Result};

/// Channels of the three stages.
const STAGES: [usize; 3] = [16, 32, 64];
const CLASSES: usize = 10;

/// What residual network to describe.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let config = ResNetConfig { num_layers: 8, n_bits: Some(4), ..Default::default() };
/// let net = resnet_cifar(config)?.build(0, &Device::Cpu)?;
/// assert!(net.quantizers().iter().all(|(_, quantization)| quantization.to_string() == "4 bits"));
/// assert_eq!(net.quantizers().len(), 8); // all convolutions but the head's
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResNetConfig {
    /// The depth, 6n + 2: three stages of n blocks of two convolutions, the head and the classifier.
    pub num_layers: usize,
    /// The bit width of the blocks' weights; `None` for floating point. Head and classifier are always float.
    pub n_bits: Option<u32>,
    /// Whether the quantization levels are symmetric to zero.
    pub symmetric: bool,
}

impl Default for ResNetConfig {
    /// ResNet-20 in floating point.
    fn default() -> Self {
        Self { num_layers: 20, n_bits: None, symmetric: false }
    }
}

/// ResNet for CIFAR-10 (He et al., 2015) with the parameter names of the course's `resnet20.py`: images `[3, 32, 32]`,
/// 10 classes.
///
/// ```
/// # use kernel_helpers::models::{ResNetConfig, resnet_cifar};
/// assert_eq!(resnet_cifar(ResNetConfig::default())?.parameters(), 272_474);
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If the depth is not 6n + 2.
pub fn resnet_cifar(config: ResNetConfig) -> Result<Graph> {
    let blocks_per_stage = match config.num_layers {
        layers if layers >= 8 && layers % 6 == 2 => (layers - 2) / 6,
        layers => return Err(Error::argument("num_layers", "6n + 2: 8, 14, 20, 32, 44, …", layers)),
    };
    let title = format!("ResNet-{}", config.num_layers);
    let weights = Ste { n_bits: config.n_bits, symmetric: config.symmetric };
    residual(&title, blocks_per_stage, STAGES, weights)
}

/// The wide residual network WRN-`depth`-`width` (Zagoruyko and Komodakis, 2016), in its widths, on the blocks of
/// [`resnet_cifar`]; the depth is 6n + 4.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let graph = wide_resnet(16, 4)?;
/// assert_eq!((graph.title(), graph.parameters()), ("WRN-16-4", 2_749_786));
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If the depth is not 6n + 4, or the width is 0.
pub fn wide_resnet(depth: usize, width: usize) -> Result<Graph> {
    if depth < 10 || depth % 6 != 4 || width == 0 {
        let found = format!("{depth} and {width}");
        return Err(Error::argument("depth and width", "6n + 4 (10, 16, 22, …) and at least 1", found));
    }
    residual(
        &format!("WRN-{depth}-{width}"),
        (depth - 4) / 6,
        STAGES.map(|channels| channels * width),
        Ste::default(),
    )
}

fn residual(title: &str, blocks_per_stage: usize, stages: [usize; 3], weights: Ste) -> Result<Graph> {
    Graph::new(title, [3, 32, 32], |images| {
        let mut x = images.within("head_conv", |x| unit(&x, 16, 3, 1, Ste::default())).relu();
        let blocks =
            stages.iter().flat_map(|&channels| (0..blocks_per_stage).map(move |block| (channels, block)));
        for (index, (channels, block)) in blocks.enumerate() {
            let stride = if block == 0 && channels != stages[0] { 2 } else { 1 };
            x = x.within(&format!("body_op.{index}"), |x| residual_block(&x, channels, stride, weights));
        }
        x.global_average_pool().linear(CLASSES).named("final_fc.linear")
    })
}

/// `relu(conv2(relu(conv1(x))) + skip(x))`, each convolution with its batch norm; the skip is a 1x1 convolution where
/// the number of channels changes.
fn residual_block(x: &Node, channels: usize, stride: usize, weights: Ste) -> Node {
    let inner = x.within("conv1", |x| unit(&x, channels, 3, stride, weights)).relu();
    let inner = inner.within("conv2", |x| unit(&x, channels, 3, 1, weights));
    let skip = match x.channels() == channels {
        true => x.clone(),
        false => x.within("id_mapping", |x| mapping(&x, channels, stride, weights)),
    };
    (inner + skip).relu()
}

/// The skip's convolution, which pruning leaves alone, as the course does.
fn mapping(x: &Node, channels: usize, stride: usize, weights: Ste) -> Node {
    let x = x.conv(channels, 1).stride(stride).quantized(weights).not_pruned();
    x.named("0.conv").batch_norm().named("1")
}

/// A convolution and its batch norm.
fn unit(x: &Node, channels: usize, kernel: usize, stride: usize, weights: Ste) -> Node {
    x.conv(channels, kernel).stride(stride).quantized(weights).named("0.conv").batch_norm().named("1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Network;
    use candle_core::Device;

    #[test]
    fn resnet_20_has_the_papers_parameters_and_the_courses_names() {
        let net = resnet_cifar(ResNetConfig::default()).unwrap().build(0, &Device::Cpu).unwrap();
        // 0.27 million in the paper, with parameter-free skips; the two 1x1 convolutions and their norms add 2,752.
        assert_eq!(net.graph().parameters(), 269_722 + 2_752);
        let names: Vec<String> = net.named_parameters().into_iter().map(|(name, _)| name).collect();
        for name in ["head_conv.0.conv.weight", "body_op.3.id_mapping.1.bias", "final_fc.linear.weight"] {
            assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
        }
        assert_eq!(net.prunable_layers().len(), 20);
        assert_eq!(net.prunable_layers()[1].0, "body_op.0.conv1.0");
    }

    #[test]
    fn impossible_configurations_are_refused() {
        let message = |graph: Result<Graph>| graph.unwrap_err().to_string();
        assert!(
            message(resnet_cifar(ResNetConfig { num_layers: 21, ..Default::default() })).contains("6n + 2")
        );
        assert!(message(wide_resnet(17, 4)).contains("6n + 4"));
        let config = ResNetConfig { n_bits: Some(40), ..Default::default() };
        let refused = resnet_cifar(config).unwrap().build(0, &Device::Cpu);
        assert!(refused.unwrap_err().to_string().contains("n_bits"));
    }
}
