//! The straight-through gradient, for quantizers of one's own.

use base::{Error, Result};
use candle_core::backend::BackendDevice;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Shape, Tensor};

/// The values of `quantized`, with the gradient of `weight`: going back, the gradient passes to the weight as it is
/// (Bengio et al., 2013), whatever `quantized` was computed with. Zero weights count as pruned away and stay zero.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let weight = Var::new(&[0.0f32, 0.4, 1.7], &Device::Cpu)?;
/// let quantized = straight_through(&weight, &(weight.round()? + 1.0)?)?;
/// assert_eq!(quantized.to_vec1::<f32>()?, [0.0, 1.0, 3.0]);
/// let gradient = quantized.sum_all()?.backward()?.remove(&weight).unwrap();
/// assert_eq!(gradient.to_vec1::<f32>()?, [1.0; 3]);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If the shapes are not the same, or the tensors are not of type f32.
pub fn straight_through(weight: &Tensor, quantized: &Tensor) -> Result<Tensor> {
    if weight.shape() != quantized.shape() {
        let (expected, found) = (format!("{:?}", weight.dims()), format!("{:?}", quantized.dims()));
        return Err(Error::argument("the quantized weight", expected, found));
    }
    let [weights, mut values] = [values_of(weight)?, values_of(quantized)?];
    for (value, weight) in values.iter_mut().zip(weights) {
        *value = if weight == 0.0 { 0.0 } else { *value };
    }
    Ok(weight.apply_op1(StraightThrough(values))?)
}

/// All values of a tensor, from whatever device.
pub(super) fn values_of(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.detach().flatten_all()?.to_vec1()?)
}

/// Gives these values.
struct StraightThrough(Vec<f32>);

impl CustomOp1 for StraightThrough {
    fn name(&self) -> &'static str {
        "straight through"
    }

    fn cpu_fwd(&self, _storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.0.clone()), layout.shape().clone()))
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        on_cuda(CpuStorage::F32(self.0.clone()), layout.shape(), storage)
    }

    fn bwd(&self, _weight: &Tensor, _result: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(grad.clone()))
    }
}

/// What was computed on the CPU, on the GPU where `like` is. Weights are small and the copies few.
pub(super) fn on_cuda(
    result: CpuStorage,
    shape: &Shape,
    like: &CudaStorage,
) -> candle_core::Result<(CudaStorage, Shape)> {
    use candle_core::backend::BackendStorage;
    Ok((like.device().storage_from_cpu_storage_owned(result)?, shape.clone()))
}
