//! The convolution itself.

use super::transform::{transform_input, transform_output};
use super::{BLOCK, CHANNELS_MAX, Lanes, POINTS, Scratch, Tiles, blocks_of_outputs, is_narrow};
use crate::conv::Pixels;
use crate::simd::{Kernel, Simd};
use crate::{AlignedVec, LANES_MAX};

/// The most tiles that are transformed together, and the most values of each point: both scratch buffers fit L1.
const TILES: usize = 16;
const VALUES: usize = 8 * CHANNELS_MAX;

/// A transformed weight in panels of 16 or 32 output channels:
/// `[panel][point][input channel][output channel in the panel]`.
#[derive(Clone, Debug, Default)]
pub struct WinogradWeight {
    pub(super) data: AlignedVec,
    pub(super) inputs: usize,
    /// A multiple of 16.
    pub(super) outputs: usize,
    pub(super) panel: usize,
}

impl WinogradWeight {
    /// Transforms the weight that `at(output, input, ky, kx)` gives. Up to the next multiple of 16, outputs are zero.
    pub fn new(filters: usize, inputs: usize, at: impl Fn(usize, usize, usize, usize) -> f32) -> Self {
        let outputs = filters.next_multiple_of(LANES_MAX);
        let panel = if outputs.is_multiple_of(2 * LANES_MAX) { 2 * LANES_MAX } else { LANES_MAX };
        let mut data = AlignedVec::zeros(POINTS * inputs * outputs);
        for (block, input) in blocks_of_outputs(filters, inputs) {
            let mut taps = [[[0.0; BLOCK]; 3]; 3];
            for output in block..filters.min(block + BLOCK) {
                for tap in 0..9 {
                    taps[tap / 3][tap % 3][output - block] = at(output, input, tap / 3, tap % 3);
                }
            }
            let points = transform_weights(&taps);
            let first = block / panel * POINTS * inputs * panel + block % panel;
            for (point, values) in points.iter().enumerate() {
                data[first + (point * inputs + input) * panel..][..BLOCK].copy_from_slice(values);
            }
        }
        WinogradWeight { data, inputs, outputs, panel }
    }
}

/// `G g Gᵀ` of some weights side by side, point after point.
fn transform_weights(taps: &[[Lanes; 3]; 3]) -> [Lanes; POINTS] {
    let row = |[a, b, c]: [Lanes; 3]| {
        let middle = |sign: f32| std::array::from_fn(|lane| 0.5 * (a[lane] + sign * b[lane] + c[lane]));
        [a, middle(1.0), middle(-1.0), c]
    };
    let columns: [[Lanes; 4]; 3] = std::array::from_fn(|kx| row([taps[0][kx], taps[1][kx], taps[2][kx]]));
    let rows: [[Lanes; 4]; 4] = std::array::from_fn(|y| row([columns[0][y], columns[1][y], columns[2][y]]));
    std::array::from_fn(|point| rows[point / 4][point % 4])
}

/// The same as [`Direct`](super::Direct) for 3x3 taps and stride 1.
pub struct Winograd<'a> {
    pub input: &'a [f32],
    pub input_pixels: Pixels,
    pub weight: &'a WinogradWeight,
    pub output: &'a mut [f32],
    pub output_pixels: Pixels,
    /// Rows and columns of the output, both even.
    pub size: [usize; 2],
}

impl Winograd<'_> {
    /// Panics if a pixel that the kernel will touch lies outside its slice.
    fn check(&self) {
        let ([rows, columns], weight) = (self.size, self.weight);
        assert!(is_narrow(weight.inputs, weight.outputs, self.size), "shape not supported");
        assert!(rows > 0 && columns > 0, "empty convolution");
        assert!(weight.data.len() == POINTS * weight.inputs * weight.outputs, "weight incomplete");
        let last_output = (rows - 1) * self.output_pixels.row + (columns - 1) * self.output_pixels.pixel;
        assert!(
            self.output_pixels.start + last_output + weight.outputs <= self.output.len(),
            "output too short"
        );
        let last_input = (rows + 1) * self.input_pixels.row + (columns + 1) * self.input_pixels.pixel;
        assert!(self.input_pixels.start + last_input + weight.inputs <= self.input.len(), "input too short");
    }
}

