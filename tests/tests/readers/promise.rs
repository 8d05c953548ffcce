//! What is promised of every reader and every file, checked while one is read.

use crate::MEMORY;
use kernel_helpers::checkpoint::{StateDict, read_state_dict};
use rustix::time::{ClockId, clock_gettime};
use std::io::Cursor;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Memory besides twice the file's length, in bytes.
const SMALL: usize = 64_000_000;
const LONGEST_TIME: Duration = Duration::from_secs(2);
/// Characters of an error: a few lines.
const LONGEST_ERROR: usize = 2_000;

/// Holds the other tests of this process up: the memory that is measured is everybody's.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a reader makes of a file, or its error.
///
/// # Panics
/// If it takes more memory or time than is promised, or if its error does not fit on a terminal.
pub fn kept<T>(file: &[u8], read: impl FnOnce(&[u8]) -> kernel_helpers::Result<T>) -> Result<T, String> {
    kept_with(file, 0, read)
}

/// The same for a reader that was told of `allowance` bytes.
pub fn kept_with<T>(
    file: &[u8],
    allowance: usize,
    read: impl FnOnce(&[u8]) -> kernel_helpers::Result<T>,
) -> Result<T, String> {
    let (before, start) = (MEMORY.current_usage(), cpu_time());
    MEMORY.reset_peak_usage();
    let result = read(file).map_err(|error| error.to_string());
    let (memory, time) = (MEMORY.peak_usage().saturating_sub(before), cpu_time() - start);
    let promised = 2 * file.len() + SMALL + allowance;
    assert!(memory <= promised, "{memory} bytes of memory for a file of {}: {:?}", file.len(), result.err());
    assert!(time <= LONGEST_TIME, "{time:?} for {} bytes: {:?}", file.len(), result.err());
    if let Err(error) = &result {
        assert!(error.chars().count() <= LONGEST_ERROR, "{error}");
        assert!(!error.chars().any(|c| c.is_control() || "\u{202e}\u{2066}".contains(c)), "{error:?}");
    }
    result
}

/// What the readers of checkpoints make of a file.
pub fn checkpoint(file: &[u8]) -> Result<StateDict, String> {
    kept(file, |file| read_state_dict(Cursor::new(file)))
}

/// Time that this thread has computed, whatever else the machine does.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
