//! Kernels on slices of f32, and the only place with unsafe code.
//!
//! Images are *channels last* here: pixel after pixel, all channels of a pixel together. A vector holds neighboring
//! channels, so nothing depends on the width of the image, and a convolution's broadcast operand is one channel of one
//! pixel. Channels that a kernel writes are padded to a multiple of `LANES_MAX`.
//!
//! Every function here works on one image or one slice, on the calling thread. Callers split the batch into groups that
//! depend on its size alone (`images_per_group`) and add partial sums in the order of the groups, so results do not depend
//! on the number of threads.
#![allow(unsafe_code)]

mod aligned;
mod arena;
pub mod channels;
pub mod conv;
pub mod integer;
pub mod layout;
mod map;
mod memory;
mod peak;
pub mod pool;
mod simd;
mod sparse;

pub use aligned::AlignedVec;
pub use arena::Arena;
pub use map::{Map, NonzeroRange};
pub use peak::Peak;
pub use simd::{Isa, UnknownIsa};
pub use sparse::SparseProduct;

/// The lanes of the widest instruction set; channel counts are padded to a multiple of it.
pub const LANES_MAX: usize = 16;

/// How many of the batch's images make a group: work is split, and partial sums are kept, by group. At most 32 groups.
pub fn images_per_group(batch: usize) -> usize {
    batch.div_ceil(32).max(1)
}

#[cfg(test)]
mod tests;
