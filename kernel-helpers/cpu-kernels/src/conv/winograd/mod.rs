//! Winograd's convolution F(2x2, 3x3) (Lavin and Gray, 2015): a 3x3 convolution with stride 1 in 16 instead of 36
//! multiplications for each tile of 2x2 outputs, and its gradient by the weight likewise. The transforms only add and
//! halve, so the results are about as exact as the direct form's.

mod convolution;
mod transform;
mod weight_gradient;
mod wide;
mod wide_weight_gradient;

pub use convolution::{Winograd, WinogradWeight};
pub use weight_gradient::{WinogradWeightGradient, finish_weight_gradient};
pub use wide::{TILES, Wide};
pub use wide_weight_gradient::WideWeightGradient;

use super::Pixels;
use super::pack::{BLOCK, blocks_of_outputs};
use crate::LANES_MAX;
use std::mem::MaybeUninit;

/// Values of a transformed tile, 4 x 4.
pub const POINTS: usize = 16;
/// The most channels, so that a few tiles fit the scratch buffers.
const CHANNELS_MAX: usize = 64;

/// Whether those kernels are the fastest for the convolution itself, which gets the same bits from the others: with 64
/// channels, enough tiles in an image make the weight worth reading once for all of them.
pub fn is_best_narrow(inputs: usize, outputs: usize, size: [usize; 2]) -> bool {
    let many = inputs.max(outputs) == CHANNELS_MAX && size[0] * size[1] / 4 >= 64;
    is_narrow(inputs, outputs, size) && !many
}

/// A value of each output of a block.
type Lanes = [f32; BLOCK];

/// Whether these kernels compute a 3x3 convolution with stride 1 between so many channels, to outputs of `size`, and
/// faster than by its definition: of tiles that are cut, too many multiplications are for nothing. With few channels, all
/// tiles must be whole, for that decides the bits of recorded runs.
pub fn is_supported(inputs: usize, outputs: usize, size: [usize; 2]) -> bool {
    let many = inputs.max(outputs) > CHANNELS_MAX;
    [inputs, outputs].iter().all(|channels| *channels > 0 && channels.is_multiple_of(LANES_MAX))
        && size.iter().all(|extent| extent.is_multiple_of(2) || (many && *extent >= 3))
}

/// Whether the kernels for few channels compute it, which keep everything in L1.
pub fn is_narrow(inputs: usize, outputs: usize, size: [usize; 2]) -> bool {
    is_supported(inputs, outputs, size) && inputs.max(outputs) <= CHANNELS_MAX
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
    /// Where a tile's first pixel lies; all tiles are whole.
    #[inline(always)]
    fn place(self, tile: usize, pixels: Pixels) -> Place {
        let in_row = self.columns / 2;
        let (y, x) = ((self.first + tile) / in_row * 2, (self.first + tile) % in_row * 2);
        Place { start: pixels.shifted(y, x).start, cut: [false; 2] }
    }

    /// The layout in which all channels of a tile lie together.
    #[inline(always)]
    fn points(self, channels: usize) -> Points {
        Points { point: self.count * channels + LANES_MAX, tile: channels, block: LANES_MAX }
    }
}

/// Where a tile of 2x2 outputs lies in a slice of pixels.
#[derive(Clone, Copy)]
struct Place {
    /// The tile's first pixel.
    start: usize,
    /// Whether its second row and column lie outside the image.
    cut: [bool; 2],
}

/// Where transformed values lie: the steps from a point, a tile and 16 channels to the next.
#[derive(Clone, Copy)]
struct Points {
    /// A cache line more than the values need: at a power of two, all points of a tile would compete for the same few
    /// places in the cache.
    point: usize,
    tile: usize,
    block: usize,
}

impl Points {
    #[inline(always)]
    fn at(self, point: usize, tile: usize, channel: usize) -> usize {
        point * self.point + tile * self.tile + channel / LANES_MAX * self.block + channel % LANES_MAX
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
