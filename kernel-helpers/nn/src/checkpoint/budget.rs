//! How much a file may ask for. A few bytes can claim a tensor of any size, through strides of zero, storages used many
//! times, masks or compression, so everything is counted before it is allocated or read.

use super::malformed::{Malformed, Result};

/// What any file may ask for besides twice its own length, in bytes. Together with the buffers of the readers it stays
/// below 64 MB.
const SMALL: usize = 56 << 20;
/// What a tensor takes besides its elements, about, and each of its dimensions.
const TENSOR: usize = 768;
const DIMENSION: usize = 32;

/// The longest pickle or header that describes the tensors of a file; it takes 100 to 200 bytes for each tensor.
pub(super) fn longest_description(file_length: u64) -> usize {
    (1 << 20) + usize::try_from(file_length / 256).unwrap_or(usize::MAX / 2)
}

/// What is left of the memory and of the reading that a file may ask for.
#[derive(Debug)]
pub(super) struct Budget {
    memory: usize,
    /// The largest temporary so far: there is one at a time.
    lent: usize,
    reading: u64,
}

impl Budget {
    /// Twice the file's length and a little more, and what the caller knows to need.
    pub(super) fn new(file_length: u64, allowance: usize) -> Self {
        let length = usize::try_from(file_length).unwrap_or(usize::MAX);
        let memory = length.saturating_mul(2).saturating_add(SMALL).saturating_add(allowance);
        Self { memory, lent: 0, reading: memory as u64 }
    }

    /// Takes `bytes` off, before they are allocated.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<()> {
        self.memory = self.memory.checked_sub(bytes).ok_or_else(|| exceeded(bytes, self.memory))?;
        Ok(())
    }

    /// Takes a tensor off that has elements of `size` bytes.
    pub(super) fn spend_tensor(&mut self, count: usize, size: usize, rank: usize) -> Result<()> {
        let overhead = TENSOR + DIMENSION * rank;
        self.spend(count.saturating_mul(size).saturating_add(overhead))
    }

    /// Takes `bytes` off that are freed before anything else is lent.
    pub(super) fn lend(&mut self, bytes: usize) -> Result<()> {
        self.spend(bytes.saturating_sub(self.lent))?;
        self.lent = self.lent.max(bytes);
        Ok(())
    }

    /// Takes off that `bytes` are read, which one part of the file can be more than once.
    pub(super) fn read(&mut self, bytes: u64) -> Result<()> {
        let left = self.reading.checked_sub(bytes);
        self.reading = left.ok_or_else(|| exceeded(bytes, self.reading))?;
        Ok(())
    }
}

fn exceeded(claimed: impl std::fmt::Display, left: impl std::fmt::Display) -> Malformed {
    Malformed::new(
        "tensors about as large as the file",
        format!("a claim of {claimed} bytes where {left} are left"),
        "If you trust the file, load it into its network, which knows its size, by `load_weights`; in other cases, \
         give the size of its tensors in bytes to `load_state_dict_of_size`.",
    )
}
