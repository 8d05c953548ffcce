//! Convolutions of channels-last images, several at a time.

mod block_product;
mod block_sparse;
mod blocked_weight_gradient;
mod depthwise;
mod direct;
mod filter;
mod gathered;
mod gathered_weight_gradient;
mod input_gradient;
mod linear;
mod pack;
mod parts;
mod plain;
mod scratch;
mod weight_gradient;
mod weight_sum;
mod winograd;

pub use block_sparse::{BlockSparse, BlockSparseWeight};
pub use filter::{Filter, FilterShape};
pub use input_gradient::InputGradient;
pub use linear::{BlockedRows, Matrix, RowsWeightGradient};
pub use plain::Plain;
pub use weight_sum::ImagesAndGradients;

use crate::{AlignedVec, LANES_MAX};
use block_product::BlockProduct;
use depthwise::{Depthwise, DepthwiseWeight, DepthwiseWeightGradient};
use direct::Direct;
use gathered::Gathered;
use gathered_weight_gradient::GatheredWeightGradient;
use pack::PackedWeight;
use parts::Split;
use weight_gradient::WeightGradient;

/// Where the pixels of channels-last images lie in a slice.
#[derive(Clone, Copy, Debug)]
pub struct Pixels {
    /// The first value of the first pixel.
    pub start: usize,
    /// From an image to the next.
    pub image: usize,
    /// From a row to the next.
    pub row: usize,
    /// From a pixel to the next.
    pub pixel: usize,
}

impl Pixels {
    /// Pixels without gaps, in images of `size` rows and columns and `channels` to a pixel.
    pub fn dense([rows, columns]: [usize; 2], channels: usize) -> Self {
        Pixels { start: 0, image: rows * columns * channels, row: columns * channels, pixel: channels }
    }

    /// The same pixels from image `at` on.
    #[inline]
    pub fn of_image(self, at: usize) -> Self {
        Pixels { start: self.start + at * self.image, ..self }
    }

    /// The same pixels from row `y` and column `x` on.
    #[inline]
    pub fn shifted(self, y: usize, x: usize) -> Self {
        Pixels { start: self.start + y * self.row + x * self.pixel, ..self }
    }
}

/// A square convolution with equal padding on all sides, without bias or dilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Step of the output over the input.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: usize,
    /// Parts into which both kinds of channels are split, each output seeing the inputs of its own part.
    pub groups: usize,
}

impl Convolution {
    /// Whether these kernels compute it: any kernel, stride and groups that divide the channels, padding less than the
    /// kernel.
    pub fn is_supported(&self) -> bool {
        self.stride > 0
            && self.padding < self.kernel
            && self.groups > 0
            && self.inputs.is_multiple_of(self.groups)
            && self.outputs.is_multiple_of(self.groups)
    }

    /// Rows and columns of the output for an input of `size`, none if the input is smaller than the kernel.
    pub fn output_size(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let extent =
            |input: usize| Some((input + 2 * self.padding).checked_sub(self.kernel)? / self.stride + 1);
        Some([extent(size[0])?, extent(size[1])?])
    }

    /// How many channels the pixels of the input must have room for.
    pub fn pixel_channels(&self) -> usize {
        match self.split() {
            Split::Depthwise(channels) => channels.next_multiple_of(LANES_MAX),
            Split::Parts { .. } => self.inputs,
        }
    }

    /// Rows and columns of the input with its border.
    pub fn padded_size(&self, size: [usize; 2]) -> [usize; 2] {
        size.map(|extent| extent + 2 * self.padding)
    }

    /// The zeros before the output's gradient that [`InputGradient`] wants.
    pub fn gradient_border(&self) -> usize {
        self.kernel - 1 - self.padding
    }

    /// Rows and columns of the output's gradient with the border that [`InputGradient`] wants, for an input of `size`.
    pub fn gradient_size(&self, size: [usize; 2]) -> [usize; 2] {
        size.map(|extent| self.gradient_border() + extent.div_ceil(self.stride) + self.kernel)
    }

    /// How many images the kernels best take at a time, for inputs of `size`: a wide layer's weight is then read from the
    /// cache for all of them.
    pub fn images_together(&self, size: [usize; 2]) -> usize {
        let Split::Parts { inputs, outputs, .. } = self.split() else { return 1 };
        if inputs.max(outputs) <= 64 {
            return 1;
        }
        let [rows, columns] = self.output_size(size).unwrap_or([1, 1]);
        (winograd::TILES / (rows.div_ceil(2) * columns.div_ceil(2))).max(1)
    }

    /// Prepares the weight `[O, I / groups, K, K]` for images of `size`.
    ///
    /// # Panics
    /// If the images are smaller than the kernel.
    pub fn filter(&self, weight: &[f32], size: [usize; 2]) -> Filter {
        let size = self.output_size(size).expect("an image no smaller than the kernel");
        let shape = FilterShape { split: self.split(), taps: [self.kernel; 2], stride: self.stride };
        Filter::new(shape, size, |output, input, ky, kx| {
            self.weight_place(output, input, ky, kx).map_or(0.0, |place| weight[place])
        })
    }

    /// The same for a weight that stays: where most of its blocks are zero, these are left out.
    ///
    /// # Panics
    /// As [`Self::filter`] does.
    pub fn filter_of_blocks(&self, weight: &[f32], size: [usize; 2]) -> Filter {
        /// The share of the blocks below which leaving out the others is faster than Winograd's way.
        const PAYS: f64 = 0.45;
        let blocks = BlockSparseWeight::new(self, weight);
        let all = blocks.outputs() / LANES_MAX * self.inputs * self.kernel * self.kernel;
        if self.groups > 1 || blocks.blocks() as f64 > PAYS * all as f64 {
            return self.filter(weight, size);
        }
        let size = self.output_size(size).expect("an image no smaller than the kernel");
        Filter::block_sparse(self, blocks, size)
    }
}

/// Channels-last images with borders of zeros, which stay zero when the images are replaced.
#[derive(Clone, Debug)]
pub struct BorderedImages {
    /// All values, the borders' included.
    pub values: AlignedVec,
    size: [usize; 2],
    channels: usize,
    border: usize,
}

impl BorderedImages {
    /// Zeros for so many images, `size` rows and columns with the border before and whatever follows.
    pub fn new(images: usize, size: [usize; 2], channels: usize, border: usize) -> Self {
        let values = AlignedVec::zeros(images * size[0] * size[1] * channels);
        BorderedImages { values, size, channels, border }
    }

    /// The layout from `border` pixels before each image on.
    pub fn with_border(&self, border: usize) -> Pixels {
        let start = self.border - border;
        Pixels::dense(self.size, self.channels).shifted(start, start)
    }

    /// The layout of the images themselves.
    pub fn inner(&self) -> Pixels {
        self.with_border(0)
    }
}

#[cfg(test)]
mod tests;
