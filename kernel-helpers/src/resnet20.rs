//! ResNet for CIFAR-10 (He et al., 2015); the course's `resnet20.py`.

use crate::display::shows_itself;
use crate::fp_layers::{BatchNorm, FpConv, FpLinear, Ste};
use crate::ops::residual::{self, NormalizedConv, ResidualNetwork, Workspace};
use crate::quant::Quantization;
use crate::{Error, Network, Part, Result, Visitor, ops};
use candle_core::{Device, Module, Tensor};
use candle_nn::ModuleT;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Channels of the three stages.
const STAGES: [usize; 3] = [16, 32, 64];
const CLASSES: usize = 10;

/// What network to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResNetConfig {
    /// The depth, 6n + 2: three stages of n blocks of two convolutions, the head and the classifier.
    pub num_layers: usize,
    /// The bit width of the blocks' weights; `None` for floating point. Head and classifier are always float.
    pub n_bits: Option<u32>,
    /// Whether the quantization levels are symmetric to zero.
    pub symmetric: bool,
    /// The seed of the initial weights.
    pub seed: u64,
}

impl Default for ResNetConfig {
    /// ResNet-20 in floating point.
    fn default() -> Self {
        Self { num_layers: 20, n_bits: None, symmetric: false, seed: 0 }
    }
}

/// A residual network for 32 x 32 images. Input `[N, 3, 32, 32]`, output logits `[N, 10]`, f32.
#[derive(Clone, Debug)]
pub struct ResNetCifar {
    /// The head: a 3x3 convolution from 3 to 16 channels, batch norm, ReLU.
    pub head_conv: ConvBatchNorm,
    /// The residual blocks of the three stages.
    pub body_op: Vec<ResidualBlock>,
    /// The classifier on the pooled features, from 64 to 10.
    pub final_fc: FpLinear,
    device: Device,
    workspace: Workspace,
}

/// A convolution and its batch normalization.
#[derive(Clone, Debug)]
pub struct ConvBatchNorm {
    /// The convolution, without bias.
    pub conv: FpConv,
    /// The normalization of its output.
    pub norm: BatchNorm,
}

/// `relu(conv2(relu(conv1(x))) + skip(x))`, each convolution with its batch norm.
#[derive(Clone, Debug)]
pub struct ResidualBlock {
    /// 3x3, with the block's stride.
    pub conv1: ConvBatchNorm,
    /// 3x3, stride 1.
    pub conv2: ConvBatchNorm,
    /// The skip where the number of channels changes: 1x1 with the block's stride. The identity elsewhere.
    pub id_mapping: Option<ConvBatchNorm>,
}

impl ResNetCifar {
    /// A network with fresh weights, drawn from the configuration's seed.
    ///
    /// # Errors
    /// If the depth is not 6n + 2, or the tensors cannot be made on the device.
    pub fn new(config: ResNetConfig, device: &Device) -> Result<Self> {
        let blocks_per_stage = match config.num_layers {
            layers if layers >= 8 && layers % 6 == 2 => (layers - 2) / 6,
            layers => {
                return Err(Error::argument("num_layers", "6n + 2: 8, 14, 20, 32, 44, …", layers));
            }
        };
        let ste = Ste { n_bits: config.n_bits, symmetric: config.symmetric };
        ste.apply(&Tensor::zeros(1, candle_core::DType::F32, device)?)?; // an impossible bit width is refused here
        let mut make = Maker { rng: ChaCha8Rng::seed_from_u64(config.seed), device };
        let head_conv = make.conv_batch_norm((3, STAGES[0]), 3, 1, Ste::default())?;
        let mut body_op = Vec::new();
        let mut input = STAGES[0];
        for output in STAGES {
            for block in 0..blocks_per_stage {
                let stride = if block == 0 && output != STAGES[0] { 2 } else { 1 };
                body_op.push(make.block(input, output, stride, ste)?);
                input = output;
            }
        }
        let final_fc = FpLinear::new(input, CLASSES, Ste::default(), &mut make.rng, device)?;
        Ok(Self { head_conv, body_op, final_fc, device: device.clone(), workspace: Workspace::default() })
    }
}

/// Draws the layers one after the other from one generator.
struct Maker<'a> {
    rng: ChaCha8Rng,
    device: &'a Device,
}

impl Maker<'_> {
    fn conv_batch_norm(
        &mut self,
        channels: (usize, usize),
        kernel: usize,
        stride: usize,
        ste: Ste,
    ) -> Result<ConvBatchNorm> {
        let conv = FpConv::new(channels, kernel, stride, ste, &mut self.rng, self.device)?;
        Ok(ConvBatchNorm { conv, norm: BatchNorm::new(channels.1, self.device)? })
    }

    fn block(&mut self, input: usize, output: usize, stride: usize, ste: Ste) -> Result<ResidualBlock> {
        let conv1 = self.conv_batch_norm((input, output), 3, stride, ste)?;
        let conv2 = self.conv_batch_norm((output, output), 3, 1, ste)?;
        let id_mapping = match input == output {
            true => None,
            false => Some(self.conv_batch_norm((input, output), 1, stride, ste)?),
        };
        Ok(ResidualBlock { conv1, conv2, id_mapping })
    }
}

