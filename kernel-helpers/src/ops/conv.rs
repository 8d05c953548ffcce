//! Two-dimensional convolution.

use crate::Result;
use candle_core::Tensor;

/// `x [N, C, H, W]` convolved with `weight [O, C, K, K]`, without bias; PyTorch's `F.conv2d`.
/// The result is `[N, O, (H + 2 padding - K) / stride + 1, …]`.
///
/// # Errors
/// If the shapes do not fit together.
pub fn conv2d(x: &Tensor, weight: &Tensor, stride: usize, padding: usize) -> Result<Tensor> {
    Ok(x.conv2d(weight, padding, stride, 1, 1)?)
}
