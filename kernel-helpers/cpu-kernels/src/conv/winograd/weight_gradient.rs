//! The gradient by the weight, summed point by point over tiles and images, transformed back once at the end.

use super::transform::{transform_input, transform_output_gradient};
use super::{BLOCK, CHANNELS_MAX, Lanes, POINTS, Scratch, Tiles, blocks_of_outputs, is_narrow};
use crate::LANES_MAX;
use crate::conv::Pixels;
use crate::simd::{Kernel, Simd};

/// The most values of a point in each of the two scratch buffers, which fit L2 together.
const VALUES: usize = 16 * CHANNELS_MAX;

/// Adds an image's gradient to `sum`, `[point][input channel][output channel]`, for [`finish_weight_gradient`].
pub struct WinogradWeightGradient<'a> {
    /// With its own border.
    pub input: &'a [f32],
    pub input_pixels: Pixels,
    pub inputs: usize,
    pub output_gradient: &'a [f32],
    pub output_pixels: Pixels,
    /// At most 64, as are the inputs.
    pub outputs: usize,
    /// Rows and columns of the output, both even.
    pub size: [usize; 2],
    pub sum: &'a mut [f32],
}

impl WinogradWeightGradient<'_> {
    /// Panics if a value that the kernel will touch lies outside its slice.
    fn check(&self) {
        let [rows, columns] = self.size;
        assert!(is_narrow(self.inputs, self.outputs, self.size), "shape not supported");
        assert!(rows > 0 && columns > 0, "shape not supported");
        assert!(self.sum.len() == POINTS * self.inputs * self.outputs, "sum of another size");
        let last_output = (rows - 1) * self.output_pixels.row + (columns - 1) * self.output_pixels.pixel;
        let output_end = self.output_pixels.start + last_output + self.outputs;
        assert!(output_end <= self.output_gradient.len(), "output too short");
        let last_input = (rows + 1) * self.input_pixels.row + (columns + 1) * self.input_pixels.pixel;
        assert!(self.input_pixels.start + last_input + self.inputs <= self.input.len(), "input too short");
    }
}

impl Kernel for WinogradWeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.check();
        let mut input = Scratch::<{ POINTS * (VALUES + LANES_MAX) }>::new();
        let mut gradient = Scratch::<{ POINTS * (VALUES + LANES_MAX) }>::new();
        let (input, gradient) = (input.as_mut_ptr(), gradient.as_mut_ptr());
        let [rows, columns] = self.size;
        let together = VALUES / self.inputs.max(self.outputs);
        for first in (0..rows * columns / 4).step_by(together) {
            let tiles = Tiles { columns, first, count: together.min(rows * columns / 4 - first) };
            // SAFETY: the lengths were just checked; the tiles fit the scratch, which the transforms fill.
            unsafe {
                let (x, pixels) = (self.input, self.input_pixels);
                let places = (tiles.count, |tile| tiles.place(tile, pixels));
                let input_points = tiles.points(self.inputs);
                transform_input(simd, x, pixels, self.inputs, places, input_points, input);
                let (dy, pixels) = (self.output_gradient, self.output_pixels);
                let places = (tiles.count, |tile| tiles.place(tile, pixels));
                let points = tiles.points(self.outputs);
                transform_output_gradient(simd, dy, pixels, self.outputs, places, points, gradient);
                for point in 0..POINTS {
                    let product = PointProduct {
                        tiles: tiles.count,
                        inputs: self.inputs,
                        outputs: self.outputs,
                        input: input.add(point * input_points.point),
                        gradient: gradient.add(point * points.point),
                        sum: self.sum.as_mut_ptr().add(point * self.inputs * self.outputs),
                    };
                    product.add(simd);
                }
            }
        }
    }
}

/// `sum[i][o] += Σ input[tile][i] · gradient[tile][o]`, for one point.
struct PointProduct {
    tiles: usize,
    inputs: usize,
    outputs: usize,
    input: *const f32,
    gradient: *const f32,
    sum: *mut f32,
}