impl Kernel for Winograd<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.check();
        let mut transformed = Scratch::<{ POINTS * (VALUES + LANES_MAX) }>::new();
        let mut products = Scratch::<{ POINTS * (2 * TILES + 1) * LANES_MAX }>::new();
        let (transformed, products) = (transformed.as_mut_ptr(), products.as_mut_ptr());
        let ([rows, columns], panel, inputs) = (self.size, self.weight.panel, self.weight.inputs);
        let together = TILES.min(VALUES / inputs);
        for first in (0..rows * columns / 4).step_by(together) {
            let tiles = Tiles { columns, first, count: together.min(rows * columns / 4 - first) };
            // SAFETY: the lengths were just checked; the tiles fit the scratch, which each step fills for the next.
            unsafe {
                let pixels = self.input_pixels;
                let places = (tiles.count, |tile| tiles.place(tile, pixels));
                transform_input(simd, self.input, pixels, inputs, places, tiles.points(inputs), transformed);
                for output in (0..self.weight.outputs).step_by(panel) {
                    multiply(simd, self.weight, output, tiles, transformed, products);
                    let mut pixels = self.output_pixels;
                    pixels.start += output;
                    let (places, points) =
                        ((tiles.count, |tile| tiles.place(tile, pixels)), tiles.points(panel));
                    transform_output(simd, products, panel, places, points, self.output, pixels);
                }
            }
        }
    }
}

/// Each point's matrix product of the transformed inputs with the transformed weight, for one panel of outputs.
///
/// # Safety
/// `transformed` holds the tiles, `to` has room for their products with a panel, whose first channel is `output`.
#[inline(always)]
unsafe fn multiply<S: Simd>(
    simd: S,
    weight: &WinogradWeight,
    output: usize,
    tiles: Tiles,
    transformed: *const f32,
    to: *mut f32,
) {
    let panel_size = POINTS * weight.inputs * weight.panel;
    for point in 0..POINTS {
        // SAFETY: the caller's promise; the blocks stay within the tiles and the panel.
        unsafe {
            let from = transformed.add(point * tiles.points(weight.inputs).point);
            let weights = weight.data.as_ptr().add(output / weight.panel * panel_size);
            let weights = weights.add(point * weight.inputs * weight.panel);
            let to = to.add(point * tiles.points(weight.panel).point);
            match (S::REGISTERS >= 32, weight.panel / S::LANES) {
                (true, 1) => products::<S, 8, 1>(simd, weight, weights, from, to, tiles.count),
                (true, _) => products::<S, 8, 2>(simd, weight, weights, from, to, tiles.count),
                (false, _) => products::<S, 4, 2>(simd, weight, weights, from, to, tiles.count),
            }
        }
    }
}

/// One point's product, in blocks of `BLOCK` tiles by `VECTORS` vectors, and single tiles.
///
/// # Safety
/// `from` holds `count` tiles of the weight's inputs, `weights` a point of a panel, and `to` has room for `count` tiles
/// of the panel.
#[inline(always)]
unsafe fn products<S: Simd, const BLOCK: usize, const VECTORS: usize>(
    simd: S,
    weight: &WinogradWeight,
    weights: *const f32,
    from: *const f32,
    to: *mut f32,
    count: usize,
) {
    for vector in (0..weight.panel).step_by(VECTORS * S::LANES) {
        let mut tile = 0;
        // SAFETY: the caller's promise.
        unsafe {
            while tile + BLOCK <= count {
                let (from, to) = (from.add(tile * weight.inputs), to.add(tile * weight.panel + vector));
                block::<S, BLOCK, VECTORS>(simd, weight, weights.add(vector), from, to);
                tile += BLOCK;
            }
            while tile + 4 <= count {
                let (from, to) = (from.add(tile * weight.inputs), to.add(tile * weight.panel + vector));
                block::<S, 4, VECTORS>(simd, weight, weights.add(vector), from, to);
                tile += 4;
            }
            while tile < count {
                let (from, to) = (from.add(tile * weight.inputs), to.add(tile * weight.panel + vector));
                block::<S, 1, VECTORS>(simd, weight, weights.add(vector), from, to);
                tile += 1;
            }
        }
    }
}

/// `BLOCK` tiles by `VECTORS` vectors of products, summed in registers over the input channels.
///
/// # Safety
/// As for [`products`].
#[inline(always)]
unsafe fn block<S: Simd, const BLOCK: usize, const VECTORS: usize>(
    simd: S,
    weight: &WinogradWeight,
    weights: *const f32,
    from: *const f32,
    to: *mut f32,
) {
    let mut sums = [[simd.splat(0.0); VECTORS]; BLOCK];
    // SAFETY: the caller's promise.
    unsafe {
        for channel in 0..weight.inputs {
            let mut loaded = [simd.splat(0.0); VECTORS];
            for (v, loaded) in loaded.iter_mut().enumerate() {
                *loaded = simd.load(weights.add(channel * weight.panel + v * S::LANES));
            }
            for (tile, sums) in sums.iter_mut().enumerate() {
                let value = simd.splat(*from.add(tile * weight.inputs + channel));
                for (sum, loaded) in sums.iter_mut().zip(loaded) {
                    *sum = simd.mul_add(value, loaded, *sum);
                }
            }
        }
        for (tile, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                simd.store(to.add(tile * weight.panel + v * S::LANES), *sum);
            }
        }
    }
}
