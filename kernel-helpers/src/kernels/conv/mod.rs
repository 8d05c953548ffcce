//! Convolutions of one image, channels last.

mod direct;
mod filter;
mod input_gradient;
mod pack;
#[cfg(test)]
mod plain;
mod weight_gradient;
mod weight_sum;
mod winograd;

pub use filter::{Filter, FilterShape};
pub use input_gradient::InputGradient;
pub use weight_sum::ImageAndGradient;

use direct::Direct;
use pack::PackedWeight;
use weight_gradient::WeightGradient;

use crate::kernels::AlignedVec;

/// Where the pixels of a channels-last image lie in a slice.
#[derive(Clone, Copy, Debug)]
pub struct Pixels {
    /// The first value of the first pixel.
    pub start: usize,
    /// From a row to the next.
    pub row: usize,
    /// From a pixel to the next.
    pub pixel: usize,
}

impl Pixels {
    /// Pixels without gaps, `columns` to a row and `channels` to a pixel.
    pub fn dense(columns: usize, channels: usize) -> Self {
        Pixels { start: 0, row: columns * channels, pixel: channels }
    }

    /// The same pixels from row `y` and column `x` on.
    pub fn shifted(self, y: usize, x: usize) -> Self {
        Pixels { start: self.start + y * self.row + x * self.pixel, ..self }
    }
}

/// A square convolution with equal padding on all sides, without bias, dilation or groups.
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
}

impl Convolution {
    /// Whether these kernels compute it: 1x1 and 3x3, stride 1 and 2, padding less than the kernel.
    pub fn is_supported(&self) -> bool {
        matches!(self.kernel, 1 | 3) && matches!(self.stride, 1 | 2) && self.padding < self.kernel
    }

    /// Rows and columns of the output for an input of `size`, none if the input is smaller than the kernel.
    pub fn output_size(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let extent =
            |input: usize| Some((input + 2 * self.padding).checked_sub(self.kernel)? / self.stride + 1);
        Some([extent(size[0])?, extent(size[1])?])
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

    /// Prepares the weight `[O, I, K, K]` for images of `size`.
    ///
    /// # Panics
    /// If the images are smaller than the kernel.
    pub fn filter(&self, weight: &[f32], size: [usize; 2]) -> Filter {
        let Convolution { inputs, outputs, kernel, stride, .. } = *self;
        let size = self.output_size(size).expect("an image no smaller than the kernel");
        Filter::new(FilterShape { outputs, inputs, taps: [kernel, kernel] }, stride, size, |o, i, ky, kx| {
            weight[((o * inputs + i) * kernel + ky) * kernel + kx]
        })
    }
}

/// A channels-last image with a border of zeros, which stays zero when the image is replaced.
#[derive(Clone, Debug)]
pub struct BorderedImage {
    /// All values, the border's included.
    pub values: AlignedVec,
    columns: usize,
    channels: usize,
    border: usize,
}

impl BorderedImage {
    /// Zeros, `size` rows and columns with the border before and whatever follows.
    pub fn new(size: [usize; 2], channels: usize, border: usize) -> Self {
        let values = AlignedVec::zeros(size[0] * size[1] * channels);
        BorderedImage { values, columns: size[1], channels, border }
    }

    /// The layout from `border` pixels before the image on.
    pub fn with_border(&self, border: usize) -> Pixels {
        let start = self.border - border;
        Pixels::dense(self.columns, self.channels).shifted(start, start)
    }

    /// The layout of the image itself.
    pub fn inner(&self) -> Pixels {
        self.with_border(0)
    }
}

#[cfg(test)]
mod tests;
