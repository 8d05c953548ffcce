//! Depthwise convolutions: each channel alone, the channels of a vector side by side. There is little to compute for each
//! value that is read, so the kernels read every input once for all the taps of a row.

use super::{ImagesAndGradients, Pixels};
use crate::simd::{Kernel, Simd};
use crate::{AlignedVec, LANES_MAX};

/// A weight `[ky][kx][channel]`, its channels padded to 16.
#[derive(Clone, Debug)]
pub struct DepthwiseWeight {
    data: AlignedVec,
    taps: [usize; 2],
    channels: usize,
}

impl DepthwiseWeight {
    /// Lays out the weight `at(channel, ky, kx)`.
    pub fn new(channels: usize, taps: [usize; 2], at: impl Fn(usize, usize, usize) -> f32) -> Self {
        let padded = channels.next_multiple_of(LANES_MAX);
        let mut data = AlignedVec::zeros(taps[0] * taps[1] * padded);
        for (tap, row) in data.chunks_exact_mut(padded.max(1)).enumerate() {
            for (channel, value) in row[..channels].iter_mut().enumerate() {
                *value = at(channel, tap / taps[1], tap % taps[1]);
            }
        }
        DepthwiseWeight { data, taps, channels: padded }
    }
}

/// `output[y][x][c] = Σ weight[ky][kx][c] · input[stride y + ky][stride x + kx][c]` for `size` outputs of several images
/// that carry their own borders, their pixels padded to 16 channels.
pub struct Depthwise<'a> {
    pub images: usize,
    pub input: &'a [f32],
    pub input_pixels: Pixels,
    pub weight: &'a DepthwiseWeight,
    pub stride: usize,
    pub output: &'a mut [f32],
    pub output_pixels: Pixels,
    pub size: [usize; 2],
}

/// Pixels that are summed together.
const PIXELS: usize = 8;

impl Depthwise<'_> {
    /// Panics if a pixel that the kernel will touch lies outside its slice.
    fn check(&self) {
        let DepthwiseWeight { taps: [taps_y, taps_x], channels, .. } = *self.weight;
        assert!(self.weight.data.len() == taps_y * taps_x * channels, "weight incomplete");
        let [last_y, last_x] = self.size.map(|extent| extent - 1);
        let last_output = self.output_pixels.of_image(self.images - 1).shifted(last_y, last_x);
        assert!(last_output.start + channels <= self.output.len(), "output too short");
        if taps_y > 0 && taps_x > 0 {
            let (last_y, last_x) = (self.stride * last_y + taps_y - 1, self.stride * last_x + taps_x - 1);
            let last_input = self.input_pixels.of_image(self.images - 1).shifted(last_y, last_x);
            assert!(last_input.start + channels <= self.input.len(), "input too short");
        }
    }
}

impl Kernel for Depthwise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        if self.images * self.size[0] * self.size[1] == 0 {
            return;
        }
        self.check();
        for image in 0..self.images {
            for y in 0..self.size[0] {
                for channel in (0..self.weight.channels).step_by(S::LANES) {
                    // SAFETY: just checked.
                    unsafe { row(simd, &mut self, [image, y], channel) };
                }
            }
        }
    }
}

/// A row of outputs for the vector of channels from `channel`.
///
/// # Safety
/// As for [`Depthwise::check`].
#[inline(always)]
unsafe fn row<S: Simd>(simd: S, job: &mut Depthwise, [image, y]: [usize; 2], channel: usize) {
    let columns = job.size[1];
    let mut x = 0;
    // SAFETY: the caller's promise; the tiles stay within the columns.
    unsafe {
        while job.stride == 1 && x + PIXELS <= columns {
            match (job.weight.taps[1], job.stride) {
                (3, 1) => shared::<S, PIXELS, 3, 1>(simd, job, [image, y, x], channel),
                (5, 1) => shared::<S, PIXELS, 5, 1>(simd, job, [image, y, x], channel),
                _ => tile::<S, PIXELS>(simd, job, [image, y, x], channel),
            }
            x += PIXELS;
        }
        while x + 4 <= columns {
            match (job.weight.taps[1], job.stride) {
                (3, 1) => shared::<S, 4, 3, 1>(simd, job, [image, y, x], channel),
                (3, 2) => shared::<S, 4, 3, 2>(simd, job, [image, y, x], channel),
                _ => tile::<S, 4>(simd, job, [image, y, x], channel),
            }
            x += 4;
        }
        while x < columns {
            tile::<S, 1>(simd, job, [image, y, x], channel);
            x += 1;
        }
    }
}

