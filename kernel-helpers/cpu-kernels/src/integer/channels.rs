//! What treats each channel by itself: depthwise convolutions, pooling, and changes of scale.

use super::instructions::IntegerKernel;
use super::simd::IntegerSimd;
use super::{Bytes, Requantization, Residual};
use crate::LANES_MAX;
use crate::conv::Pixels;
use crate::pool::Pool;

/// The weight of a depthwise convolution: `[ky][kx][channel]`, channels padded to a multiple of 16 with zeros.
#[derive(Clone, Debug)]
pub struct DepthwiseIntegerWeight {
    data: Bytes,
    taps: [usize; 2],
    channels: usize,
}

impl DepthwiseIntegerWeight {
    /// Packs `at(channel, ky, kx)`.
    pub fn new(channels: usize, taps: [usize; 2], at: impl Fn(usize, usize, usize) -> i8) -> Self {
        let padded = channels.next_multiple_of(LANES_MAX);
        let mut data = Bytes::filled(taps[0] * taps[1] * padded, 0);
        for (ky, kx) in (0..taps[0]).flat_map(|ky| (0..taps[1]).map(move |kx| (ky, kx))) {
            for channel in 0..channels {
                data[(ky * taps[1] + kx) * padded + channel] = at(channel, ky, kx).cast_unsigned();
            }
        }
        Self { data, taps, channels: padded }
    }
}

/// What is summed up for an output of a channel.
#[derive(Clone, Copy, Debug)]
pub enum Window<'a> {
    /// The products with a weight, the windows so many pixels apart. The input carries its own border.
    Depthwise(&'a DepthwiseIntegerWeight, usize),
    /// The values of a window of pixels; the value counts for those beyond the image.
    Sum(Pool, u8),
    /// The values of all pixels, so many rows and columns.
    All([usize; 2]),
    /// The value itself.
    One,
}

/// `output[y][x][c] = requantized(Σ of a window of the input's channel c)` for `size` outputs of some images.
#[derive(Debug)]
pub struct ByChannel<'a> {
    /// How many images.
    pub images: usize,
    /// The inputs.
    pub input: &'a [u8],
    /// Where they lie, for a depthwise convolution from the border on.
    pub input_pixels: Pixels,
    /// Rows and columns of the input, without a border.
    pub input_size: [usize; 2],
    /// What is summed up.
    pub window: Window<'a>,
    /// The outputs.
    pub output: &'a mut [u8],
    /// Where they lie.
    pub output_pixels: Pixels,
    /// Rows and columns of the output.
    pub size: [usize; 2],
    /// Channels, a multiple of 16 for which the pixels have room.
    pub channels: usize,
    /// What becomes of the sums.
    pub rule: &'a Requantization,
    /// What is added to the outputs.
    pub residual: Option<Residual<'a>>,
}

impl ByChannel<'_> {
    /// Panics if a pixel that the kernel will touch lies outside its slice.
    fn check(&self) {
        assert!(self.channels.is_multiple_of(LANES_MAX), "channels are no multiple of {LANES_MAX}");
        if self.images == 0 || self.size.contains(&0) {
            return;
        }
        let end = |pixels: Pixels, [rows, columns]: [usize; 2]| {
            pixels.of_image(self.images - 1).shifted(rows - 1, columns - 1).start + self.channels
        };
        assert!(end(self.output_pixels, self.size) <= self.output.len(), "output too short");
        if let Some(residual) = &self.residual {
            assert!(end(residual.pixels, self.size) <= residual.images.len(), "residual too short");
        }
        assert!(self.rule.scale.len() >= self.channels && self.rule.shift.len() >= self.channels);
        let read = match self.window {
            Window::Depthwise(weight, stride) => {
                assert!(weight.channels == self.channels && weight.taps.iter().all(|taps| *taps > 0));
                [0, 1].map(|axis| stride * (self.size[axis] - 1) + weight.taps[axis])
            }
            Window::Sum(pool, _) => {
                assert!(pool.output_size(self.input_size) == Some(self.size), "windows beyond the image");
                self.input_size
            }
            Window::All(size) => size,
            Window::One => self.size,
        };
        assert!(!read.contains(&0) && end(self.input_pixels, read) <= self.input.len(), "input too short");
    }
}

impl IntegerKernel for ByChannel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: IntegerSimd>(mut self, simd: S) {
        self.check();
        let outputs = std::mem::take(&mut self.output).as_mut_ptr();
        for image in 0..self.images {
            for (y, x) in (0..self.size[0]).flat_map(|y| (0..self.size[1]).map(move |x| (y, x))) {
                let output = self.output_pixels.of_image(image).shifted(y, x).start;
                let residual = self.residual.map(|residual| {
                    let start = residual.pixels.of_image(image).shifted(y, x).start;
                    residual.images.as_ptr().wrapping_add(start)
                });
                for channel in (0..self.channels).step_by(S::LANES) {
                    // SAFETY: just checked.
                    unsafe {
                        let sums = self.sums(simd, image, [y, x], channel);
                        let residual = residual.map(|residual| residual.add(channel));
                        simd.finish(sums, self.rule, channel, residual, outputs.add(output + channel));
                    }
                }
            }
        }
    }
}