impl ModuleT for ConvBatchNorm {
    fn forward_t(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        self.norm.forward_t(&self.conv.forward(x)?, train)
    }
}

impl ModuleT for ResidualBlock {
    fn forward_t(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        let inner = ops::relu(&self.conv1.forward_t(x, train)?)?;
        let inner = self.conv2.forward_t(&inner, train)?;
        Ok(match &self.id_mapping {
            Some(mapping) => ops::add_relu(&inner, &mapping.forward_t(x, train)?)?,
            None => ops::add_relu(&inner, x)?,
        })
    }
}

impl ModuleT for ResNetCifar {
    /// On the CPU the whole network is one operation, which computes the same as the layers and is much faster.
    fn forward_t(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        match self.forward_fused(x, train)? {
            Some(logits) => Ok(logits),
            None => self.forward_layers(x, train),
        }
    }
}

impl ResNetCifar {
    /// [`ResNetCifar::forward_t`] layer by layer.
    fn forward_layers(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        let mut x = ops::relu(&self.head_conv.forward_t(x, train)?)?;
        for block in &self.body_op {
            x = block.forward_t(&x, train)?;
        }
        self.final_fc.forward(&ops::global_average_pool(&x)?)
    }

    /// [`ResNetCifar::forward_t`] through [`ops::residual`]; none where that does not apply.
    fn forward_fused(&self, x: &Tensor, train: bool) -> Result<Option<Tensor>> {
        let network = self.fused()?;
        if !train {
            return network.forward_eval(x);
        }
        let Some((logits, statistics)) = network.forward_train(x, &self.workspace)? else {
            return Ok(None);
        };
        for ((_, conv), statistics) in self.convolutions().iter().zip(&statistics) {
            conv.norm.track(statistics)?;
        }
        Ok(Some(logits))
    }

    /// The network with its weights quantized.
    fn fused(&self) -> Result<ResidualNetwork> {
        let blocks = self.body_op.iter().map(|block| {
            let mapping = block.id_mapping.as_ref().map(ConvBatchNorm::fused).transpose()?;
            Ok(residual::ResidualBlock { first: block.conv1.fused()?, second: block.conv2.fused()?, mapping })
        });
        Ok(ResidualNetwork {
            head: self.head_conv.fused()?,
            blocks: blocks.collect::<Result<_>>()?,
            fc_weight: self.final_fc.quantized_weight()?,
            fc_bias: self.final_fc.bias.as_tensor().clone(),
            eps: BatchNorm::EPS,
        })
    }
}

impl ConvBatchNorm {
    fn fused(&self) -> Result<NormalizedConv> {
        Ok(NormalizedConv {
            weight: self.conv.quantized_weight()?,
            stride: self.conv.stride,
            padding: self.conv.padding,
            norm_weight: self.norm.weight.as_tensor().clone(),
            norm_bias: self.norm.bias.as_tensor().clone(),
            running_mean: self.norm.running_mean.as_tensor().clone(),
            running_var: self.norm.running_var.as_tensor().clone(),
        })
    }
}

impl ResNetCifar {
    /// Every convolution with its batch norm, under the prefix of its checkpoint names.
    fn convolutions(&self) -> Vec<(String, &ConvBatchNorm)> {
        let mut convolutions = vec![("head_conv".to_owned(), &self.head_conv)];
        for (index, block) in self.body_op.iter().enumerate() {
            convolutions.push((format!("body_op.{index}.conv1"), &block.conv1));
            convolutions.push((format!("body_op.{index}.conv2"), &block.conv2));
            if let Some(mapping) = &block.id_mapping {
                convolutions.push((format!("body_op.{index}.id_mapping"), mapping));
            }
        }
        convolutions
    }
}

impl Part for ConvBatchNorm {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.part("0.conv", &self.conv);
        visitor.part("1", &self.norm);
    }
}

impl Part for ResidualBlock {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.part("conv1", &self.conv1);
        visitor.part("conv2", &self.conv2);
        visitor.unpruned_part("id_mapping", &self.id_mapping);
    }
}

