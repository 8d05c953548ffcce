//! Which processor the tensors live on.

use crate::Result;
use candle_core::Device;

/// The first CUDA GPU if this build has the `cuda` feature and the machine has one, the CPU otherwise; PyTorch's
/// `"cuda" if torch.cuda.is_available() else "cpu"`.
///
/// # Errors
/// If there is a GPU that cannot be opened.
pub fn best_device() -> Result<Device> {
    Ok(Device::cuda_if_available(0)?)
}
