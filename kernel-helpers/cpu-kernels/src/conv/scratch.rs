//! Room for what kernels keep between their steps, kept by each thread from call to call.

use crate::AlignedVec;
use std::cell::RefCell;

thread_local! {
    static SCRATCH: RefCell<AlignedVec> = RefCell::default();
}

/// Calls `work` with slices of these lengths, each on a cache line of its own. What they hold is arbitrary.
///
/// # Panics
/// If `work` itself asks for scratch.
pub fn with_scratch<R, const COUNT: usize>(
    lengths: [usize; COUNT],
    work: impl FnOnce([&mut [f32]; COUNT]) -> R,
) -> R {
    let padded = lengths.map(|length| length.next_multiple_of(crate::LANES_MAX));
    SCRATCH.with_borrow_mut(|scratch| {
        let length = padded.iter().sum();
        if scratch.len() < length {
            scratch.resize(length);
        }
        let mut rest = &mut scratch[..];
        work(padded.map(|length| {
            let (part, others) = std::mem::take(&mut rest).split_at_mut(length);
            rest = others;
            part
        }))
    })
}
