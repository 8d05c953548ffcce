//! Direct convolution: each tile of sums stays in registers while all taps and input channels pass.

use super::instructions::IntegerKernel;
use super::simd::IntegerSimd;
use super::{CHANNELS_TOGETHER, IntegerWeight, Requantization, Residual};
use crate::conv::Pixels;

/// `output[y][x][o] = requantized(Σ weight[ky][kx][i][o] · input[stride y + ky][stride x + kx][i])` for `size` outputs of some
/// images. The input carries its own border, and its pixels hold a multiple of four channels.
#[derive(Debug)]
pub struct IntegerConvolution<'a> {
    /// How many images.
    pub images: usize,
    /// The inputs.
    pub input: &'a [u8],
    /// Where they lie, from the border on.
    pub input_pixels: Pixels,
    /// The weight.
    pub weight: &'a IntegerWeight,
    /// The step of the output over the input.
    pub stride: usize,
    /// The outputs.
    pub output: &'a mut [u8],
    /// Where they lie; a pixel has room for the weight's channels, padded to a multiple of 16.
    pub output_pixels: Pixels,
    /// Rows and columns of the output.
    pub size: [usize; 2],
    /// What becomes of the sums.
    pub rule: &'a Requantization,
    /// What is added to the outputs, in pixels with as much room.
    pub residual: Option<Residual<'a>>,
}

impl IntegerConvolution<'_> {
    /// Panics if a pixel that the kernel will touch lies outside its slice.
    pub(super) fn check(&self) {
        let ([rows, columns], weight) = (self.size, self.weight);
        if self.images == 0 || rows == 0 || columns == 0 {
            return;
        }
        let last = |pixels: Pixels, [y, x]: [usize; 2]| pixels.of_image(self.images - 1).shifted(y, x).start;
        let last_output = [rows - 1, columns - 1];
        assert!(
            last(self.output_pixels, last_output) + weight.outputs <= self.output.len(),
            "output too short"
        );
        if let Some(residual) = &self.residual {
            let end = last(residual.pixels, last_output) + weight.outputs;
            assert!(end <= residual.images.len(), "residual too short");
        }
        assert!(self.rule.scale.len() >= weight.outputs && self.rule.shift.len() >= weight.outputs);
        let [taps_y, taps_x] = weight.taps;
        let channels = weight.groups * CHANNELS_TOGETHER;
        assert!(weight.data.len() == weight.outputs * channels * taps_y * taps_x, "weight incomplete");
        if channels * taps_y * taps_x > 0 {
            let last_input =
                [self.stride * (rows - 1) + taps_y - 1, self.stride * (columns - 1) + taps_x - 1];
            assert!(last(self.input_pixels, last_input) + channels <= self.input.len(), "input too short");
        }
    }
}

impl IntegerKernel for IntegerConvolution<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: IntegerSimd>(mut self, simd: S) {
        self.check();
        // SAFETY: just checked.
        unsafe { rows(simd, &mut self) }
    }
}

/// All tiles.
///
/// # Safety
/// As for [`IntegerConvolution::check`].
#[inline(always)]
unsafe fn rows<S: IntegerSimd>(simd: S, job: &mut IntegerConvolution) {
    let wide = S::REGISTERS >= 32;
    let vectors = if wide { (job.weight.panel / S::LANES).min(2) } else { 2 };
    let step = job.stride * job.input_pixels.pixel;
    for first in (0..job.weight.outputs).step_by(vectors * S::LANES) {
        for image in 0..job.images {
            for y in 0..job.size[0] {
                // SAFETY: the caller's promise; the tiles stay within `size`.
                unsafe {
                    match (wide, vectors, step) {
                        (true, 1, 4) => row::<S, 2, 8, 1, 4>(simd, job, first, [image, y]),
                        (true, 1, 16) => row::<S, 2, 8, 1, 16>(simd, job, first, [image, y]),
                        (true, 1, _) => row::<S, 2, 8, 1, 0>(simd, job, first, [image, y]),
                        (true, _, 32) => row::<S, 1, 8, 2, 32>(simd, job, first, [image, y]),
                        (true, _, 64) => row::<S, 1, 8, 2, 64>(simd, job, first, [image, y]),
                        (true, _, _) => row::<S, 1, 8, 2, 0>(simd, job, first, [image, y]),
                        (false, _, _) => row::<S, 1, 4, 2, 0>(simd, job, first, [image, y]),
                    }
                }
            }
        }
    }
}

/// The outputs of an image and row for `VECTORS` vectors of channels from `first`, in tiles of `BLOCKS · PIXELS` pixels, and in
/// smaller ones where fewer are left.
///
/// # Safety
/// As for [`IntegerConvolution::check`].
#[inline(always)]
unsafe fn row<
    S: IntegerSimd,
    const BLOCKS: usize,
    const PIXELS: usize,
    const VECTORS: usize,
    const STEP: usize,
