//! The gradient by the weight of any convolution, for several images, as one matrix product over all their pixels.

use super::ImagesAndGradients;
use crate::LANES_MAX;
use crate::simd::{Kernel, Simd};

/// The same as [`WeightGradient`](super::WeightGradient) for several images, any stride and any number of taps.
pub struct GatheredWeightGradient<'a> {
    pub pairs: ImagesAndGradients<'a>,
    pub inputs: usize,
    /// A multiple of 16.
    pub outputs: usize,
    /// Rows and columns of the output.
    pub size: [usize; 2],
    pub stride: usize,
    pub taps: [usize; 2],
    pub gradient: &'a mut [f32],
    /// Room as [`GatheredWeightGradient::scratch`] says.
    pub scratch: &'a mut [f32],
}

/// The output channels that are multiplied together at most.
const PANEL: usize = 2 * LANES_MAX;

/// The pixels that are multiplied together, in whole rows, so that a panel of their gradients stays in L1.
const PIXELS: usize = 128;

/// How many rows of so many columns that makes.
#[inline(always)]
fn rows_together(columns: usize) -> usize {
    (PIXELS / columns).max(1)
}

/// Neighboring rows of outputs.
#[derive(Clone, Copy)]
struct Rows {
    /// The first one's image and row.
    first: [usize; 2],
    count: usize,
}

impl GatheredWeightGradient<'_> {
    /// The length of the scratch for outputs of `size`.
    pub fn scratch(size: [usize; 2]) -> usize {
        rows_together(size[1]) * size[1] * PANEL
    }

    /// Panics if a value that the kernel will touch lies outside its slice.
    fn check(&self) {
        let ([rows, columns], [taps_y, taps_x]) = (self.size, self.taps);
        assert!(rows > 0 && columns > 0 && taps_y > 0 && taps_x > 0, "empty convolution");
        assert!(self.outputs.is_multiple_of(LANES_MAX), "output channels not padded");
        let last_output =
            self.pairs.gradient_pixels.of_image(self.pairs.count - 1).shifted(rows - 1, columns - 1);
        assert!(last_output.start + self.outputs <= self.pairs.gradient.len(), "output too short");
        let (last_y, last_x) =
            (self.stride * (rows - 1) + taps_y - 1, self.stride * (columns - 1) + taps_x - 1);
        let last_input = self.pairs.input_pixels.of_image(self.pairs.count - 1).shifted(last_y, last_x);
        assert!(last_input.start + self.inputs <= self.pairs.input.len(), "input too short");
        let length = taps_y * taps_x * self.inputs * self.outputs;
        assert!(self.gradient.len() == length, "gradient of another size");
        assert!(self.scratch.len() >= Self::scratch(self.size), "no room");
    }

    /// How many rows the gradient has, one for each tap and input channel.
    #[inline(always)]
    fn rows(&self) -> usize {
        self.taps[0] * self.taps[1] * self.inputs
    }

    /// From an output's first input value to the one that a row of the gradient multiplies.
    #[inline(always)]
    fn distance(&self, row: usize) -> usize {
        let (tap, channel) = (row / self.inputs, row % self.inputs);
        let (ky, kx) = (tap / self.taps[1], tap % self.taps[1]);
        ky * self.pairs.input_pixels.row + kx * self.pairs.input_pixels.pixel + channel
    }
}

impl Kernel for GatheredWeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        if self.pairs.count == 0 {
            return;
        }
        self.check();
        let (all, together) = (self.pairs.count * self.size[0], rows_together(self.size[1]));
        for row in (0..all).step_by(together) {
            let first = [row / self.size[0], row % self.size[0]];
            let rows = Rows { first, count: together.min(all - row) };
            for output in (0..self.outputs).step_by(PANEL) {
                // SAFETY: just checked; the panel that is copied is the one that is multiplied.
                unsafe {
                    match (S::REGISTERS >= 32, (self.outputs - output).min(PANEL) / S::LANES) {
                        (true, 1) => panel::<S, 12, 1>(simd, &mut self, rows, output),
                        (true, _) => panel::<S, 8, 2>(simd, &mut self, rows, output),
                        (false, _) => panel::<S, 4, 2>(simd, &mut self, rows, output),
                    }
                }
            }
        }
    }
}

