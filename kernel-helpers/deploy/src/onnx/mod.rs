//! Networks for other engines, in the Open Neural Network Exchange format (ONNX).

mod builder;
mod floats;
mod integers;
mod proto;

#[cfg(test)]
mod tests;

use crate::IntegerNetwork;
use base::Result;
use base::files::write_whole;
use nn::graph::Model;
use prost::Message;
use proto::ModelProto;
use std::path::Path;

/// How a network of integers is written.
///
/// ```
/// use kernel_helpers::prelude::*;
/// assert!(!OnnxOptions::default().four_bits);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnnxOptions {
    /// Whether a weight whose integers have at most four bits takes half a byte for each. Only engines that know version 21 of
    /// the operators read such a file.
    pub four_bits: bool,
}

/// A network that other engines read, such as ONNX Runtime and OpenVINO. Its input `images` are `[N, C, H, W]`, normalized as
/// for the network that it was made of, its output is `logits`, `[N, K]`; N is any number.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let file = folder.path().join("lenet.onnx");
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// let onnx = OnnxModel::of(&net)?;
/// onnx.save(&file)?;
/// assert_eq!(std::fs::read(&file).unwrap(), onnx.to_bytes());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxModel(ModelProto);

impl OnnxModel {
    /// A network in floating point. Weights are those that it uses, quantized and pruned, under the names that they have in a
    /// checkpoint; a zero is written as one.
    ///
    /// # Errors
    /// If the network has a layer of one's own, or a quantizer fails.
    pub fn of(net: &Model) -> Result<Self> {
        floats::model(net).map(Self)
    }

    /// A network in integers, as `QuantizeLinear` and `DequantizeLinear` say it: weights of 8 bits with a scale for each output
    /// channel, activations of 8 bits, biases in floating point. It computes what [`IntegerNetwork::forward`] does, up to
    /// rounding: a sum that lies between two integers may become either.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// # let data = Cifar10::striped(64, 32);
    /// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
    /// #     .build(0, &Device::Cpu)?;
    /// let integers = IntegerNetwork::quantize(&net, &data, Calibration::default())?;
    /// let onnx = OnnxModel::of_integers(&integers, OnnxOptions::default());
    /// assert!(onnx.to_bytes().len() < 3_000);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn of_integers(net: &IntegerNetwork, options: OnnxOptions) -> Self {
        Self(integers::model(net, options))
    }

    /// The content of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }

    /// Writes the file, which appears whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_whole(path, &self.to_bytes())
    }
}
