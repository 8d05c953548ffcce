//! The convolution between many channels. The tiles of several images are transformed together, and each point's weight is
//! then read from the cache for all of them.

use super::transform::{transform_input, transform_output};
use super::{POINTS, Place, Points, WinogradWeight};
use crate::LANES_MAX;
use crate::conv::Pixels;
use crate::simd::{Kernel, Simd};

/// The tiles that are transformed together: so many that reading the weight takes less time than multiplying with it, so
/// few that a point's values stay in L2. A multiple of what the registers hold.
pub const TILES: usize = 96;

/// The tiles of several images, image after image and row after row. Those at the end of odd rows and columns are cut.
#[derive(Clone, Copy)]
pub(super) struct WideTiles {
    /// Rows and columns of the output.
    pub size: [usize; 2],
}

impl WideTiles {
    pub fn per_image(self) -> usize {
        self.size[0].div_ceil(2) * self.size[1].div_ceil(2)
    }

    /// Where a tile's first pixel lies.
    #[inline(always)]
    pub fn place(self, tile: usize, pixels: Pixels) -> Place {
        let ([rows, columns], per_image, per_row) = (self.size, self.per_image(), self.size[1].div_ceil(2));
        let (image, tile) = (tile / per_image, tile % per_image);
        let (y, x) = (tile / per_row * 2, tile % per_row * 2);
        let start = pixels.of_image(image).shifted(y, x).start;
        Place { start, cut: [y + 1 == rows, x + 1 == columns] }
    }
}

/// The layout of so many tiles' transformed values, in blocks of 16 channels: `[point][block][tile][channel]`. From block
/// to block there is a cache line more than they need, for the reason that [`Points`] names.
pub(super) fn blocks(tiles: usize, channels: usize) -> Points {
    let block = (tiles + 1) * LANES_MAX;
    Points { point: channels / LANES_MAX * block + LANES_MAX, tile: LANES_MAX, block }
}

/// How many of so many tiles are transformed together: at most [`TILES`], and equally many each time.
pub(super) fn together(tiles: usize) -> usize {
    tiles.div_ceil(tiles.div_ceil(TILES).max(1)).next_multiple_of(MULTIPLE)
}

/// Values of scratch that the transformed tiles of so many images take.
pub(super) fn scratch(images: usize, size: [usize; 2], channels: usize) -> usize {
    POINTS * blocks(together(images * WideTiles { size }.per_image()), channels).point
}

/// The same as [`Winograd`](super::Winograd) for any numbers of channels that are multiples of 16, any size and several
/// images.
pub struct Wide<'a> {
    pub images: usize,
    pub input: &'a [f32],
    pub input_pixels: Pixels,
    pub weight: &'a WinogradWeight,
    pub output: &'a mut [f32],
    pub output_pixels: Pixels,
    /// Rows and columns of the output.
    pub size: [usize; 2],
    /// Room as [`Wide::scratch`] says.
    pub scratch: [&'a mut [f32]; 2],
}

impl Wide<'_> {
    /// The lengths of the scratch for so many images, outputs of `size`.
    pub fn scratch(weight: &WinogradWeight, images: usize, size: [usize; 2]) -> [usize; 2] {
        [weight.inputs, weight.outputs].map(|channels| scratch(images, size, channels))
    }

    /// Panics if a pixel that the kernel will touch lies outside its slice.
    fn check(&self) {
        let ([rows, columns], weight) = (self.size, self.weight);
        assert!(weight.inputs.is_multiple_of(LANES_MAX) && weight.inputs > 0, "shape not supported");
        assert!(weight.data.len() == POINTS * weight.inputs * weight.outputs, "weight incomplete");
        let last_output = self.output_pixels.of_image(self.images - 1).shifted(rows - 1, columns - 1);
        assert!(last_output.start + weight.outputs <= self.output.len(), "output too short");
        let last_input = self.input_pixels.of_image(self.images - 1).shifted(rows + 1, columns + 1);
        assert!(last_input.start + weight.inputs <= self.input.len(), "input too short");
    }
}

