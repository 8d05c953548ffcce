//! Activation, residual sum, pooling and the linear layer.

use crate::Result;
use candle_core::Tensor;

/// `max(x, 0)`; PyTorch's `F.relu`.
///
/// # Errors
/// If the tensor operation fails.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    Ok(x.relu()?)
}

/// `max(x + skip, 0)`, the end of a residual block. Both `[N, C, H, W]`.
///
/// # Errors
/// If the shapes differ.
pub fn add_relu(x: &Tensor, skip: &Tensor) -> Result<Tensor> {
    Ok((x + skip)?.relu()?)
}

/// The mean over height and width: `[N, C, H, W]` to `[N, C]`; PyTorch's `F.adaptive_avg_pool2d(x, 1)`, flattened.
///
/// # Errors
/// If `x` is not of rank 4.
pub fn global_average_pool(x: &Tensor) -> Result<Tensor> {
    Ok(x.mean((2, 3))?)
}

/// `x weightᵀ + bias`: `x [N, I]`, `weight [O, I]`, `bias [O]`, the result `[N, O]`; PyTorch's `F.linear`.
///
/// # Errors
/// If the shapes do not fit together.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    Ok(x.matmul(&weight.t()?)?.broadcast_add(bias)?)
}
