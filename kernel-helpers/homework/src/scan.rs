//! What a checkpoint gives without training: the homework's deterministic results in one record.

use base::{Error, Result};
use candle_core::Device;
use nn::Network;
use nn::checkpoint::Weights;
use nn::data::Data;
use nn::models::{ResNetConfig, resnet_cifar};
use nn::prune::{PruneScope, sparsity};
use runs::machine::Machine;
use runs::{Examples, test};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// The percentages that the homework prunes by, as fractions.
pub const SPARSITIES: [f64; 5] = [0.2, 0.4, 0.6, 0.7, 0.8];
/// The bit widths that the homework quantizes to.
pub const BIT_WIDTHS: [u32; 5] = [6, 5, 4, 3, 2];

/// What is done to the loaded weights before the test.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
///
/// let cases = Case::all();
/// assert_eq!((cases.len(), cases[0]), (21, Case::Float));
/// assert_eq!(cases[20].to_string(), "symmetric, 2 bits");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "case", rename_all = "lowercase")]
pub enum Case {
    /// Nothing.
    Float,
    /// One-shot pruning.
    Prune {
        /// Which weights are ranked together.
        scope: PruneScope,
        /// The share that becomes zero, from 0 to 1.
        q: f64,
    },
    /// Quantization of the blocks.
    Quantize {
        /// Where the levels lie.
        mode: Mode,
        /// The bit width.
        bits: u32,
    },
}

/// Where the levels of a quantizer lie.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
///
/// let case = |mode| Case::Quantize { mode, bits: 4 }.to_string();
/// assert_eq!([Mode::Asymmetric, Mode::Symmetric].map(case), ["asymmetric, 4 bits", "symmetric, 4 bits"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// From the smallest weight to the largest.
    Asymmetric,
    /// Symmetric to zero.
    Symmetric,
}

/// One case and how the network fares in it.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
/// use kernel_helpers::prelude::*;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let weights = folder.path().join("resnet20.safetensors");
/// # resnet_cifar(ResNetConfig::default())?.build(0, &Device::Cpu)?.save_weights(&weights)?;
/// # let data = Cifar10::striped(8, 8);
/// let case = Case::Prune { scope: PruneScope::Layer, q: 0.8 };
/// let result = case.test(&weights, &data, &Device::Cpu)?;
/// assert!((result.sparsity - 0.8).abs() < 0.01 && result.accuracy <= 1.0);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    /// The case.
    #[serde(flatten)]
    pub case: Case,
    /// The share of test images classified correctly, from 0 to 1.
    pub accuracy: f64,
    /// Cross-entropy, the mean over the batches of 100 images.
    pub loss: f64,
    /// The share of zeros among the prunable weights, from 0 to 1.
    pub sparsity: f64,
}

/// All cases of one checkpoint, with what is needed to trust and repeat them; `cargo lab scan --json` prints it.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
/// use kernel_helpers::prelude::*;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let weights = folder.path().join("resnet20.safetensors");
/// # resnet_cifar(ResNetConfig::default())?.build(0, &Device::Cpu)?.save_weights(&weights)?;
/// # let data = Cifar10::striped(8, 8);
/// let result = Case::Float.test(&weights, &data, &Device::Cpu)?;
/// let scan = Scan::of(vec![result.clone()], &weights, &data, &Device::Cpu)?;
/// assert_eq!(scan.accuracy(Case::Float), Some(result.accuracy));
/// assert!(scan.remark().starts_with("resnet20.safetensors: recorded on "));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    /// The day on which it was made (UTC), such as `2026-11-23`.
    pub made_on: String,
    /// What it was computed on.
    pub machine: Machine,
    /// The version of the helpers.
    pub version: String,
    /// The checkpoint's file.
    pub checkpoint: Weights,
    /// The images that were tested.
    pub test_images: Examples,
    /// What has to be said of these numbers, such as that they come from a subset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The cases, in the homework's order.
    pub results: Vec<CaseResult>,
}

impl Case {
    /// All cases, in the homework's order.
    pub fn all() -> Vec<Case> {
        let prune = |scope| SPARSITIES.map(|q| Case::Prune { scope, q });
        let quantize = |mode| BIT_WIDTHS.map(|bits| Case::Quantize { mode, bits });
        let pruned = [PruneScope::Layer, PruneScope::Global].into_iter().flat_map(prune);
        let quantized = [Mode::Asymmetric, Mode::Symmetric].into_iter().flat_map(quantize);
        [Case::Float].into_iter().chain(pruned).chain(quantized).collect()
    }

