//! The straight-through fixed-point quantizer.

use super::{Levels, Quantizer};
use crate::device::instruction_set;
use base::{Error, Result};
use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Shape, Tensor};
use cpu_kernels::{Map, NonzeroRange};
use std::fmt;

/// A linear quantizer with dynamic scaling and a straight-through gradient (Bengio et al., 2013).
///
/// Zero weights count as pruned away: they stay zero and take part in no statistic. With the others' minimum α, their
/// range β = max - α and the bit width b,
///
/// - asymmetric: `w_q = round((w - α) / β · (2ᵇ - 1)) / (2ᵇ - 1) · β + α`,
/// - symmetric: `w_q = round(w / s · n) / n · s` with `s = max |w|` and `n = 2ᵇ⁻¹ - 1`,
/// - symmetric with one bit, where `n` would be 0: `w_q = sign(w) · mean |w|`, the binary weights of XNOR-Net
///   (Rastegari et al., 2016),
///
/// where `round` takes halves to even. Going back, the gradient of `w_q` is passed to `w` as it is. `n_bits: None`
/// leaves the weight as it is, and 0 bits make it all zero.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let weight = Tensor::new(&[-1f32, -0.4, 0.0, 0.6, 2.0], &Device::Cpu)?;
/// let two_bits = Ste { n_bits: Some(2), symmetric: false };
/// assert_eq!(two_bits.apply(&weight)?.to_vec1::<f32>()?, [-1.0, 0.0, 0.0, 1.0, 2.0]);
/// assert_eq!(Ste::BINARY.apply(&weight)?.to_vec1::<f32>()?, [-1.0, -1.0, 0.0, 1.0, 1.0]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ste {
    /// The bit width b; `None` for floating point.
    pub n_bits: Option<u32>,
    /// Whether the levels are symmetric to zero.
    pub symmetric: bool,
}

impl Ste {
    /// Binary weights: one symmetric bit.
    pub const BINARY: Self = Self { n_bits: Some(1), symmetric: true };

    /// The quantized weight, of the same shape; f32.
    ///
    /// # Errors
    /// If the bit width is over 16.
    pub fn apply(self, weight: &Tensor) -> Result<Tensor> {
        match self.n_bits {
            None => Ok(weight.clone()),
            Some(_) => Ok(weight.apply_op1(self)?),
        }
    }

    /// [`Self::apply`] on values. The bit width is checked here, for candle's `apply_op1` comes past [`Self::apply`].
    pub(crate) fn quantize_values(self, weight: &[f32]) -> Result<Vec<f32>> {
        match self.n_bits {
            None => Ok(weight.to_vec()),
            Some(n_bits) if n_bits > 16 => Err(Error::argument("n_bits", "0 to 16", n_bits)),
            Some(0) => Ok(vec![0.0; weight.len()]),
            Some(1) if self.symmetric => binarize(weight),
            Some(n_bits) if self.symmetric => quantize_symmetric(weight, n_bits),
            Some(n_bits) => quantize_asymmetric(weight, n_bits),
        }
    }
}

fn quantize_asymmetric(weight: &[f32], n_bits: u32) -> Result<Vec<f32>> {
    let isa = instruction_set()?;
    let (alpha, maximum) = isa.run(NonzeroRange(weight));
    let beta = maximum - alpha;
    if beta <= 0.0 || !beta.is_finite() {
        return Ok(weight.to_vec()); // no weight is left, or all have one value, which is its own only level
    }
    let levels = ((1u32 << n_bits) - 1) as f32;
    let quantize = |w: f32| ((w - alpha) / beta * levels).round_ties_even() / levels * beta + alpha;
    Ok(isa.run(Map { values: weight, function: |w| if w == 0.0 { 0.0 } else { quantize(w) } }))
}

fn quantize_symmetric(weight: &[f32], n_bits: u32) -> Result<Vec<f32>> {
    let isa = instruction_set()?;
    let (minimum, maximum) = isa.run(NonzeroRange(weight));
    let scale = f32::max(-minimum, maximum);
    if scale <= 0.0 {
        return Ok(weight.to_vec()); // no weight is left
    }
    let levels = ((1u32 << (n_bits - 1)) - 1) as f32;
    let quantize = |w: f32| (w / scale * levels).round_ties_even() / levels * scale;
    Ok(isa.run(Map { values: weight, function: quantize }))
}

fn binarize(weight: &[f32]) -> Result<Vec<f32>> {
    let scale = mean_magnitude(weight);
    Ok(instruction_set()?
        .run(Map { values: weight, function: |w| if w == 0.0 { 0.0 } else { scale.copysign(w) } }))
}

/// The mean of `|w|` over the weights that are not zero, and 0 if there are none: the scale of binary weights. It is
/// the scale of the weights that it has scaled, too: all sums are exact then.
pub(crate) fn mean_magnitude(weight: &[f32]) -> f32 {
    let kept = weight.iter().filter(|w| **w != 0.0).count();
    (weight.iter().map(|w| f64::from(w.abs())).sum::<f64>() / kept.max(1) as f64) as f32
}

impl Quantizer for Ste {
    fn quantize(&self, weight: &Tensor, _parameters: &[Tensor]) -> Result<Tensor> {
        self.apply(weight)
    }

    fn description(&self) -> String {
        self.to_string()
    }

    fn levels(&self) -> Option<Levels> {
        let n_bits = self.n_bits.filter(|n_bits| (1..=16).contains(n_bits))?;
        Some(Levels { n_bits, symmetric: self.symmetric, per_channel: false })
    }

