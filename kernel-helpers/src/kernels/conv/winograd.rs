//! Winograd's convolution F(2x2, 3x3) (Lavin and Gray, 2015): a 3x3 convolution with stride 1 in 16 instead of 36
//! multiplications for each 2x2 outputs. The transforms only add and halve, so it is about as exact as the direct form.

use super::Pixels;
use crate::kernels::LANES_MAX;
use crate::kernels::simd::{Kernel, Simd};
use std::mem::MaybeUninit;

/// Values of a transformed tile, 4 x 4.
const POINTS: usize = 16;
/// The most tiles that are transformed together, and the most values of each point: both scratch buffers fit L1.
const TILES: usize = 16;
const VALUES: usize = 512;

/// A transformed weight in panels of 16 or 32 output channels:
/// `[panel][point][input channel][output channel in the panel]`.
#[derive(Clone, Debug, Default)]
pub struct WinogradWeight {
    data: Vec<f32>,
    inputs: usize,
    outputs: usize,
    panel: usize,
}

impl WinogradWeight {
    /// Whether these kernels compute a 3x3 convolution with stride 1 between so many channels, to outputs of `size`.
    pub fn is_supported(inputs: usize, outputs: usize, size: [usize; 2]) -> bool {
        inputs.is_multiple_of(LANES_MAX)
            && (LANES_MAX..=VALUES / 8).contains(&inputs)
            && outputs.is_multiple_of(LANES_MAX)
            && size.iter().all(|extent| extent.is_multiple_of(2))
    }

    /// Transforms the weight that `at(output, input, ky, kx)` gives.
    pub fn new(outputs: usize, inputs: usize, at: impl Fn(usize, usize, usize, usize) -> f32) -> Self {
        let panel = if outputs.is_multiple_of(2 * LANES_MAX) { 2 * LANES_MAX } else { LANES_MAX };
        let mut data = vec![0.0; POINTS * inputs * outputs];
        for output in 0..outputs {
            let first = output / panel * POINTS * inputs * panel + output % panel;
            for input in 0..inputs {
                let points = transform_weight(|ky, kx| at(output, input, ky, kx));
                for (point, value) in points.into_iter().enumerate() {
                    data[first + (point * inputs + input) * panel] = value;
                }
            }
        }
        WinogradWeight { data, inputs, outputs, panel }
    }
}

/// `G g Gᵀ`, point after point.
fn transform_weight(at: impl Fn(usize, usize) -> f32) -> [f32; POINTS] {
    let row = |[a, b, c]: [f32; 3]| [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c];
    let columns: [[f32; 4]; 3] = std::array::from_fn(|kx| row([at(0, kx), at(1, kx), at(2, kx)]));
    let rows: [[f32; 4]; 4] = std::array::from_fn(|y| row([columns[0][y], columns[1][y], columns[2][y]]));
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
        assert!(
            WinogradWeight::is_supported(weight.inputs, weight.outputs, self.size),
            "shape not supported"
        );
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

    /// The row and column of a tile's first output.
    #[inline(always)]
    fn place(&self, tile: usize) -> (usize, usize) {
        let tiles_in_row = self.size[1] / 2;
        (tile / tiles_in_row * 2, tile % tiles_in_row * 2)
    }
}

/// The transformed input `[point][tile][input channel]`, and a panel of products `[point][tile][output channel]`.
struct Scratch {
    input: [MaybeUninit<f32>; POINTS * VALUES],
    products: [MaybeUninit<f32>; POINTS * TILES * 2 * LANES_MAX],
}

impl Kernel for Winograd<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        self.check();
        let mut scratch = Scratch {
            input: [MaybeUninit::uninit(); POINTS * VALUES],
            products: [MaybeUninit::uninit(); POINTS * TILES * 2 * LANES_MAX],
        };
        let (tiles, panel) = (self.size[0] * self.size[1] / 4, self.weight.panel);
        let together = TILES.min(VALUES / self.weight.inputs);
        for first in (0..tiles).step_by(together) {
            let count = together.min(tiles - first);
            // SAFETY: the lengths were just checked; `count` tiles fit the scratch, which each step fills for the next.
            unsafe {
                transform_input(simd, &self, &mut scratch, first, count);
                for output in (0..self.weight.outputs).step_by(panel) {
                    multiply(simd, &self, &mut scratch, output, count);
                    transform_output(simd, &mut self, &scratch, output, first, count);
                }
            }
        }
    }
}