impl Network for ResNetCifar {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.part("head_conv", &self.head_conv);
        visitor.part("body_op", &self.body_op);
        visitor.part("final_fc.linear", &self.final_fc);
    }

    fn device(&self) -> &Device {
        &self.device
    }

    /// `ResNet-20`, and the layers that are quantized: `ResNet-20, blocks of 4 bits`.
    fn description(&self) -> Option<String> {
        let in_block = |name: &str| name.starts_with("body_op");
        let of_convolution = |(name, conv): &(String, &ConvBatchNorm)| {
            (format!("{name}.0.conv.weight"), conv.conv.quantization.to_string())
        };
        let mut layers: Vec<_> = self.convolutions().iter().map(of_convolution).collect();
        layers.push(("final_fc.linear.weight".to_owned(), self.final_fc.quantization.to_string()));
        let float = Quantization::default().to_string();
        let blocks = layers
            .iter()
            .find(|(name, _)| in_block(name))
            .map_or(float.clone(), |(_, blocks)| blocks.clone());
        let regular =
            |(name, layer): &(String, String)| layer == if in_block(name) { &blocks } else { &float };
        let quantized = match layers.iter().all(regular) {
            true if blocks == float => String::new(),
            true => format!(", blocks of {blocks}"),
            false => layers.iter().map(|(name, layer)| format!(", {name} of {layer}")).collect(),
        };
        Some(format!("ResNet-{}{quantized}", 2 * self.body_op.len() + 2))
    }
}

shows_itself!(ResNetCifar);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resnet_20_has_the_papers_parameters_and_the_courses_names() {
        let net = ResNetCifar::new(ResNetConfig::default(), &Device::Cpu).unwrap();
        let parameters = net.named_parameters();
        let count: usize = parameters.iter().map(|(_, var)| var.elem_count()).sum();
        // 0.27 million in the paper, with parameter-free skips; the two 1x1 convolutions and their norms add 2,752.
        assert_eq!(count, 269_722 + 2_752);
        let names: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["head_conv.0.conv.weight", "body_op.3.id_mapping.1.bias", "final_fc.linear.weight"] {
            assert!(names.contains(&name), "{name}");
        }
        assert_eq!(net.prunable_layers().len(), 20);
        assert_eq!(net.prunable_layers()[1].0, "body_op.0.conv1.0");
    }

    #[test]
    fn the_description_tells_what_is_quantized() {
        let net = |n_bits, symmetric| {
            ResNetCifar::new(ResNetConfig { n_bits, symmetric, ..Default::default() }, &Device::Cpu).unwrap()
        };
        let description = |net: ResNetCifar| net.description().unwrap();
        assert_eq!(description(net(None, false)), "ResNet-20");
        assert_eq!(description(net(Some(4), true)), "ResNet-20, blocks of 4 bits, symmetric");
        assert_eq!(description(net(Some(1), true)), "ResNet-20, blocks of 1 bit, symmetric");
        let mut mixed = net(None, false);
        mixed.final_fc.quantize_with(Ste { n_bits: Some(8), symmetric: false }).unwrap();
        assert!(description(mixed).ends_with(", final_fc.linear.weight of 8 bits"));
    }

    #[test]
    fn the_output_is_one_row_of_logits_an_image() {
        let net =
            ResNetCifar::new(ResNetConfig { num_layers: 8, ..Default::default() }, &Device::Cpu).unwrap();
        let x = Tensor::zeros((2, 3, 32, 32), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert_eq!(net.forward_t(&x, false).unwrap().dims(), [2, 10]);
    }

    #[test]
    fn one_operation_computes_what_the_layers_do() {
        let config = ResNetConfig { num_layers: 8, n_bits: Some(4), ..Default::default() };
        let x = Tensor::randn(0f32, 1.0, (5, 3, 32, 32), &Device::Cpu).unwrap();
        for train in [true, false] {
            // The same seed gives the same weights.
            let nets = [(); 2].map(|()| ResNetCifar::new(config, &Device::Cpu).unwrap());
            let fused = nets[0].forward_fused(&x, train).unwrap().expect("the kernels apply");
            let layers = nets[1].forward_layers(&x, train).unwrap();
            assert_near(&fused, &layers);
            for ((name, fused), (_, layers)) in nets[0].named_buffers().iter().zip(nets[1].named_buffers()) {
                if !name.ends_with("num_batches_tracked") {
                    assert_near(fused, &layers);
                }
            }
            let gradients = [fused, layers].map(|y| y.sqr().unwrap().sum_all().unwrap().backward().unwrap());
            for ((_, fused), (_, layers)) in nets[0].named_parameters().iter().zip(nets[1].named_parameters())
            {
                assert_near(gradients[0].get(fused).unwrap(), gradients[1].get(&layers).unwrap());
            }
        }
    }

    fn assert_near(found: &Tensor, expected: &Tensor) {
        let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (found, expected) = (values(found), values(expected));
        let largest = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-4 * largest, "found {found}, expected {expected}");
        }
    }

    #[test]
    fn impossible_configurations_are_refused() {
        let new = |config| ResNetCifar::new(config, &Device::Cpu).unwrap_err().to_string();
        assert!(new(ResNetConfig { num_layers: 21, ..Default::default() }).contains("6n + 2"));
        assert!(new(ResNetConfig { n_bits: Some(40), ..Default::default() }).contains("n_bits"));
    }
}
