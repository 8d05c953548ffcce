//! Which processor the tensors live on, and which of its instructions compute.

use base::{Error, Result};
use candle_core::Device;
use cpu_kernels::Isa;

/// The first CUDA GPU if this build has the `cuda` feature and the machine has one, the CPU otherwise; PyTorch's
/// `"cuda" if torch.cuda.is_available() else "cpu"`.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let device = best_device()?;
/// let net = lenet(10)?.build(0, &device)?;
/// assert!(net.device().same_device(&device));
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If there is a GPU that cannot be opened.
pub fn best_device() -> Result<Device> {
    Ok(Device::cuda_if_available(0)?)
}

/// The instruction set of the CPU that all operations use: the one that `KERNEL_HELPERS_ISA` names, otherwise the
/// widest.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::device::instruction_set;
///
/// assert!(["avx512", "avx2", "portable"].contains(&instruction_set()?.to_string().as_str()));
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If the variable names a set that this processor lacks.
pub fn instruction_set() -> Result<Isa> {
    Isa::current().map_err(|unknown| {
        let expected = format!("one of this processor's {}", unknown.available);
        Error::argument(Isa::VARIABLE, expected, unknown.found)
    })
}