    /// Loads the weights into a ResNet-20 and tests it in this case.
    ///
    /// # Errors
    /// If the weights are not a ResNet-20's, or a tensor operation fails.
    pub fn test(self, weights: &Path, data: &Data, device: &Device) -> Result<CaseResult> {
        let (n_bits, symmetric) = match self {
            Case::Quantize { mode, bits } => (Some(bits), mode == Mode::Symmetric),
            Case::Float | Case::Prune { .. } => (None, false),
        };
        let net = resnet_cifar(ResNetConfig { n_bits, symmetric, ..Default::default() })?.build(0, device)?;
        net.load_weights(weights)?;
        let sparsity = match self {
            Case::Prune { scope, q } => scope.prune(&net, q)?,
            Case::Float | Case::Quantize { .. } => sparsity(&net)?,
        };
        let result = test(&net, data)?;
        Ok(CaseResult {
            case: self,
            accuracy: result.accuracy,
            loss: result.loss,
            sparsity: sparsity.total(),
        })
    }
}

impl Scan {
    /// A record of these results, made now and here.
    ///
    /// # Errors
    /// If the checkpoint cannot be read.
    pub fn of(results: Vec<CaseResult>, weights: &Path, data: &Data, device: &Device) -> Result<Self> {
        Ok(Self {
            made_on: chrono::Utc::now().date_naive().to_string(),
            machine: Machine::here(device)?,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            checkpoint: Weights::of(weights)?,
            test_images: Examples::of(&*data.test),
            note: data.note().map(str::to_owned),
            results,
        })
    }

    /// Reads a record.
    ///
    /// # Errors
    /// If the file cannot be read or holds something else.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        const HELP: &str = "Make it anew: cargo lab scan --weights FILE --json.";
        let path = path.as_ref();
        let json = std::fs::read_to_string(path).map_err(|e| Error::io(path, e, HELP))?;
        serde_json::from_str(&json).map_err(|e| Error::file(path, "the record of a scan", e, HELP))
    }

    /// The test accuracy in a case, from 0 to 1; `None` if the case was not tested.
    pub fn accuracy(&self, case: Case) -> Option<f64> {
        self.results.iter().find(|result| result.case == case).map(|result| result.accuracy)
    }

    /// What a table or figure has to say of these numbers: the file, the images, and when it was.
    pub fn remark(&self) -> String {
        let (file, images, day) = (&self.checkpoint.file, self.test_images.count, &self.made_on);
        format!("{file}: recorded on {day}, {images} test images")
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Case::Float => write!(f, "float"),
            Case::Prune { scope: PruneScope::Layer, q } => write!(f, "pruned per layer, q = {q}"),
            Case::Prune { scope: PruneScope::Global, q } => write!(f, "pruned globally, q = {q}"),
            Case::Quantize { mode: Mode::Asymmetric, bits } => write!(f, "asymmetric, {bits} bits"),
            Case::Quantize { mode: Mode::Symmetric, bits } => write!(f, "symmetric, {bits} bits"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_the_disk_and_knows_its_cases() {
        let result = |case| CaseResult { case, accuracy: 0.9151, loss: 0.1 + 0.2, sparsity: 0.8 };
        let scan = Scan {
            made_on: "2026-11-23".to_owned(),
            machine: Machine::here(&Device::Cpu).unwrap(),
            version: "1".to_owned(),
            checkpoint: Weights { file: "a.pt".to_owned(), bytes: 3, sha256: "00".to_owned() },
            test_images: Examples { count: 100, sha256: "11".to_owned(), preparation: None },
            note: None,
            results: Case::all().into_iter().take(12).map(result).collect(),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.scan.json");
        std::fs::write(&path, serde_json::to_string_pretty(&scan).unwrap()).unwrap();
        assert_eq!(Scan::load(&path).unwrap(), scan);
        let quantized = |mode| scan.accuracy(Case::Quantize { mode, bits: 6 });
        assert_eq!((quantized(Mode::Asymmetric), quantized(Mode::Symmetric)), (Some(0.9151), None));
        assert_eq!(scan.remark(), "a.pt: recorded on 2026-11-23, 100 test images");
        std::fs::write(&path, "[]").unwrap();
        assert!(Scan::load(&path).unwrap_err().to_string().contains("a.scan.json"));
    }
}
