//! The gradient by the weight, summed over the images of a group in the layout of the algorithm that computes it.

use super::winograd::{self, WinogradWeightGradient, finish_weight_gradient};
use super::{Convolution, Pixels, WeightGradient};
use crate::kernels::{Isa, LANES_MAX};

/// Channels that one pass of the transformed algorithm takes.
const TRANSFORMED_OUTPUTS_MAX: usize = 64;

/// Images and the gradients at their convolutions, both channels last.
#[derive(Clone, Copy)]
pub struct ImagesAndGradients<'a> {
    /// How many.
    pub count: usize,
    /// The images with their borders.
    pub input: &'a [f32],
    pub input_pixels: Pixels,
    /// The outputs' gradients, their channels padded to 16.
    pub gradient: &'a [f32],
    pub gradient_pixels: Pixels,
}

impl Convolution {
    /// Whether the sum for outputs of `size` is that of Winograd's transformed weight.
    fn sums_transformed(&self, size: [usize; 2]) -> bool {
        self.kernel == 3
            && self.stride == 1
            && self.outputs <= TRANSFORMED_OUTPUTS_MAX
            && winograd::is_supported(self.inputs, self.outputs, size)
    }

    /// The length of the sum for outputs of `size`.
    pub fn weight_sum_size(&self, size: [usize; 2]) -> usize {
        let outputs = self.outputs.next_multiple_of(LANES_MAX);
        let taps = if self.sums_transformed(size) { winograd::POINTS } else { self.kernel * self.kernel };
        taps * self.inputs * outputs
    }

    /// Adds the images' gradients to the sum.
    pub fn add_weight_gradient(
        &self,
        isa: Isa,
        images: ImagesAndGradients,
        size: [usize; 2],
        sum: &mut [f32],
    ) {
        for image in 0..images.count {
            let input_pixels = images.input_pixels.of_image(image);
            let gradient_pixels = images.gradient_pixels.of_image(image);
            self.add_image(
                isa,
                ImagesAndGradients { count: 1, input_pixels, gradient_pixels, ..images },
                size,
                sum,
            );
        }
    }

    fn add_image(&self, isa: Isa, image: ImagesAndGradients, size: [usize; 2], sum: &mut [f32]) {
        let ImagesAndGradients { input, input_pixels, gradient, gradient_pixels, .. } = image;
        let (inputs, outputs) = (self.inputs, self.outputs.next_multiple_of(LANES_MAX));
        if self.sums_transformed(size) {
            isa.run(WinogradWeightGradient {
                input,
                input_pixels,
                inputs,
                output_gradient: gradient,
                output_pixels: gradient_pixels,
                outputs,
                size,
                sum,
            });
        } else {
            isa.run(WeightGradient {
                input,
                input_pixels,
                inputs,
                output_gradient: gradient,
                output_pixels: gradient_pixels,
                outputs,
                size,
                stride: self.stride,
                taps: [self.kernel; 2],
                gradient: sum,
            });
        }
    }

    /// Adds the sum to `weight_gradient [O, I, K, K]`.
    pub fn finish_weight_sum(&self, sum: &[f32], size: [usize; 2], weight_gradient: &mut [f32]) {
        if self.sums_transformed(size) {
            return finish_weight_gradient(sum, self.inputs, self.outputs, weight_gradient);
        }
        let padded = self.outputs.next_multiple_of(LANES_MAX);
        let taps = self.kernel * self.kernel;
        for (at, row) in sum.chunks_exact(padded).enumerate() {
            let (tap, input) = (at / self.inputs, at % self.inputs);
            for (output, value) in row[..self.outputs].iter().enumerate() {
                weight_gradient[(output * self.inputs + input) * taps + tap] += value;
            }
        }
    }
}
