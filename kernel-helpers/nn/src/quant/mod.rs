//! Quantizers of weights, built in and of one's own.
//!
//! A quantizer of one's own is an implementation of [`Quantizer`], most easily with [`straight_through`]:
//!
//! ```
//! use kernel_helpers::prelude::*;
//!
//! /// Powers of two: a multiplication becomes a shift.
//! struct PowersOfTwo;
//!
//! impl Quantizer for PowersOfTwo {
//!     fn quantize(&self, weight: &Tensor, _: &[Tensor]) -> Result<Tensor> {
//!         let exponents = (weight.abs()?.log()? / 2f64.ln())?.round()?;
//!         straight_through(weight, &((exponents * 2f64.ln())?.exp()? * weight.sign()?)?)
//!     }
//!     fn description(&self) -> String {
//!         "powers of two".to_owned()
//!     }
//! }
//!
//! let mut rng = ChaCha8Rng::seed_from_u64(1);
//! let layer = FpLinear::new(8, 4, PowersOfTwo, &mut rng, &Device::Cpu)?;
//! assert_eq!(layer.quantized_weight()?.dims(), [4, 8]);
//! # Ok::<(), Error>(())
//! ```

mod codebook;
mod lsq;
mod per_channel;
mod quantization;
mod ste;
mod straight_through;

#[cfg(test)]
mod tests;

pub use codebook::Codebook;
pub use lsq::Lsq;
pub use per_channel::PerChannel;
pub use quantization::Quantization;
pub use ste::Ste;
pub(crate) use ste::mean_magnitude;
pub use straight_through::straight_through;

use base::Result;
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// How a layer's weight becomes one of few values before the layer uses it. A layer holds it as its [`Quantization`].
///
/// Zero weights count as pruned away: they stay zero.
///
/// ```
/// use kernel_helpers::prelude::*;
/// /// Multiples of 1/16.
/// struct Sixteenths;
///
/// impl Quantizer for Sixteenths {
///     fn quantize(&self, weight: &Tensor, _parameters: &[Tensor]) -> Result<Tensor> {
///         straight_through(weight, &((weight * 16.0)?.round()? / 16.0)?)
///     }
///     fn description(&self) -> String {
///         "multiples of 1/16".to_owned()
///     }
/// }
///
/// let net = lenet(10)?.build(0, &Device::Cpu)?.quantized(|_| Sixteenths)?;
/// assert_eq!(net.quantizers()[0].1.to_string(), "multiples of 1/16");
/// # Ok::<(), Error>(())
/// ```
pub trait Quantizer: Send + Sync {
    /// The quantized weight, of the same shape; f32. It is differentiable: gradients reach the weight, and the learned
    /// parameters if there are any.
    ///
    /// # Errors
    /// If the quantizer's settings are not possible, or a tensor operation fails.
    fn quantize(&self, weight: &Tensor, parameters: &[Tensor]) -> Result<Tensor>;

    /// The learned parameters that [`Self::quantize`] takes, at the start, in its order: each with a short name. One
    /// called `step` of a weight called `conv1.weight` is trained and saved as `conv1.weight_step`.
    ///
    /// # Errors
    /// If the quantizer's settings are not possible, or a tensor operation fails.
    fn parameters(&self, _weight: &Tensor) -> Result<Vec<(String, Tensor)>> {
        Ok(Vec::new())
    }

    /// Whether each learned parameter has a value of its own for every output channel, the first dimension of the weight.
    fn is_per_channel(&self) -> bool {
        false
    }

    /// All that decides what the quantizer does besides its learned parameters, in words, such as `4 bits, symmetric`.
    /// It is a part of a run's identity.
    fn description(&self) -> String;

    /// The levels of the quantized weight if they are evenly spaced in this way, so that a packed file needs their ends
    /// alone. Of other quantizers, packed files hold the list of the levels that occur.
    fn levels(&self) -> Option<Levels> {
        None
    }

    /// Whether the quantizer leaves every weight as it is, in floating point: it then counts as none.
    fn is_float(&self) -> bool {
        false
    }
}

/// Levels as [`Ste`] has them: evenly spaced from the lowest to the highest.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let levels = PerChannel(Ste { n_bits: Some(4), symmetric: true }).levels();
/// assert_eq!(levels, Some(Levels { n_bits: 4, symmetric: true, per_channel: true }));
/// assert_eq!(Codebook { values: 16 }.levels(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels {
    /// The bit width.
    pub n_bits: u32,
    /// Whether the levels are symmetric to zero.
    pub symmetric: bool,
    /// Whether every output channel has levels of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per_channel: bool,
}