impl Kernel for Wide<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let tiles = WideTiles { size: self.size };
        let all = self.images * tiles.per_image();
        if all == 0 {
            return;
        }
        self.check();
        let WinogradWeight { inputs, outputs, panel, .. } = *self.weight;
        let together = together(all);
        let (transformed, products) = (blocks(together, inputs), blocks(together, outputs));
        let [from, to] = self.scratch;
        assert!(from.len() >= POINTS * transformed.point && to.len() >= POINTS * products.point, "no room");
        let (from, to) = (from.as_mut_ptr(), to.as_mut_ptr());
        for first in (0..all).step_by(together) {
            let count = together.min(all - first);
            // SAFETY: the lengths were just checked; the tiles fit the scratch, which each step fills for the next.
            unsafe {
                let place = |tile| tiles.place(first + tile, self.input_pixels);
                let (input, pixels) = (self.input, self.input_pixels);
                transform_input(simd, input, pixels, inputs, (count, place), transformed, from);
                for at in 0..POINTS * outputs / panel {
                    let (point, first) = (at / (outputs / panel), at % (outputs / panel) * panel);
                    let product = Product {
                        inputs,
                        panel,
                        weight: self.weight.data.as_ptr().add((first * POINTS + point * panel) * inputs),
                        from: from.add(transformed.at(point, 0, 0)),
                        from_block: transformed.block,
                        to: to.add(products.at(point, 0, first)),
                        to_block: products.block,
                        tiles: count,
                    };
                    product.run(simd);
                }
                let place = |tile| tiles.place(first + tile, self.output_pixels);
                let (output, pixels) = (&mut *self.output, self.output_pixels);
                transform_output(simd, to, outputs, (count, place), products, output, pixels);
            }
        }
    }
}

/// The fewest tiles that are multiplied together; there is room for multiples of it.
const MULTIPLE: usize = 4;

/// A point's product of the tiles with a panel of the weight.
struct Product {
    inputs: usize,
    panel: usize,
    weight: *const f32,
    from: *const f32,
    from_block: usize,
    to: *mut f32,
    to_block: usize,
    tiles: usize,
}

impl Product {
    /// # Safety
    /// The pointers hold as many values as the counts say, and those of tiles up to the next multiple of [`MULTIPLE`].
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S) {
        // SAFETY: the caller's promise.
        unsafe {
            match (S::REGISTERS >= 32, self.panel / S::LANES) {
                (true, 1) => self.tiles::<S, 12, 1>(simd),
                (true, _) => self.tiles::<S, 12, 2>(simd),
                (false, _) => self.tiles::<S, 4, 2>(simd),
            }
        }
    }

    /// # Safety
    /// As for [`Product::run`].
    #[inline(always)]
    unsafe fn tiles<S: Simd, const TILES: usize, const VECTORS: usize>(&self, simd: S) {
        for output in (0..self.panel).step_by(VECTORS * S::LANES) {
            let mut tile = 0;
            // SAFETY: the caller's promise.
            unsafe {
                while tile + TILES <= self.tiles {
                    self.block::<S, TILES, VECTORS>(simd, tile, output);
                    tile += TILES;
                }
                while tile < self.tiles {
                    self.block::<S, MULTIPLE, VECTORS>(simd, tile, output);
                    tile += MULTIPLE;
                }
            }
        }
    }

    /// `TILES` tiles by `VECTORS` vectors of outputs, summed in registers over the input channels.
    ///
    /// # Safety
    /// As for [`Product::run`].
    #[inline(always)]
    unsafe fn block<S: Simd, const TILES: usize, const VECTORS: usize>(
        &self,
        simd: S,
        tile: usize,
        output: usize,
    ) {
        let mut sums = [[simd.splat(0.0); VECTORS]; TILES];
        // SAFETY: the caller's promise.
        unsafe {
            let mut weight = self.weight.add(output);
            for block in 0..self.inputs / LANES_MAX {
                let from = self.from.add(block * self.from_block + tile * LANES_MAX);
                for channel in 0..LANES_MAX {
                    let mut loaded = [simd.splat(0.0); VECTORS];
                    for (v, loaded) in loaded.iter_mut().enumerate() {
                        *loaded = simd.load(weight.add(v * S::LANES));
                    }
                    weight = weight.wrapping_add(self.panel);
                    for (tile, sums) in sums.iter_mut().enumerate() {
                        let value = simd.splat(*from.add(tile * LANES_MAX + channel));
                        for (sum, loaded) in sums.iter_mut().zip(loaded) {
                            *sum = simd.mul_add(value, loaded, *sum);
                        }
                    }
                }
            }
            for (t, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    let output = output + v * S::LANES;
                    let block = output / LANES_MAX * self.to_block + output % LANES_MAX;
                    simd.store(self.to.add(block + (tile + t) * LANES_MAX), *sum);
                }
            }
        }
    }
}