/// `PIXELS` neighboring outputs.
///
/// # Safety
/// As for [`Depthwise::check`].
#[inline(always)]
unsafe fn tile<S: Simd, const PIXELS: usize>(
    simd: S,
    job: &mut Depthwise,
    [image, y, x]: [usize; 3],
    channel: usize,
) {
    let DepthwiseWeight { taps, channels, .. } = *job.weight;
    let (row, pixel) = (job.input_pixels.row, job.input_pixels.pixel);
    let start = job.input_pixels.of_image(image).shifted(job.stride * y, job.stride * x).start + channel;
    let mut sums = [simd.splat(0.0); PIXELS];
    // SAFETY: the caller's promise.
    unsafe {
        for ky in 0..taps[0] {
            for kx in 0..taps[1] {
                let weight = job.weight.data.as_ptr().add((ky * taps[1] + kx) * channels + channel);
                let weight = simd.load(weight);
                let from = job.input.as_ptr().add(start + ky * row + kx * pixel);
                for (p, sum) in sums.iter_mut().enumerate() {
                    *sum = simd.mul_add(simd.load(from.add(p * job.stride * pixel)), weight, *sum);
                }
            }
        }
        let output = job.output_pixels.of_image(image).shifted(y, x);
        let to = job.output.as_mut_ptr().add(output.start + channel);
        for (p, sum) in sums.into_iter().enumerate() {
            simd.store(to.add(p * output.pixel), sum);
        }
    }
}

/// The same with each input read once for all the taps of a row that use it.
///
/// # Safety
/// As for [`Depthwise::check`].
#[inline(always)]
unsafe fn shared<S: Simd, const PIXELS: usize, const TAPS: usize, const STRIDE: usize>(
    simd: S,
    job: &mut Depthwise,
    [image, y, x]: [usize; 3],
    channel: usize,
) {
    let DepthwiseWeight { taps, channels, .. } = *job.weight;
    let (row, pixel) = (job.input_pixels.row, job.input_pixels.pixel);
    let start = job.input_pixels.of_image(image).shifted(STRIDE * y, STRIDE * x).start + channel;
    let mut sums = [simd.splat(0.0); PIXELS];
    // SAFETY: the caller's promise.
    unsafe {
        for ky in 0..taps[0] {
            let mut weights = [simd.splat(0.0); TAPS];
            for (kx, weight) in weights.iter_mut().enumerate() {
                *weight = simd.load(job.weight.data.as_ptr().add((ky * TAPS + kx) * channels + channel));
            }
            let from = job.input.as_ptr().add(start + ky * row);
            for position in 0..(PIXELS - 1) * STRIDE + TAPS {
                let value = simd.load(from.add(position * pixel));
                for (tap, weight) in weights.iter().enumerate() {
                    let offset = position.wrapping_sub(tap);
                    if position >= tap && offset % STRIDE == 0 && offset / STRIDE < PIXELS {
                        sums[offset / STRIDE] = simd.mul_add(value, *weight, sums[offset / STRIDE]);
                    }
                }
            }
        }
        let output = job.output_pixels.of_image(image).shifted(y, x);
        let to = job.output.as_mut_ptr().add(output.start + channel);
        for (p, sum) in sums.into_iter().enumerate() {
            simd.store(to.add(p * output.pixel), sum);
        }
    }
}

/// `gradient[ky][kx][c] += Σ input[stride y + ky][stride x + kx][c] · output_gradient[y][x][c]` over `size` outputs of
/// several images.
pub struct DepthwiseWeightGradient<'a> {
    pub pairs: ImagesAndGradients<'a>,
    /// A multiple of 16.
    pub channels: usize,
    pub taps: [usize; 2],
    pub stride: usize,
    pub size: [usize; 2],
    pub gradient: &'a mut [f32],
}

impl DepthwiseWeightGradient<'_> {
    /// Panics if a value that the kernel will touch lies outside its slice.
    fn check(&self) {
        let ([rows, columns], [taps_y, taps_x]) = (self.size, self.taps);
        assert!(rows > 0 && columns > 0 && taps_y > 0 && taps_x > 0, "empty convolution");
        assert!(self.channels.is_multiple_of(LANES_MAX), "channels not padded");
        let ImagesAndGradients { count, input, input_pixels, gradient, gradient_pixels } = self.pairs;
        let last_output = gradient_pixels.of_image(count - 1).shifted(rows - 1, columns - 1);
        assert!(last_output.start + self.channels <= gradient.len(), "output too short");
        let (last_y, last_x) =
            (self.stride * (rows - 1) + taps_y - 1, self.stride * (columns - 1) + taps_x - 1);
        let last_input = input_pixels.of_image(count - 1).shifted(last_y, last_x);
        assert!(last_input.start + self.channels <= input.len(), "input too short");
        assert!(self.gradient.len() == taps_y * taps_x * self.channels, "gradient of another size");
    }
}

impl Kernel for DepthwiseWeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        if self.pairs.count == 0 {
            return;
        }
        self.check();
        for image in 0..self.pairs.count {
            for y in 0..self.size[0] {
                for channel in (0..self.channels).step_by(S::LANES) {
                    // SAFETY: just checked; the taps are the kernel's.
                    unsafe { add_row(simd, &mut self, [image, y], channel) };
                }
            }
        }
    }
}

