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
/// sqrt(P)`, where pruned weights, which are zero, do not count. Per channel, each output channel, the first dimension
/// of the weight, has a step of its own.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let net = lenet(10)?.build(0, &Device::Cpu)?.quantized(|_| Lsq { n_bits: 4, per_channel: true })?;
/// let (name, steps) = &net.named_parameters()[1];
/// assert_eq!((name.as_str(), steps.dims()), ("conv1.weight_step", &[6][..]));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lsq {
    /// The bit width b, from 2 to 16.
    pub n_bits: u32,
    /// Whether each output channel has its step.
    pub per_channel: bool,
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
        let (values, highest) = (values_of(weight)?, self.ends()?.1);
        let channels = if self.per_channel { weight.dims().first().copied().unwrap_or(1) } else { 1 };
        let step = |values: &[f32]| 2.0 * super::mean_magnitude(values) / highest.sqrt();
        let steps: Vec<f32> = channels_of(&values, channels).map(step).collect();
        Ok(vec![("step".to_owned(), Tensor::new(steps, weight.device())?)])
    }

    fn is_per_channel(&self) -> bool {
        self.per_channel
    }

    fn description(&self) -> String {
        let per_channel = if self.per_channel { " per output channel" } else { "" };
        format!("{} bits with a learned step{per_channel}", self.n_bits)
    }
}

/// The values of each of the channels.
fn channels_of(values: &[f32], channels: usize) -> impl Iterator<Item = &[f32]> {
    values.chunks((values.len() / channels.max(1)).max(1))
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

    /// A weight whose channels have these steps.
    fn quantize(&self, weight: &[f32], steps: &[f32]) -> Vec<f32> {
        let mut quantized = Vec::with_capacity(weight.len());
        for (channel, step) in channels_of(weight, steps.len()).zip(steps) {
            let step = Self::step(*step);
            let level = |w: &f32| (w / step).clamp(self.lowest, self.highest).round_ties_even();
            quantized.extend(channel.iter().map(|w| level(w) * step));
        }
        quantized
    }

    /// Turns the gradients at the quantized weights of a channel into those at its weights, and returns that at its step.
    fn backward(&self, grads: &mut [f32], weights: &[f32], step: f32) -> f32 {
        let (step, mut step_grad) = (Self::step(step), 0.0);
        for (grad, w) in grads.iter_mut().zip(weights) {
            let level = w / step;
            let (to_weight, to_step) = match level {
                level if level <= self.lowest => (0.0, self.lowest),
                level if level >= self.highest => (0.0, self.highest),
                level => (1.0, level.round_ties_even() - level),
            };
            step_grad += f64::from(*grad * to_step);
            *grad *= to_weight;
        }
        let scale = 1.0 / (weights.len() as f64 * f64::from(self.highest)).sqrt();
        (step_grad * scale) as f32
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
        let Some((first, last)) = step_layout.contiguous_offsets() else {
            candle_core::bail!("the quantizer expects contiguous steps, found {step_layout:?}");
        };
        let steps = &step.as_slice::<f32>()?[first..last];
        let quantized = self.quantize(&weight.as_slice::<f32>()?[start..end], steps);
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
        let (weights, steps, mut grads) = (values_of(weight)?, values_of(step)?, values_of(grad)?);
        let channel = (weights.len() / steps.len().max(1)).max(1);
        let channels = grads.chunks_mut(channel).zip(weights.chunks(channel)).zip(&steps);
        let step_grads: Vec<f32> =
            channels.map(|((grads, weights), step)| self.backward(grads, weights, *step)).collect();
        let step_grad = Tensor::from_vec(step_grads, step.shape(), step.device())?;
        Ok((Some(Tensor::from_vec(grads, weight.shape(), weight.device())?), Some(step_grad)))
    }
}