impl ByChannel<'_> {
    /// # Safety
    /// As for [`ByChannel::check`].
    #[inline(always)]
    unsafe fn sums<S: IntegerSimd>(
        &self,
        simd: S,
        image: usize,
        [y, x]: [usize; 2],
        channel: usize,
    ) -> S::Sums {
        let pixels = self.input_pixels.of_image(image);
        let at = |y: usize, x: usize| self.input.as_ptr().wrapping_add(pixels.shifted(y, x).start + channel);
        // SAFETY: the caller's promise.
        unsafe {
            match self.window {
                Window::Depthwise(weight, stride) => {
                    let mut sums = simd.zero();
                    let mut taps = weight.data.as_ptr().wrapping_add(channel);
                    for (ky, kx) in
                        (0..weight.taps[0]).flat_map(|ky| (0..weight.taps[1]).map(move |kx| (ky, kx)))
                    {
                        sums = simd.add_products(sums, at(stride * y + ky, stride * x + kx), taps);
                        taps = taps.wrapping_add(weight.channels);
                    }
                    sums
                }
                Window::Sum(pool, outside) => {
                    let mut sums = simd.zero();
                    for (ky, kx) in (0..pool.kernel).flat_map(|ky| (0..pool.kernel).map(move |kx| (ky, kx))) {
                        let place = [y * pool.stride + ky, x * pool.stride + kx];
                        let inside = [0, 1].map(|axis| {
                            place[axis].checked_sub(pool.padding).filter(|at| *at < self.input_size[axis])
                        });
                        sums = match inside {
                            [Some(y), Some(x)] => simd.add_values(sums, at(y, x)),
                            _ => simd.add_values(sums, [outside; LANES_MAX].as_ptr()),
                        };
                    }
                    sums
                }
                Window::All([rows, columns]) => {
                    let mut sums = simd.zero();
                    for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
                        sums = simd.add_values(sums, at(y, x));
                    }
                    sums
                }
                Window::One => simd.add_values(simd.zero(), at(y, x)),
            }
        }
    }
}

/// The largest value of each window, channel by channel, of images that lie at `input_pixels`.
///
/// # Panics
/// If a slice is too short for its pixels, or the windows are not those of the sizes.
pub fn max_pool(
    pool: Pool,
    (input, input_pixels, input_size): (&[u8], Pixels, [usize; 2]),
    (output, output_pixels, size): (&mut [u8], Pixels, [usize; 2]),
    channels: usize,
) {
    assert!(pool.output_size(input_size) == Some(size), "windows beyond the image");
    for (y, x) in (0..size[0]).flat_map(|y| (0..size[1]).map(move |x| (y, x))) {
        let output = &mut output[output_pixels.shifted(y, x).start..][..channels];
        output.fill(0);
        let range = |at: usize, axis: usize| {
            let first = (at * pool.stride).saturating_sub(pool.padding);
            first..(at * pool.stride + pool.kernel).saturating_sub(pool.padding).min(input_size[axis])
        };
        for (y, x) in range(y, 0).flat_map(|y| range(x, 1).map(move |x| (y, x))) {
            let input = &input[input_pixels.shifted(y, x).start..][..channels];
            output.iter_mut().zip(input).for_each(|(output, input)| *output = (*output).max(*input));
        }
    }
}

/// Writes an image's planes `[C, H, W]` as channels-last integers: each value over a step, plus the integer for zero, rounded.
#[derive(Debug)]
pub struct QuantizeImage<'a> {
    /// The planes.
    pub planes: &'a [f32],
    /// How many planes.
    pub channels: usize,
    /// Pixels of a row.
    pub columns: usize,
    /// One over what a step of the integers stands for.
    pub per_step: f32,
    /// The integer for zero.
    pub zero: u8,
    /// The integers.
    pub output: &'a mut [u8],
    /// Where they lie.
    pub output_pixels: Pixels,
}

impl IntegerKernel for QuantizeImage<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: IntegerSimd>(self, _simd: S) {
        let plane = self.planes.len() / self.channels;
        let (zero, pixels) = (f32::from(self.zero), self.output_pixels);
        let mut row = vec![0u8; self.columns];
        for (channel, plane) in self.planes.chunks_exact(plane).enumerate() {
            for (y, values) in plane.chunks_exact(self.columns).enumerate() {
                for (integer, value) in row.iter_mut().zip(values) {
                    *integer = (value * self.per_step + zero).clamp(0.0, 255.0).round_ties_even() as u8;
                }
                let to = &mut self.output[pixels.shifted(y, 0).start + channel..];
                to.iter_mut().step_by(pixels.pixel).zip(&row).for_each(|(to, integer)| *to = *integer);
            }
        }
    }
}