/// Adds what a row of outputs gives to all taps of the vector of channels from `channel`.
///
/// # Safety
/// As for [`DepthwiseWeightGradient::check`].
#[inline(always)]
unsafe fn add_row<S: Simd>(simd: S, job: &mut DepthwiseWeightGradient, at: [usize; 2], channel: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match (job.taps, job.stride) {
            ([3, 3], 1) => add_taps::<S, 3, 3, 1>(simd, job, at, [0, 0], channel),
            ([3, 3], 2) => add_taps::<S, 3, 3, 2>(simd, job, at, [0, 0], channel),
            ([rows, 5], 1) => {
                for ky in 0..rows {
                    add_taps::<S, 1, 5, 1>(simd, job, at, [ky, 0], channel);
                }
            }
            ([rows, 7], 1) => {
                for ky in 0..rows {
                    add_taps::<S, 1, 7, 1>(simd, job, at, [ky, 0], channel);
                }
            }
            ([rows, columns], _) => {
                for tap in 0..rows * columns {
                    add_taps::<S, 1, 1, 1>(simd, job, at, [tap / columns, tap % columns], channel);
                }
            }
        }
    }
}

/// Adds what a row of outputs gives to `ROWS` by `TAPS` taps from `(ky, kx)`, summed in registers. With several taps in a
/// row, `STRIDE` is the convolution's.
///
/// # Safety
/// As for [`DepthwiseWeightGradient::check`].
#[inline(always)]
unsafe fn add_taps<S: Simd, const ROWS: usize, const TAPS: usize, const STRIDE: usize>(
    simd: S,
    job: &mut DepthwiseWeightGradient,
    [image, y]: [usize; 2],
    [ky, kx]: [usize; 2],
    channel: usize,
) {
    let ImagesAndGradients { input, input_pixels, gradient, gradient_pixels, .. } = job.pairs;
    let from = input_pixels.of_image(image).shifted(job.stride * y + ky, kx).start + channel;
    let mut from = input.as_ptr().wrapping_add(from);
    let dy = gradient_pixels.of_image(image).shifted(y, 0).start + channel;
    let mut dy = gradient.as_ptr().wrapping_add(dy);
    let (columns, step) = (job.size[1], job.stride * input_pixels.pixel);
    let pixels = (input_pixels, gradient_pixels.pixel, step);
    let mut sums = [[simd.splat(0.0); TAPS]; ROWS];
    // SAFETY: every address that is read or written lies in its slice by the caller's promise. After the last pixels,
    // the pointers can point behind their slices, and are not read.
    unsafe {
        for _ in 0..columns / 4 {
            add_pixels::<S, 4, ROWS, TAPS, STRIDE>(simd, &mut sums, from, dy, pixels);
            from = from.wrapping_add(4 * step);
            dy = dy.wrapping_add(4 * gradient_pixels.pixel);
        }
        for _ in 0..columns % 4 {
            add_pixels::<S, 1, ROWS, TAPS, STRIDE>(simd, &mut sums, from, dy, pixels);
            from = from.wrapping_add(step);
            dy = dy.wrapping_add(gradient_pixels.pixel);
        }
        for (row, sums) in sums.into_iter().enumerate() {
            for (tap, sum) in sums.into_iter().enumerate() {
                let to = ((ky + row) * job.taps[1] + kx + tap) * job.channels + channel;
                let to = job.gradient.as_mut_ptr().add(to);
                simd.store(to, simd.add(simd.load(to), sum));
            }
        }
    }
}

/// Adds the products of `PIXELS` neighboring outputs. Each input is read once for all the taps of a row that use it.
///
/// # Safety
/// As for [`DepthwiseWeightGradient::check`].
#[inline(always)]
unsafe fn add_pixels<
    S: Simd,
    const PIXELS: usize,
    const ROWS: usize,
    const TAPS: usize,
    const STRIDE: usize,
>(
    simd: S,
    sums: &mut [[S::Vector; TAPS]; ROWS],
    from: *const f32,
    dy: *const f32,
    (input, gradient_pixel, step): (Pixels, usize, usize),
) {
    let mut loaded = [simd.splat(0.0); PIXELS];
    // SAFETY: the caller's promise.
    unsafe {
        for (p, loaded) in loaded.iter_mut().enumerate() {
            *loaded = simd.load(dy.add(p * gradient_pixel));
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            let from = from.add(row * input.row);
            if TAPS == 1 {
                for (p, loaded) in loaded.iter().enumerate() {
                    sums[0] = simd.mul_add(simd.load(from.add(p * step)), *loaded, sums[0]);
                }
                continue;
            }
            for position in 0..(PIXELS - 1) * STRIDE + TAPS {
                let value = simd.load(from.add(position * input.pixel));
                for (p, loaded) in loaded.iter().enumerate() {
                    let tap = position.wrapping_sub(p * STRIDE);
                    if tap < TAPS {
                        sums[tap] = simd.mul_add(value, *loaded, sums[tap]);
                    }
                }
            }
        }
    }
}
