//! The gradient by the weight between many channels, for several images. Inputs and output gradients are copied into
//! blocks first: at their own distance from pixel to pixel they would compete for the same few places in the cache.

use super::{BlockProduct, ImagesAndGradients, Pixels};
use crate::LANES_MAX;
use crate::simd::{Kernel, Simd};

/// Channels, sizes and taps of a convolution.
#[derive(Clone, Copy)]
pub struct BlockedShape {
    /// A multiple of 16, as are the outputs.
    pub inputs: usize,
    pub outputs: usize,
    /// Rows and columns of the output.
    pub size: [usize; 2],
    pub stride: usize,
    pub taps: [usize; 2],
}

/// The pixels that are multiplied together at most, so that two blocks of their gradients stay in L1.
const PIXELS: usize = 128;
/// The most values of the copied inputs, which stay in L2.
const VALUES: usize = 1 << 18;

impl BlockedShape {
    /// Inputs of an output.
    fn window(&self) -> usize {
        self.taps[0] * self.taps[1] * self.inputs
    }

    /// The rows whose pixels are multiplied together.
    fn rows_together(&self) -> usize {
        (PIXELS.min(VALUES / self.window()) / self.size[1]).max(1)
    }

    /// From a block of 16 channels to the next; a cache line more than the pixels need, so that the blocks do not compete
    /// for the same places either.
    fn block(&self) -> usize {
        (self.rows_together() * self.size[1] + 1) * LANES_MAX
    }

    /// The lengths of the scratch.
    pub fn scratch(&self) -> [usize; 2] {
        [self.window(), self.outputs].map(|channels| channels / LANES_MAX * self.block())
    }
}

/// The same as [`WeightGradient`](super::WeightGradient) for several images, any stride and any number of taps.
pub struct BlockedWeightGradient<'a> {
    /// The images with their own borders.
    pub pairs: ImagesAndGradients<'a>,
    pub shape: BlockedShape,
    pub gradient: &'a mut [f32],
    /// Room as [`BlockedShape::scratch`] says.
    pub scratch: [&'a mut [f32]; 2],
}

impl BlockedWeightGradient<'_> {
    /// Panics if a value that the kernel will touch lies outside its slice.
    fn check(&self) {
        let BlockedShape { inputs, outputs, size: [rows, columns], stride, taps: [taps_y, taps_x] } =
            self.shape;
        assert!(rows > 0 && columns > 0 && taps_y > 0 && taps_x > 0, "empty convolution");
        let channels = [inputs, outputs];
        assert!(channels.iter().all(|channels| channels.is_multiple_of(LANES_MAX)), "channels not padded");
        let ImagesAndGradients { count, input, input_pixels, gradient, gradient_pixels } = self.pairs;
        let last_output = gradient_pixels.of_image(count - 1).shifted(rows - 1, columns - 1);
        assert!(last_output.start + outputs <= gradient.len(), "output too short");
        let (last_y, last_x) = (stride * (rows - 1) + taps_y - 1, stride * (columns - 1) + taps_x - 1);
        let last_input = input_pixels.of_image(count - 1).shifted(last_y, last_x);
        assert!(last_input.start + inputs <= input.len(), "input too short");
        assert!(self.gradient.len() == self.shape.window() * outputs, "gradient of another size");
        let needed = self.shape.scratch();
        assert!(self.scratch.iter().zip(needed).all(|(scratch, needed)| scratch.len() >= needed), "no room");
    }
}

impl Kernel for BlockedWeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if self.pairs.count == 0 {
            return;
        }
        self.check();
        let (shape, pairs) = (self.shape, self.pairs);
        let [rows, columns] = shape.size;
        let (all, together) = (pairs.count * rows, shape.rows_together());
        let [input, gradient] = self.scratch;
        let (input, gradient) = (input.as_mut_ptr(), gradient.as_mut_ptr());
        for row in (0..all).step_by(together) {
            let count = together.min(all - row);
            // SAFETY: just checked; the copies fit the scratch, and are what is multiplied.
            unsafe {
                for tap in 0..shape.taps[0] * shape.taps[1] {
                    let (ky, kx) = (tap / shape.taps[1], tap % shape.taps[1]);
                    let pixels = Pixels {
                        row: shape.stride * pairs.input_pixels.row,
                        pixel: shape.stride * pairs.input_pixels.pixel,
                        ..pairs.input_pixels.shifted(ky, kx)
                    };
                    let to = input.add(tap * shape.inputs / LANES_MAX * shape.block());
                    copy_rows(simd, &shape, pairs.input, pixels, shape.inputs, row, count, to);
                }
                let pixels = pairs.gradient_pixels;
                copy_rows(simd, &shape, pairs.gradient, pixels, shape.outputs, row, count, gradient);
                let product = BlockProduct {
                    terms: count * columns,
                    inputs: shape.window(),
                    outputs: shape.outputs,
                    input,
                    input_block: shape.block(),
                    gradient,
                    block: shape.block(),
                    sum: self.gradient.as_mut_ptr(),
                };
                product.add(simd);
            }
        }
    }
}

/// Copies `count` rows of all images from row `first` on into blocks of channels.
///
/// # Safety
/// `from` holds the rows' pixels, `to` has room for them; `channels` is a multiple of 16.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
unsafe fn copy_rows<S: Simd>(
    simd: S,
    shape: &BlockedShape,
    from: &[f32],
    pixels: Pixels,
    channels: usize,
    first: usize,
    count: usize,
    to: *mut f32,
) {
    let [rows, columns] = shape.size;
    for row in 0..count {
        let (image, y) = ((first + row) / rows, (first + row) % rows);
        for x in 0..columns {
            // SAFETY: the caller's promise.
            unsafe {
                let from = from.as_ptr().add(pixels.of_image(image).shifted(y, x).start);
                let to = to.add((row * columns + x) * LANES_MAX);
                for block in 0..channels / LANES_MAX {
                    for lane in (0..LANES_MAX).step_by(S::LANES) {
                        let value = simd.load(from.add(block * LANES_MAX + lane));
                        simd.store(to.add(block * shape.block() + lane), value);
                    }
                }
            }
        }
    }
}
