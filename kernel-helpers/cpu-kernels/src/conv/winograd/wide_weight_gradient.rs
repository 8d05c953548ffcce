//! The gradient by the weight between many channels, for several images.

use super::POINTS;
use super::transform::{transform_input, transform_output_gradient};
use super::wide::{WideTiles, blocks, scratch, together};
use crate::LANES_MAX;
use crate::conv::{BlockProduct, ImagesAndGradients};
use crate::simd::{Kernel, Simd};

/// The same as [`WinogradWeightGradient`](super::WinogradWeightGradient) for any numbers of channels that are multiples of
/// 16, any size and several images.
pub struct WideWeightGradient<'a> {
    pub pairs: ImagesAndGradients<'a>,
    pub inputs: usize,
    pub outputs: usize,
    /// Rows and columns of the output.
    pub size: [usize; 2],
    pub sum: &'a mut [f32],
    /// Room as [`WideWeightGradient::scratch`] says.
    pub scratch: [&'a mut [f32]; 2],
}

impl WideWeightGradient<'_> {
    /// The lengths of the scratch for so many inputs and outputs, images, and outputs of `size`.
    pub fn scratch(channels: [usize; 2], images: usize, size: [usize; 2]) -> [usize; 2] {
        channels.map(|channels| scratch(images, size, channels))
    }

    /// Panics if a pixel that the kernel will touch lies outside its slice.
    fn check(&self) {
        let [rows, columns] = self.size;
        let channels = [self.inputs, self.outputs];
        assert!(channels.iter().all(|channels| channels.is_multiple_of(LANES_MAX)), "channels not padded");
        assert!(self.sum.len() == POINTS * self.inputs * self.outputs, "sum of another size");
        let last_output =
            self.pairs.gradient_pixels.of_image(self.pairs.count - 1).shifted(rows - 1, columns - 1);
        assert!(last_output.start + self.outputs <= self.pairs.gradient.len(), "output too short");
        let last_input =
            self.pairs.input_pixels.of_image(self.pairs.count - 1).shifted(rows + 1, columns + 1);
        assert!(last_input.start + self.inputs <= self.pairs.input.len(), "input too short");
        let needed = Self::scratch(channels, self.pairs.count, self.size);
        assert!(self.scratch.iter().zip(needed).all(|(scratch, needed)| scratch.len() >= needed), "no room");
    }
}

impl Kernel for WideWeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let tiles = WideTiles { size: self.size };
        let all = self.pairs.count * tiles.per_image();
        if all == 0 {
            return;
        }
        self.check();
        let together = together(all);
        let (inputs, outputs) = (self.inputs, self.outputs);
        let (input_points, points) = (blocks(together, inputs), blocks(together, outputs));
        let [input, gradient] = self.scratch;
        let (input, gradient) = (input.as_mut_ptr(), gradient.as_mut_ptr());
        for first in (0..all).step_by(together) {
            let count = together.min(all - first);
            // SAFETY: the lengths were just checked; the tiles fit the scratch, which the transforms fill.
            unsafe {
                let (x, pixels) = (self.pairs.input, self.pairs.input_pixels);
                let places = (count, |tile| tiles.place(first + tile, pixels));
                transform_input(simd, x, pixels, inputs, places, input_points, input);
                let (dy, pixels) = (self.pairs.gradient, self.pairs.gradient_pixels);
                let places = (count, |tile| tiles.place(first + tile, pixels));
                transform_output_gradient(simd, dy, pixels, outputs, places, points, gradient);
                for point in 0..POINTS {
                    let product = BlockProduct {
                        terms: count,
                        inputs,
                        outputs,
                        input: input.add(input_points.at(point, 0, 0)),
                        input_block: input_points.block,
                        gradient: gradient.add(points.at(point, 0, 0)),
                        block: points.block,
                        sum: self.sum.as_mut_ptr().add(point * inputs * outputs),
                    };
                    product.add(simd);
                }
            }
        }
    }
}
