//! A learned step size.

use super::Quantizer;
use super::straight_through::{on_cuda, values_of};
use base::{Error, Result};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Shape, Tensor};

/// Learned step size quantization, LSQ (Esser et al., 2020): `w_q = s · round(clamp(w / s, -N, P))` with `N = 2ᵇ⁻¹`,
/// `P = 2ᵇ⁻¹ - 1`, halves rounded to even, and a step `s` that is trained with the weights.
///
/// Going back, the gradient passes to the weights within the range, and to the step as `round(w / s) - w / s` within
/// it, `-N` below and `P` above, scaled by `1 / sqrt(n · P)` for n weights. The step starts at `2 · mean |w| /
/// sqrt(P)`, where pruned weights, which are zero, do not count.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let net = lenet(10)?.build(0, &Device::Cpu)?.quantized(|_| Lsq { n_bits: 4 })?;
/// let names: Vec<String> = net.named_parameters().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names[..3], ["conv1.weight", "conv1.weight_step", "conv1.bias"]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lsq {
    /// The bit width b, from 2 to 16.
    pub n_bits: u32,
}

impl Lsq {
    /// The numbers of the lowest and the highest level.
    fn ends(self) -> Result<(f32, f32)> {
        match self.n_bits {
            2..=16 => Ok((-((1u32 << (self.n_bits - 1)) as f32), ((1u32 << (self.n_bits - 1)) - 1) as f32)),
            other => Err(Error::argument("n_bits", "2 to 16", other)),
        }
    }
}

impl Quantizer for Lsq {
    fn quantize(&self, weight: &Tensor, parameters: &[Tensor]) -> Result<Tensor> {
        let (lowest, highest) = self.ends()?;
        let [step] = parameters else {
            let expected = "a step, which Quantization::started_on gives";
            return Err(Error::argument("parameters", expected, parameters.len()));
        };
        Ok(weight.contiguous()?.apply_op2(step, LearnedStep { lowest, highest })?)
    }

    fn parameters(&self, weight: &Tensor) -> Result<Vec<(String, Tensor)>> {
        let step = 2.0 * super::mean_magnitude(&values_of(weight)?) / self.ends()?.1.sqrt();
        Ok(vec![("step".to_owned(), Tensor::new(&[step], weight.device())?)])
    }

    fn description(&self) -> String {
        format!("{} bits with a learned step", self.n_bits)
    }
}

struct LearnedStep {
    lowest: f32,
    highest: f32,
}

impl LearnedStep {
    /// A step that has been trained down to nothing leaves no weight.
    fn step(step: f32) -> f32 {
        step.max(f32::MIN_POSITIVE)
    }

    fn quantize(&self, weight: &[f32], step: f32) -> Vec<f32> {
        let step = Self::step(step);
        let level = |w: &f32| (w / step).clamp(self.lowest, self.highest).round_ties_even();
        weight.iter().map(|w| level(w) * step).collect()
    }
}

impl CustomOp2 for LearnedStep {
    fn name(&self) -> &'static str {
        "learned step size quantizer"
    }

    fn cpu_fwd(
        &self,
        weight: &CpuStorage,
        layout: &Layout,
        step: &CpuStorage,
        step_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("the quantizer expects a contiguous weight, found {layout:?}");
        };
        let step = step.as_slice::<f32>()?[step_layout.start_offset()];
        let quantized = self.quantize(&weight.as_slice::<f32>()?[start..end], step);
        Ok((CpuStorage::F32(quantized), layout.shape().clone()))
    }

    fn cuda_fwd(
        &self,
        weight: &CudaStorage,
        layout: &Layout,
        step: &CudaStorage,
        step_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        let (quantized, shape) =
            self.cpu_fwd(&weight.to_cpu_storage()?, layout, &step.to_cpu_storage()?, step_layout)?;
        on_cuda(quantized, &shape, weight)
    }

    fn bwd(
        &self,
        weight: &Tensor,
        step: &Tensor,
        _quantized: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (weights, mut grads) = (values_of(weight)?, values_of(grad)?);
        let size = Self::step(values_of(step)?[0]);
        let mut step_grad = 0.0;
        for (grad, w) in grads.iter_mut().zip(&weights) {
            let level = w / size;
            let (to_weight, to_step) = match level {
                level if level <= self.lowest => (0.0, self.lowest),
                level if level >= self.highest => (0.0, self.highest),
                level => (1.0, level.round_ties_even() - level),
            };
            step_grad += f64::from(*grad * to_step);
            *grad *= to_weight;
        }
        let scale = 1.0 / (weights.len() as f64 * f64::from(self.highest)).sqrt();
        let step_grad = Tensor::full((step_grad * scale) as f32, step.shape(), step.device())?;
        Ok((Some(Tensor::from_vec(grads, weight.shape(), weight.device())?), Some(step_grad)))
    }
}
