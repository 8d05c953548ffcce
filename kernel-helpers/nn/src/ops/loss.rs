//! The classification loss.

use base::Result;
use candle_core::Tensor;

/// The mean over the batch of `-log softmax(logits)[label]`; PyTorch's `F.cross_entropy`. `logits [N, C]`,
/// `labels [N]` as u32; the result is a scalar.
///
/// # Errors
/// If the shapes do not fit together or a label is out of range.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    Ok(candle_nn::loss::cross_entropy(logits, labels)?)
}
