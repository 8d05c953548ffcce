//! The choice between the convolution algorithms.

use super::winograd::{self, Winograd, WinogradWeight};
use super::{Direct, PackedWeight, Pixels};
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
    Winograd(WinogradWeight),
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
            true => Algorithm::Winograd(WinogradWeight::new(outputs, inputs, at)),
            false => Algorithm::Direct(PackedWeight::new(outputs, inputs, taps, at)),
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
        for image in 0..images {
            let (input_pixels, output_pixels) = (input_pixels.of_image(image), output_pixels.of_image(image));
            match &self.algorithm {
                Algorithm::Direct(weight) => {
                    isa.run(Direct { input, input_pixels, weight, stride, output, output_pixels, size });
                }
                Algorithm::Winograd(weight) => {
                    isa.run(Winograd { input, input_pixels, weight, output, output_pixels, size });
                }
            }
        }
    }
}