>(
    simd: S,
    job: &mut IntegerConvolution,
    first: usize,
    [image, y]: [usize; 2],
) {
    let columns = job.size[1];
    let mut x = 0;
    // SAFETY: the caller's promise; `x` plus the tile's pixels stays within the columns.
    unsafe {
        while x + BLOCKS * PIXELS <= columns {
            tile::<S, BLOCKS, PIXELS, VECTORS, STEP>(simd, job, first, [image, y, x]);
            x += BLOCKS * PIXELS;
        }
        if x < columns && columns >= PIXELS {
            // The last tiles lie over those before, whose outputs they compute again.
            while x < columns {
                let at = x.min(columns - PIXELS);
                tile::<S, 1, PIXELS, VECTORS, STEP>(simd, job, first, [image, y, at]);
                x += PIXELS;
            }
            return;
        }
        while x + 4 <= columns {
            tile::<S, 1, 4, VECTORS, STEP>(simd, job, first, [image, y, x]);
            x += 4;
        }
        while x < columns {
            tile::<S, 1, 1, VECTORS, STEP>(simd, job, first, [image, y, x]);
            x += 1;
        }
    }
}

/// `BLOCKS · PIXELS` neighboring outputs of an image from `(y, x)`, `VECTORS` vectors of channels from `first`. `BLOCKS` is 1 or 2:
/// the sums are in two arrays, for loops over larger ones the compiler does not unroll, and then nothing stays in registers.
///
/// # Safety
/// As for [`IntegerConvolution::check`].
#[inline(always)]
unsafe fn tile<
    S: IntegerSimd,
    const BLOCKS: usize,
    const PIXELS: usize,
    const VECTORS: usize,
    const STEP: usize,
>(
    simd: S,
    job: &mut IntegerConvolution,
    first: usize,
    [image, y, x]: [usize; 3],
) {
    let (weight, stride) = (job.weight, job.stride);
    let [taps_y, taps_x] = weight.taps;
    let line = weight.panel * CHANNELS_TOGETHER;
    let panel_start = first / weight.panel * (taps_y * weight.groups * taps_x * line);
    let pixel = job.input_pixels.pixel;
    // The distances that matter are known to the compiler, so that no register holds an address for each pixel.
    let step = if STEP == 0 { stride * pixel } else { STEP };
    // SAFETY: every address that is read or written lies in its slice by the caller's promise.
    unsafe {
        let mut sums = [[simd.zero(); VECTORS]; PIXELS];
        let mut others = [[simd.zero(); VECTORS]; PIXELS];
        let mut taps = weight.data.as_ptr().add(panel_start + first % weight.panel * CHANNELS_TOGETHER);
        let start = job.input_pixels.of_image(image).shifted(stride * y, stride * x).start;
        let mut input_row = job.input.as_ptr().add(start);
        for _ in 0..taps_y {
            let mut pixel_start = input_row;
            for _ in 0..taps_x {
                let mut input = pixel_start;
                for _ in 0..weight.groups {
                    let mut loaded = [simd.weights(taps); VECTORS];
                    for (v, loaded) in loaded.iter_mut().enumerate().skip(1) {
                        *loaded = simd.weights(taps.add(v * S::LANES * CHANNELS_TOGETHER));
                    }
                    add(simd, &mut sums, &loaded, input, step);
                    if BLOCKS == 2 {
                        add(simd, &mut others, &loaded, input.add(PIXELS * step), step);
                    }
                    taps = taps.wrapping_add(line);
                    input = input.wrapping_add(CHANNELS_TOGETHER);
                }
                pixel_start = pixel_start.wrapping_add(pixel);
            }
            input_row = input_row.wrapping_add(job.input_pixels.row);
        }
        finish(simd, job, sums, first, [image, y, x]);
        if BLOCKS == 2 {
            finish(simd, job, others, first, [image, y, x + PIXELS]);
        }
    }
}

/// Adds the products of four channels of each pixel, `step` bytes apart.
///
/// # Safety
/// `input` holds four channels there.
#[inline(always)]
unsafe fn add<S: IntegerSimd, const PIXELS: usize, const VECTORS: usize>(
    simd: S,
    sums: &mut [[S::Sums; VECTORS]; PIXELS],
    weights: &[S::Weights; VECTORS],
    input: *const u8,
    step: usize,
) {
    for (p, sums) in sums.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        let inputs = unsafe { simd.inputs(input.add(p * step)) };
        for (sum, weights) in sums.iter_mut().zip(weights) {
            *sum = simd.dot(*sum, inputs, *weights);
        }
    }
}

/// Writes the outputs of neighboring pixels from `(y, x)`.
///
/// # Safety
/// As for [`IntegerConvolution::check`].
#[inline(always)]
unsafe fn finish<S: IntegerSimd, const PIXELS: usize, const VECTORS: usize>(
    simd: S,
    job: &mut IntegerConvolution,
    sums: [[S::Sums; VECTORS]; PIXELS],
    first: usize,
    [image, y, x]: [usize; 3],
) {
    let output = job.output_pixels.of_image(image).shifted(y, x);
    // SAFETY: every address lies in its slice by the caller's promise.
    unsafe {
        let to = job.output.as_mut_ptr().add(output.start + first);
        let residual = job.residual.map(|residual| {
            let pixels = residual.pixels.of_image(image).shifted(y, x);
            (residual.images.as_ptr().add(pixels.start + first), pixels.pixel)
        });
        for (p, sums) in sums.into_iter().enumerate() {
            for (v, sum) in sums.into_iter().enumerate() {
                let lane = v * S::LANES;
                let residual = residual.map(|(residual, pixel)| residual.add(p * pixel + lane));
                simd.finish(sum, job.rule, first + lane, residual, to.add(p * output.pixel + lane));
            }
        }
    }
}