    fn is_float(&self) -> bool {
        self.n_bits.is_none()
    }
}

impl fmt::Display for Ste {
    /// `4 bits`, `4 bits, symmetric` or `floating point`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.n_bits {
            None => f.write_str("floating point"),
            Some(1) if self.symmetric => f.write_str("1 bit, symmetric"),
            Some(1) => f.write_str("1 bit"),
            Some(n_bits) => write!(f, "{n_bits} bits{}", if self.symmetric { ", symmetric" } else { "" }),
        }
    }
}

impl CustomOp1 for Ste {
    fn name(&self) -> &'static str {
        "straight-through quantizer"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("the quantizer expects a contiguous weight, found {layout:?}");
        };
        let weight = &storage.as_slice::<f32>()?[start..end];
        Ok((CpuStorage::F32(self.quantize_values(weight)?), layout.shape().clone()))
    }

    /// Weights are small and the copies few, so the GPU's weights are quantized on the CPU.
    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        let (quantized, shape) = self.cpu_fwd(&storage.to_cpu_storage()?, layout)?;
        Ok((storage.device().storage_from_cpu_storage_owned(quantized)?, shape))
    }

    fn bwd(
        &self,
        _weight: &Tensor,
        _quantized: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(grad.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn quantized(weight: &[f32], n_bits: Option<u32>, symmetric: bool) -> Vec<f32> {
        let weight = Tensor::new(weight, &Device::Cpu).unwrap();
        Ste { n_bits, symmetric }.apply(&weight).unwrap().to_vec1().unwrap()
    }

    #[test]
    fn asymmetric_levels_span_from_minimum_to_maximum() {
        assert_eq!(quantized(&[-1.0, -0.4, 0.6, 2.0], Some(2), false), [-1.0, 0.0, 1.0, 2.0]);
        assert_eq!(quantized(&[-1.0, 0.4, 0.6, 2.0], Some(1), false), [-1.0, -1.0, 2.0, 2.0]);
    }

    #[test]
    fn zeros_stay_zero_and_take_part_in_no_statistic() {
        // With the zero counted, the minimum would be 0 and 1.0 would not be a level.
        assert_eq!(quantized(&[0.0, 1.0, 1.9, 3.0], Some(1), false), [0.0, 1.0, 1.0, 3.0]);
        assert_eq!(quantized(&[0.0, 0.0], Some(4), false), [0.0, 0.0]);
        assert_eq!(quantized(&[0.0, 0.0], Some(4), true), [0.0, 0.0]);
        assert_eq!(
            quantized(&[0.0, 0.3, 0.3], Some(4), false),
            [0.0, 0.3, 0.3],
            "one value is its own level"
        );
    }

    #[test]
    fn symmetric_levels_mirror_each_other() {
        assert_eq!(quantized(&[-3.0, -1.2, 0.9, 3.0], Some(3), true), [-3.0, -1.0, 1.0, 3.0]);
        assert_eq!(quantized(&[-1.0, 0.4, 0.6], Some(2), true), [-1.0, 0.0, 1.0]);
    }

    #[test]
    fn one_symmetric_bit_is_the_sign_times_the_mean_magnitude() {
        assert_eq!(quantized(&[-3.0, 0.0, 0.5, 1.0], Some(1), true), [-1.5, 0.0, 1.5, 1.5]);
        assert_eq!(quantized(&[0.0, 0.0], Some(1), true), [0.0, 0.0]);
        let weight: Vec<f32> = (1..=1000).map(|i| (i as f32 * 0.7).sin()).collect();
        let binary = quantized(&weight, Some(1), true);
        assert_eq!(quantized(&binary, Some(1), true), binary, "binary weights stay what they are");
    }

    #[test]
    fn halves_round_to_even() {
        assert_eq!(quantized(&[-3.0, -1.5, 1.5, 2.5, 3.0], Some(3), true), [-3.0, -2.0, 2.0, 2.0, 3.0]);
    }

    #[test]
    fn none_and_zero_bits_are_the_courses() {
        assert_eq!(quantized(&[0.3, -0.2], None, false), [0.3, -0.2]);
        assert_eq!(quantized(&[0.3, -0.2], Some(0), false), [0.0, 0.0]);
    }

    #[test]
    fn the_gradient_passes_straight_through() {
        let weight = Var::new(&[0.0f32, -0.9, 0.2, 0.7], &Device::Cpu).unwrap();
        let factors = Tensor::new(&[1f32, 2.0, 3.0, 4.0], &Device::Cpu).unwrap();
        for (n_bits, symmetric) in [(2, false), (2, true), (1, true)] {
            let quantized = Ste { n_bits: Some(n_bits), symmetric }.apply(&weight).unwrap();
            let grads = (quantized * &factors).unwrap().sum_all().unwrap().backward().unwrap();
            assert_eq!(grads.get(&weight).unwrap().to_vec1::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
        }
    }

    #[test]
    fn impossible_widths_are_refused() {
        let weight = Tensor::new(&[-1f32, 0.5, 1.0], &Device::Cpu).unwrap();
        for (n_bits, symmetric) in
            [17, 32, 33, 40, u32::MAX].into_iter().flat_map(|n| [(n, false), (n, true)])
        {
            let ste = Ste { n_bits: Some(n_bits), symmetric };
            for refused in [ste.apply(&weight), weight.apply_op1(ste).map_err(Error::from)] {
                let error = refused.unwrap_err().to_string();
                assert_eq!(error, format!("n_bits: expected 0 to 16, found {n_bits}"));
            }
        }
    }
}