impl PointProduct {
    /// # Safety
    /// The pointers hold as many values as the counts say, in multiples of 16 channels.
    #[inline(always)]
    unsafe fn add<S: Simd>(&self, simd: S) {
        // SAFETY: the caller's promise.
        unsafe {
            match (S::REGISTERS >= 32, self.outputs.is_multiple_of(2 * S::LANES)) {
                (true, true) => self.blocks::<S, 8, 2>(simd),
                (true, false) => self.blocks::<S, 16, 1>(simd),
                (false, _) => self.blocks::<S, 4, 2>(simd),
            }
        }
    }

    /// # Safety
    /// As for [`PointProduct::add`].
    #[inline(always)]
    unsafe fn blocks<S: Simd, const INPUTS: usize, const VECTORS: usize>(&self, simd: S) {
        for output in (0..self.outputs).step_by(VECTORS * S::LANES) {
            for input in (0..self.inputs).step_by(INPUTS) {
                // SAFETY: the caller's promise; both numbers of channels are multiples of the block's.
                unsafe { self.block::<S, INPUTS, VECTORS>(simd, input, output) };
            }
        }
    }

    /// `INPUTS` input channels by `VECTORS` vectors of output channels, summed in registers over the tiles.
    ///
    /// # Safety
    /// As for [`PointProduct::add`].
    #[inline(always)]
    unsafe fn block<S: Simd, const INPUTS: usize, const VECTORS: usize>(
        &self,
        simd: S,
        input: usize,
        output: usize,
    ) {
        let mut sums = [[simd.splat(0.0); VECTORS]; INPUTS];
        // SAFETY: the caller's promise.
        unsafe {
            for tile in 0..self.tiles {
                let gradient = self.gradient.add(tile * self.outputs + output);
                let mut loaded = [simd.splat(0.0); VECTORS];
                for (v, loaded) in loaded.iter_mut().enumerate() {
                    *loaded = simd.load(gradient.add(v * S::LANES));
                }
                let values = self.input.add(tile * self.inputs + input);
                for (i, sums) in sums.iter_mut().enumerate() {
                    let value = simd.splat(*values.add(i));
                    for (sum, loaded) in sums.iter_mut().zip(loaded) {
                        *sum = simd.mul_add(value, loaded, *sum);
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    let to = self.sum.add((input + i) * self.outputs + output + v * S::LANES);
                    simd.store(to, simd.add(simd.load(to), *sum));
                }
            }
        }
    }
}

/// `Gᵀ m G` of the summed points, added to the 3x3 taps of `gradient` that begin where `place` says for an output and an
/// input.
pub fn finish_weight_gradient(
    sum: &[f32],
    [inputs, outputs]: [usize; 2],
    place: impl Fn(usize, usize) -> Option<usize>,
    gradient: &mut [f32],
) {
    for (first, input) in blocks_of_outputs(outputs, inputs) {
        // At their distance in the sum, the points would drive each other out of the cache.
        let points: [Lanes; POINTS] = std::array::from_fn(|point| {
            sum[(point * inputs + input) * outputs + first..][..BLOCK].try_into().expect("a block")
        });
        let taps = transform_points(&points);
        for lane in 0..BLOCK {
            let Some(start) = place(first + lane, input) else { continue };
            for (to, value) in gradient[start..][..9].iter_mut().zip(taps.as_flattened()) {
                *to += value[lane];
            }
        }
    }
}

/// `Gᵀ m G` of some weights' points side by side, tap after tap.
fn transform_points(points: &[Lanes; POINTS]) -> [[Lanes; 3]; 3] {
    let line = |[a, b, c, d]: [Lanes; 4]| -> [Lanes; 3] {
        [
            std::array::from_fn(|lane| a[lane] + 0.5 * (b[lane] + c[lane])),
            std::array::from_fn(|lane| 0.5 * (b[lane] - c[lane])),
            std::array::from_fn(|lane| 0.5 * (b[lane] + c[lane]) + d[lane]),
        ]
    };
    let columns: [[Lanes; 3]; 4] =
        std::array::from_fn(|x| line([points[x], points[4 + x], points[8 + x], points[12 + x]]));
    std::array::from_fn(|ky| line(columns.map(|column| column[ky])))
}
