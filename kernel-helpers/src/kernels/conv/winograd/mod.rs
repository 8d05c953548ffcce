//! Winograd's convolution F(2x2, 3x3) (Lavin and Gray, 2015): a 3x3 convolution with stride 1 in 16 instead of 36
//! multiplications for each tile of 2x2 outputs, and its gradient by the weight likewise. The transforms only add and
//! halve, so the results are about as exact as the direct form's.

mod convolution;
mod transform;
mod weight_gradient;

pub use convolution::{Winograd, WinogradWeight};
pub use weight_gradient::{WinogradWeightGradient, finish_weight_gradient};

use crate::kernels::LANES_MAX;
use std::mem::MaybeUninit;

/// Values of a transformed tile, 4 x 4.
pub const POINTS: usize = 16;
/// The most channels, so that a few tiles fit the scratch buffers.
const CHANNELS_MAX: usize = 64;

/// Whether these kernels compute a 3x3 convolution with stride 1 between so many channels, to outputs of `size`.
pub fn is_supported(inputs: usize, outputs: usize, size: [usize; 2]) -> bool {
    inputs.is_multiple_of(LANES_MAX)
        && (LANES_MAX..=CHANNELS_MAX).contains(&inputs)
        && outputs.is_multiple_of(LANES_MAX)
        && size.iter().all(|extent| extent.is_multiple_of(2))
}

/// Some of an image's tiles, counted row after row.
#[derive(Clone, Copy)]
struct Tiles {
    /// Columns of the output.
    columns: usize,
    first: usize,
    count: usize,
}

impl Tiles {
    /// From a point's values to the next point's, for so many channels. A cache line more than they need: at a power of
    /// two, all points of a tile would compete for the same few places in the cache.
    #[inline(always)]
    fn point_stride(self, channels: usize) -> usize {
        self.count * channels + LANES_MAX
    }

    /// The row and column of a tile's first output.
    #[inline(always)]
    fn place(self, tile: usize) -> (usize, usize) {
        let in_row = self.columns / 2;
        ((self.first + tile) / in_row * 2, (self.first + tile) % in_row * 2)
    }
}

/// Room on the stack for transformed values, aligned to a cache line, which is the widest vector.
#[repr(align(64))]
struct Scratch<const SIZE: usize>([MaybeUninit<f32>; SIZE]);

impl<const SIZE: usize> Scratch<SIZE> {
    #[inline(always)]
    fn new() -> Self {
        Scratch([MaybeUninit::uninit(); SIZE])
    }

    #[inline(always)]
    fn as_mut_ptr(&mut self) -> *mut f32 {
        self.0.as_mut_ptr().cast()
    }
}
