//! The choice between the convolution algorithms.

use super::scratch::with_scratch;
use super::winograd::{self, Wide, Winograd, WinogradWeight};
use super::{Direct, direct, Gathered, PackedWeight, Pixels};
use crate::kernels::{Isa, LANES_MAX};

/// A weight, prepared for the algorithm that computes its convolution fastest.
#[derive(Clone, Debug)]
pub struct Filter {
    algorithm: Algorithm,
    stride: usize,
    /// Rows and columns of the output.
    size: [usize; 2],
}

#[derive(Clone, Debug)]
enum Algorithm {
    Direct(PackedWeight),
    Gathered(PackedWeight),
    Winograd(WinogradWeight),
    WideWinograd(WinogradWeight),
}

/// The number of channels and taps of a weight.
#[derive(Clone, Copy, Debug)]
pub struct FilterShape {
    pub outputs: usize,
    pub inputs: usize,
    pub taps: [usize; 2],
}

impl Filter {
    /// Prepares the weight `at(output, input, ky, kx)` for outputs of `size` rows and columns.
    pub fn new(
        shape: FilterShape,
        stride: usize,
        size: [usize; 2],
        at: impl Fn(usize, usize, usize, usize) -> f32,
    ) -> Self {
        let FilterShape { outputs, inputs, taps } = shape;
        let padded = outputs.next_multiple_of(LANES_MAX);
        let transforms = taps == [3, 3] && stride == 1 && winograd::is_supported(inputs, padded, size);
        let algorithm = match transforms {
            true if winograd::is_narrow(inputs, padded, size) => {
                Algorithm::Winograd(WinogradWeight::new(outputs, inputs, at))
            }
            true => Algorithm::WideWinograd(WinogradWeight::new(outputs, inputs, at)),
            false => {
                let weight = PackedWeight::new(outputs, inputs, taps, at);
                match direct::is_best(taps, stride, size[1]) {
                    true => Algorithm::Direct(weight),
                    false => Algorithm::Gathered(weight),
                }
            }
        };
        Filter { algorithm, stride, size }
    }

    /// Convolves images that carry their own borders. Writes output channels up to the next multiple of 16.
    pub fn run(
        &self,
        isa: Isa,
        images: usize,
        input: &[f32],
        input_pixels: Pixels,
        output: &mut [f32],
        output_pixels: Pixels,
    ) {
        let (size, stride) = (self.size, self.stride);
        match &self.algorithm {
            Algorithm::Direct(weight) => {
                isa.run(Direct { images, input, input_pixels, weight, stride, output, output_pixels, size });
            }
            Algorithm::Gathered(weight) => {
                isa.run(Gathered { images, input, input_pixels, weight, stride, output, output_pixels, size });
            }
            Algorithm::Winograd(weight) => {
                for image in 0..images {
                    let input_pixels = input_pixels.of_image(image);
                    let output_pixels = output_pixels.of_image(image);
                    isa.run(Winograd { input, input_pixels, weight, output, output_pixels, size });
                }
            }
            Algorithm::WideWinograd(weight) => {
                with_scratch(Wide::scratch(weight, images, size), |scratch| {
                    isa.run(Wide { images, input, input_pixels, weight, output, output_pixels, size, scratch });
                });
            }
        }
    }
}