/// Adds what some rows of outputs give to all rows of the gradient for the panel from `output`.
///
/// # Safety
/// As for [`GatheredWeightGradient::check`].
#[inline(always)]
unsafe fn panel<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    job: &mut GatheredWeightGradient,
    rows: Rows,
    output: usize,
) {
    let width = (job.outputs - output).min(PANEL);
    // SAFETY: the caller's promise; a block of rows ends at or before the last one.
    unsafe {
        copy_panel(simd, job, rows, output, width);
        for first in (0..width).step_by(VECTORS * S::LANES) {
            let mut row = 0;
            while row + ROWS <= job.rows() {
                block::<S, ROWS, VECTORS>(simd, job, rows, row, [output + first, first]);
                row += ROWS;
            }
            while row + 4 <= job.rows() {
                block::<S, 4, VECTORS>(simd, job, rows, row, [output + first, first]);
                row += 4;
            }
            while row < job.rows() {
                block::<S, 1, VECTORS>(simd, job, rows, row, [output + first, first]);
                row += 1;
            }
        }
    }
}

/// Copies the output gradients' channels from `output` to the scratch, without gaps: at their own distance from pixel to
/// pixel they would compete for the same few places in the cache.
///
/// # Safety
/// As for [`GatheredWeightGradient::check`].
#[inline(always)]
unsafe fn copy_panel<S: Simd>(
    simd: S,
    job: &mut GatheredWeightGradient,
    rows: Rows,
    output: usize,
    width: usize,
) {
    let mut to = job.scratch.as_mut_ptr();
    let mut at = rows.first;
    for _ in 0..rows.count {
        let start = job.pairs.gradient_pixels.of_image(at[0]).shifted(at[1], 0).start + output;
        let mut from = job.pairs.gradient.as_ptr().wrapping_add(start);
        for _ in 0..job.size[1] {
            // SAFETY: the caller's promise.
            unsafe {
                for at in (0..width).step_by(S::LANES) {
                    simd.store(to.add(at), simd.load(from.add(at)));
                }
                to = to.add(width);
            }
            from = from.wrapping_add(job.pairs.gradient_pixels.pixel);
        }
        at = next_row(at, job.size[0]);
    }
}

/// The image and row after these.
#[inline(always)]
fn next_row([image, y]: [usize; 2], rows: usize) -> [usize; 2] {
    if y + 1 == rows { [image + 1, 0] } else { [image, y + 1] }
}

/// `ROWS` rows of the gradient from `row` by `VECTORS` vectors of channels, those from the first of `output` in the
/// gradient and from the second in the panel, summed in registers over
/// the pixels.
///
/// # Safety
/// As for [`GatheredWeightGradient::check`].
#[inline(always)]
unsafe fn block<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    job: &mut GatheredWeightGradient,
    rows: Rows,
    row: usize,
    output: [usize; 2],
) {
    let width = (job.outputs - (output[0] - output[1])).min(PANEL);
    let mut sums = [[simd.splat(0.0); VECTORS]; ROWS];
    let mut gradients = job.scratch.as_ptr().wrapping_add(output[1]);
    let mut from = [job.pairs.input.as_ptr(); ROWS];
    for (r, from) in from.iter_mut().enumerate() {
        *from = from.wrapping_add(job.distance(row + r));
    }
    // SAFETY: every address that is read or written lies in its slice by the caller's promise.
    unsafe {
        let mut place = rows.first;
        for _ in 0..rows.count {
            let mut at = job.pairs.input_pixels.of_image(place[0]).shifted(job.stride * place[1], 0).start;
            for _ in 0..job.size[1] {
                let mut loaded = [simd.splat(0.0); VECTORS];
                for (v, loaded) in loaded.iter_mut().enumerate() {
                    *loaded = simd.load(gradients.add(v * S::LANES));
                }
                for (sums, from) in sums.iter_mut().zip(from) {
                    let value = simd.splat(*from.add(at));
                    for (sum, loaded) in sums.iter_mut().zip(loaded) {
                        *sum = simd.mul_add(value, loaded, *sum);
                    }
                }
                gradients = gradients.wrapping_add(width);
                at += job.stride * job.pairs.input_pixels.pixel;
            }
            place = next_row(place, job.size[0]);
        }
        for (r, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let to = (row + r) * job.outputs + output[0] + v * S::LANES;
                let to = job.gradient.as_mut_ptr().add(to);
                simd.store(to, simd.add(simd.load(to), *sum));
            }
        }
    }
}
