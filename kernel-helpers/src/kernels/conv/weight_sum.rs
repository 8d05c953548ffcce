//! The gradient by the weight, summed over the images of a group in the layout of the algorithm that computes it.

use super::scratch::with_scratch;
use super::winograd::{self, WideWeightGradient, WinogradWeightGradient, finish_weight_gradient};
use super::{Convolution, GatheredWeightGradient, Pixels, WeightGradient};
use crate::kernels::{Isa, LANES_MAX};

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
        self.kernel == 3 && self.stride == 1 && winograd::is_supported(self.inputs, self.outputs, size)
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
        pairs: ImagesAndGradients,
        size: [usize; 2],
        sum: &mut [f32],
    ) {
        let (inputs, outputs) = (self.inputs, self.outputs.next_multiple_of(LANES_MAX));
        let transformed = self.sums_transformed(size);
        if transformed && winograd::is_narrow(inputs, outputs, size) {
            pairs.each(|pair| isa.run(pair.transformed_gradient([inputs, outputs], size, sum)));
        } else if transformed {
            let scratch = WideWeightGradient::scratch([inputs, outputs], pairs.count, size);
            with_scratch(scratch, |scratch| {
                isa.run(pairs.wide_gradient([inputs, outputs], size, sum, scratch));
            });
        } else if self.fits_registers() {
            pairs.each(|pair| isa.run(pair.direct_gradient(self, size, sum)));
        } else {
            with_scratch([GatheredWeightGradient::scratch(pairs.count, size)], |[scratch]| {
                isa.run(pairs.gathered_gradient(self, size, sum, scratch));
            });
        }
    }

    /// Whether the kernel for few channels is fastest, which shares the inputs of a row of taps.
    fn fits_registers(&self) -> bool {
        self.inputs.max(self.outputs) <= 64 && matches!((self.kernel, self.stride), (3, 1 | 2) | (1, 2))
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

impl<'a> ImagesAndGradients<'a> {
    /// Calls `work` with each image alone.
    fn each(self, mut work: impl FnMut(Self)) {
        for image in 0..self.count {
            let input_pixels = self.input_pixels.of_image(image);
            let gradient_pixels = self.gradient_pixels.of_image(image);
            work(ImagesAndGradients { count: 1, input_pixels, gradient_pixels, ..self });
        }
    }

    fn transformed_gradient<'s>(
        self,
        [inputs, outputs]: [usize; 2],
        size: [usize; 2],
        sum: &'s mut [f32],
    ) -> WinogradWeightGradient<'s>
    where
        'a: 's,
    {
        WinogradWeightGradient {
            input: self.input,
            input_pixels: self.input_pixels,
            inputs,
            output_gradient: self.gradient,
            output_pixels: self.gradient_pixels,
            outputs,
            size,
            sum,
        }
    }

    fn wide_gradient<'s>(
        self,
        [inputs, outputs]: [usize; 2],
        size: [usize; 2],
        sum: &'s mut [f32],
        scratch: [&'s mut [f32]; 2],
    ) -> WideWeightGradient<'s>
    where
        'a: 's,
    {
        WideWeightGradient {
            images: self.count,
            input: self.input,
            input_pixels: self.input_pixels,
            inputs,
            output_gradient: self.gradient,
            output_pixels: self.gradient_pixels,
            outputs,
            size,
            sum,
            scratch,
        }
    }

    fn direct_gradient<'s>(
        self,
        convolution: &Convolution,
        size: [usize; 2],
        gradient: &'s mut [f32],
    ) -> WeightGradient<'s>
    where
        'a: 's,
    {
        WeightGradient {
            input: self.input,
            input_pixels: self.input_pixels,
            inputs: convolution.inputs,
            output_gradient: self.gradient,
            output_pixels: self.gradient_pixels,
            outputs: convolution.outputs.next_multiple_of(LANES_MAX),
            size,
            stride: convolution.stride,
            taps: [convolution.kernel; 2],
            gradient,
        }
    }

    fn gathered_gradient<'s>(
        self,
        convolution: &Convolution,
        size: [usize; 2],
        gradient: &'s mut [f32],
        scratch: &'s mut [f32],
    ) -> GatheredWeightGradient<'s>
    where
        'a: 's,
    {
        GatheredWeightGradient {
            images: self.count,
            input: self.input,
            input_pixels: self.input_pixels,
            inputs: convolution.inputs,
            output_gradient: self.gradient,
            output_pixels: self.gradient_pixels,
            outputs: convolution.outputs.next_multiple_of(LANES_MAX),
            size,
            stride: convolution.stride,
            taps: [convolution.kernel; 2],
            gradient,
            scratch,
        }
    }
}
