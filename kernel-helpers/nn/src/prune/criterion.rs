//! What makes a weight matter.

use crate::quant::{Quantizer, Ste};
use base::digest::sha256;
use base::{Error, Result};
use candle_core::Tensor;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Tells how much a weight matters.
///
/// ```
/// use kernel_helpers::prelude::*;
/// /// The magnitude over the layer's mean: layers of small weights do not go first.
/// struct Relative;
///
/// impl Criterion for Relative {
///     fn scores(&self, layer: &LayerToPrune) -> Result<Tensor> {
///         let magnitudes = layer.weight.abs()?;
///         Ok(magnitudes.broadcast_div(&magnitudes.mean_all()?)?)
///     }
///     fn description(&self) -> String {
///         "magnitude over the layer's mean".to_owned()
///     }
/// }
///
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// let pruning = Pruning::new(0.5, 1).criterion(Relative).scope(PruneScope::Global);
/// assert!((pruning.prune(&net, 1, None)?.total() - 0.5).abs() < 1e-3);
/// # Ok::<(), Error>(())
/// ```
pub trait Criterion: Send + Sync {
    /// A score for each weight, of the layer's shape; f32. The weights of the lowest scores go first, after those that
    /// are zero already.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn scores(&self, layer: &LayerToPrune) -> Result<Tensor>;

    /// Whether the scores need the gradients of a batch.
    fn needs_gradients(&self) -> bool {
        false
    }

    /// The criterion and its settings in words. It is a part of a run's identity.
    fn description(&self) -> String;
}

/// A layer whose weights are to be scored.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let weight = Tensor::new(&[0.5f32, -2.0], &Device::Cpu)?;
/// let layer = LayerToPrune { name: "linear1", weight: &weight, gradient: None };
/// assert_eq!(Magnitude.scores(&layer)?.to_vec1::<f32>()?, [0.5, 2.0]);
/// assert!(layer.gradient().unwrap_err().to_string().starts_with("gradients of linear1"));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LayerToPrune<'a> {
    /// The layer's name in [`Network::prunable_layers`](crate::Network::prunable_layers).
    pub name: &'a str,
    /// Its weight.
    pub weight: &'a Tensor,
    /// The gradient of the loss on a batch by the weight, if [`Criterion::needs_gradients`].
    pub gradient: Option<&'a Tensor>,
}

impl LayerToPrune<'_> {
    /// The gradient.
    ///
    /// # Errors
    /// If there is none.
    pub fn gradient(&self) -> Result<&Tensor> {
        let expected = "those of a loss that depends on the layer (Trainer::gradients)";
        self.gradient.ok_or_else(|| Error::argument(format!("gradients of {}", self.name), expected, "none"))
    }
}

/// The magnitude `|w|` (Han et al., 2015).
///
/// ```
/// use kernel_helpers::prelude::*;
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// let largest = |weights: Vec<f64>| weights.into_iter().map(f64::abs).fold(0.0, f64::max);
/// let before = largest(net.layer_weights("linear1")?);
/// Pruning::new(0.9, 1).criterion(Magnitude).prune(&net, 1, None)?;
/// assert_eq!(largest(net.layer_weights("linear1")?), before);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Magnitude;

impl Criterion for Magnitude {
    fn scores(&self, layer: &LayerToPrune) -> Result<Tensor> {
        Ok(layer.weight.abs()?)
    }

    fn description(&self) -> String {
        "magnitude".to_owned()
    }
}

/// The magnitude of the quantized weight, which is all that a quantized model has. Weights on one level are equal, and
/// which of them go first is drawn from the layer's name, so that any sparsity can be reached.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let weight = Tensor::new(&[-3f32, -0.9, 1.1, 3.0], &Device::Cpu)?;
/// let layer = LayerToPrune { name: "linear1", weight: &weight, gradient: None };
/// let two_bits = QuantizedMagnitude { quantizer: Ste { n_bits: Some(2), symmetric: false } };
/// let scores: Vec<f32> = two_bits.scores(&layer)?.to_vec1()?;
/// assert!((scores[1] - scores[2]).abs() < 0.002, "both are on levels of magnitude 1: {scores:?}");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantizedMagnitude {
    /// How the layers are quantized.
    pub quantizer: Ste,
}

impl Criterion for QuantizedMagnitude {
    fn scores(&self, layer: &LayerToPrune) -> Result<Tensor> {
        let magnitudes = self.quantizer.apply(layer.weight)?.abs()?;
        // Levels lie further apart than a thousandth of the largest one.
        let largest = f64::from(magnitudes.max_all()?.to_scalar::<f32>()?);
        let order = Random { seed: 0 }.scores(layer)?;
        Ok((magnitudes + order * (largest / 1000.0))?)
    }

    fn description(&self) -> String {
        format!("magnitude with {}", self.quantizer.description())
    }
}

/// `|gradient · w|`, by how much the loss changes to first order without the weight: the connection sensitivity of SNIP
/// (Lee et al., 2019).
///
/// ```
/// use kernel_helpers::prelude::*;
/// let weight = Tensor::new(&[0.5f32, -2.0], &Device::Cpu)?;
/// let gradient = Tensor::new(&[4f32, 0.5], &Device::Cpu)?;
/// let layer = LayerToPrune { name: "linear1", weight: &weight, gradient: Some(&gradient) };
/// assert_eq!(Sensitivity.scores(&layer)?.to_vec1::<f32>()?, [2.0, 1.0]); // the larger weight goes
/// assert!(Sensitivity.needs_gradients());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sensitivity;

impl Criterion for Sensitivity {
    fn scores(&self, layer: &LayerToPrune) -> Result<Tensor> {
        Ok((layer.gradient()? * layer.weight)?.abs()?)
    }

    fn needs_gradients(&self) -> bool {
        true
    }

    fn description(&self) -> String {
        "gradient times weight".to_owned()
    }
}

/// Any weight as well as another: what a criterion has to be better than. The scores are drawn from the seed and the
/// layer's name, the same every time.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// let sparsity = Pruning::new(0.5, 1).criterion(Random { seed: 7 }).prune(&net, 1, None)?;
/// assert!((sparsity.total() - 0.5).abs() < 1e-3);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Random {
    /// The seed.
    pub seed: u64,
}

impl Criterion for Random {
    fn scores(&self, layer: &LayerToPrune) -> Result<Tensor> {
        let sum = sha256(format!("{} {}", self.seed, layer.name).as_bytes());
        let seed = u64::from_str_radix(&sum[..16], 16).expect("a sum is hexadecimal");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let scores: Vec<f32> = (0..layer.weight.elem_count()).map(|_| rng.random()).collect();
        Ok(Tensor::from_vec(scores, layer.weight.shape(), layer.weight.device())?)
    }

    fn description(&self) -> String {
        format!("random, seed {}", self.seed)
    }
}
