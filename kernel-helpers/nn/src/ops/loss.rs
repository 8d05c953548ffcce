//! The classification loss.

use base::Result;
use candle_core::Tensor;

/// The mean over the batch of `-log softmax(logits)[label]`; PyTorch's `F.cross_entropy`. `logits [N, C]`,
/// `labels [N]` as u32; the result is a scalar.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let logits = Tensor::zeros((4, 10), DType::F32, &Device::Cpu)?; // ten classes, all as likely
/// let labels = Tensor::new(&[0u32, 3, 5, 9], &Device::Cpu)?;
/// let loss = ops::cross_entropy(&logits, &labels)?.to_scalar::<f32>()?;
/// assert!((loss - 10f32.ln()).abs() < 1e-6);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If the shapes do not fit together or a label is out of range.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    Ok(candle_nn::loss::cross_entropy(logits, labels)?)
}
