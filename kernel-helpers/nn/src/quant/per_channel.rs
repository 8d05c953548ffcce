//! Levels of its own for every output channel.

use super::straight_through::values_of;
use super::{Levels, Quantizer, Ste, straight_through};
use base::Result;
use candle_core::Tensor;

/// [`Ste`] with a range of its own for every output channel, the first dimension of the weight: a channel of small
/// weights is not rounded to the levels of the largest. `PerChannel(Ste::BINARY)` is the binary weight of XNOR-Net.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let weight = Tensor::new(&[[0.1f32, 0.2], [-3.0, 5.0]], &Device::Cpu)?;
/// let one_bit = Ste { n_bits: Some(1), symmetric: false };
/// assert_eq!(PerChannel(one_bit).quantize(&weight, &[])?.to_vec2::<f32>()?, [[0.1, 0.2], [-3.0, 5.0]]);
/// assert_eq!(one_bit.quantize(&weight, &[])?.to_vec2::<f32>()?, [[-3.0, -3.0], [-3.0, 5.0]]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerChannel(pub Ste);

impl Quantizer for PerChannel {
    fn quantize(&self, weight: &Tensor, _parameters: &[Tensor]) -> Result<Tensor> {
        let channels = weight.dims().first().copied().unwrap_or(1).max(1);
        let mut quantized = Vec::with_capacity(weight.elem_count());
        for channel in values_of(weight)?.chunks((weight.elem_count() / channels).max(1)) {
            quantized.extend(self.0.quantize_values(channel)?);
        }
        straight_through(weight, &Tensor::from_vec(quantized, weight.shape(), weight.device())?)
    }

    fn description(&self) -> String {
        format!("{} per output channel", self.0)
    }

    fn levels(&self) -> Option<Levels> {
        Some(Levels { per_channel: true, ..self.0.levels()? })
    }

    fn is_float(&self) -> bool {
        self.0.is_float()
    }
}