/// `Bᵀ d B` of each tile's 4x4 inputs.
///
/// # Safety
/// As for [`Winograd::check`]; `count` tiles from `first` are tiles of the output and fit the scratch.
#[inline(always)]
unsafe fn transform_input<S: Simd>(
    simd: S,
    job: &Winograd,
    scratch: &mut Scratch,
    first: usize,
    count: usize,
) {
    let (inputs, pixels) = (job.weight.inputs, job.input_pixels);
    let to = scratch.input.as_mut_ptr().cast::<f32>();
    for tile in 0..count {
        let (y, x) = job.place(first + tile);
        for channel in (0..inputs).step_by(S::LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                let from = job.input.as_ptr().add(pixels.start + y * pixels.row + x * pixels.pixel + channel);
                let line = |[a, b, c, d]: [S::Vector; 4]| {
                    [simd.sub(a, c), simd.add(b, c), simd.sub(c, b), simd.sub(b, d)]
                };
                let mut rows = [[simd.splat(0.0); 4]; 4];
                for x in 0..4 {
                    let from = from.add(x * pixels.pixel);
                    let column = line([
                        simd.load(from),
                        simd.load(from.add(pixels.row)),
                        simd.load(from.add(2 * pixels.row)),
                        simd.load(from.add(3 * pixels.row)),
                    ]);
                    for (row, value) in rows.iter_mut().zip(column) {
                        row[x] = value;
                    }
                }
                for (y, row) in rows.into_iter().enumerate() {
                    let row = line(row);
                    for (x, value) in row.into_iter().enumerate() {
                        simd.store(to.add(((4 * y + x) * count + tile) * inputs + channel), value);
                    }
                }
            }
        }
    }
}

/// Each point's matrix product of the transformed inputs with the transformed weight, for one panel of outputs.
///
/// # Safety
/// As for [`transform_input`], which has filled the scratch.
#[inline(always)]
unsafe fn multiply<S: Simd>(simd: S, job: &Winograd, scratch: &mut Scratch, output: usize, count: usize) {
    let weight = job.weight;
    let panel_size = POINTS * weight.inputs * weight.panel;
    for point in 0..POINTS {
        // SAFETY: the caller's promise; the blocks stay within the tiles and the panel.
        unsafe {
            let from = scratch.input.as_ptr().cast::<f32>().add(point * count * weight.inputs);
            let weights = weight.data.as_ptr().add(output / weight.panel * panel_size);
            let weights = weights.add(point * weight.inputs * weight.panel);
            let to = scratch.products.as_mut_ptr().cast::<f32>().add(point * count * weight.panel);
            match (S::REGISTERS >= 32, weight.panel / S::LANES) {
                (true, 1) => products::<S, 16, 1>(simd, weight, weights, from, to, count),
                (true, _) => products::<S, 8, 2>(simd, weight, weights, from, to, count),
                (false, _) => products::<S, 4, 2>(simd, weight, weights, from, to, count),
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

/// `Aᵀ m A` of each tile's products: its 2x2 outputs.
///
/// # Safety
/// As for [`transform_input`]; [`multiply`] has filled the products.
#[inline(always)]
unsafe fn transform_output<S: Simd>(
    simd: S,
    job: &mut Winograd,
    scratch: &Scratch,
    output: usize,
    first: usize,
    count: usize,
) {
    let (panel, pixels) = (job.weight.panel, job.output_pixels);
    let from = scratch.products.as_ptr().cast::<f32>();
    for tile in 0..count {
        let (y, x) = job.place(first + tile);
        for channel in (0..panel).step_by(S::LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                let line =
                    |[a, b, c, d]: [S::Vector; 4]| [simd.add(simd.add(a, b), c), simd.sub(simd.sub(b, c), d)];
                let at = |point: usize| simd.load(from.add((point * count + tile) * panel + channel));
                let mut rows = [[simd.splat(0.0); 4]; 2];
                for x in 0..4 {
                    let column = line([at(x), at(4 + x), at(8 + x), at(12 + x)]);
                    for (row, value) in rows.iter_mut().zip(column) {
                        row[x] = value;
                    }
                }
                let start = pixels.start + y * pixels.row + x * pixels.pixel + output + channel;
                for (y, row) in rows.into_iter().enumerate() {
                    let row = line(row);
                    for (x, value) in row.into_iter().enumerate() {
                        simd.store(
                            job.output.as_mut_ptr().add(start + y * pixels.row + x * pixels.pixel),
                            value,
                        );
                    }
                }
            }
        }
    }
}
