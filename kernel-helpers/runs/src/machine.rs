//! On what a run was computed.

use base::Result;
use candle_core::Device;
use nn::device::instruction_set;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::process::Command;

/// What a run was computed on, as far as the system tells.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::runs::machine::Machine;
///
/// let machine = Machine::here(&Device::Cpu)?;
/// assert_eq!(machine.device, "CPU");
/// assert!(machine.to_string().ends_with(&machine.instructions), "{machine}");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name, where the system tells it.
    pub processor: Option<String>,
    /// How many threads computed.
    pub threads: usize,
    /// The instruction set of the CPU kernels, `avx512` for example.
    pub instructions: String,
    /// Where the tensors were: `CPU`, or `CUDA` for an NVIDIA GPU.
    pub device: String,
}

impl Machine {
    /// This machine, with the tensors on `device`.
    ///
    /// # Errors
    /// If the environment names an instruction set that this processor lacks.
    pub fn here(device: &Device) -> Result<Self> {
        Ok(Self {
            processor: processor(),
            threads: rayon::current_num_threads(),
            instructions: instruction_set()?.name().to_owned(),
            device: if device.is_cuda() { "CUDA" } else { "CPU" }.to_owned(),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let processor = self.processor.as_deref().unwrap_or("an unknown processor");
        let threads = if self.threads == 1 { "thread" } else { "threads" };
        write!(f, "{processor}, {} {threads}, {}", self.threads, self.instructions)?;
        if self.device == "CPU" { Ok(()) } else { write!(f, ", {}", self.device) }
    }
}

/// The processor's name: Linux has it in a file, macOS tells it by a command.
fn processor() -> Option<String> {
    if cfg!(target_os = "macos") {
        let output = Command::new("sysctl").args(["-n", "machdep.cpu.brand_string"]).output().ok()?;
        return Some(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let information = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = information.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
