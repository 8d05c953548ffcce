//! The gradient by the weight, summed over the images of a group in the layout of the algorithm that computes it.

use super::blocked_weight_gradient::{BlockedShape, BlockedWeightGradient};
use super::pack::{BLOCK, blocks_of_outputs};
use super::scratch::with_scratch;
use super::winograd::{self, WideWeightGradient, WinogradWeightGradient, finish_weight_gradient};
use super::{Convolution, DepthwiseWeightGradient, GatheredWeightGradient, Pixels, Split, WeightGradient};
use crate::{Isa, LANES_MAX};

/// Images and the gradients at their convolutions, both channels last.
#[derive(Clone, Copy)]
pub struct ImagesAndGradients<'a> {
    /// How many.
    pub count: usize,
    /// The images with their borders.
    pub input: &'a [f32],
    /// How they lie.
    pub input_pixels: Pixels,
    /// The outputs' gradients, their channels padded to 16.
    pub gradient: &'a [f32],
    /// How they lie.
    pub gradient_pixels: Pixels,
}

impl Convolution {
    /// The convolution of one part of the channels, and how many there are.
    fn part(&self) -> Option<(usize, Convolution)> {
        match self.split() {
            Split::Depthwise(_) => None,
            Split::Parts { count, inputs, outputs } => {
                Some((count, Convolution { inputs, outputs, groups: 1, ..*self }))
            }
        }
    }

    /// Whether a part's sum for outputs of `size` is that of Winograd's transformed weight.
    fn sums_transformed(&self, size: [usize; 2]) -> bool {
        self.kernel == 3 && self.stride == 1 && winograd::is_supported(self.inputs, self.outputs, size)
    }

    /// The length of the sum for outputs of `size`.
    pub fn weight_sum_size(&self, size: [usize; 2]) -> usize {
        let (taps, outputs) = (self.kernel * self.kernel, self.outputs.next_multiple_of(LANES_MAX));
        match self.part() {
            None => taps * outputs,
            Some((_, part)) if part.sums_transformed(size) => winograd::POINTS * part.inputs * outputs,
            Some((_, part)) => taps * part.inputs * outputs,
        }
    }

    /// Adds the images' gradients to the sum.
    pub fn add_weight_gradient(
        &self,
        isa: Isa,
        pairs: ImagesAndGradients,
        size: [usize; 2],
        sum: &mut [f32],
    ) {
        let Some((count, part)) = self.part() else {
            let channels = self.outputs.next_multiple_of(LANES_MAX);
            let (taps, stride) = ([self.kernel; 2], self.stride);
            return isa.run(DepthwiseWeightGradient { pairs, channels, taps, stride, size, gradient: sum });
        };
        for (at, sum) in sum.chunks_exact_mut(sum.len() / count).enumerate() {
            let mut pairs = pairs;
            pairs.input_pixels.start += at * part.inputs;
            pairs.gradient_pixels.start += at * part.outputs;
            part.add_part(isa, pairs, size, sum);
        }
    }

    fn add_part(&self, isa: Isa, pairs: ImagesAndGradients, size: [usize; 2], sum: &mut [f32]) {
        let (inputs, outputs) = (self.inputs, self.outputs.next_multiple_of(LANES_MAX));
        let (taps, stride) = ([self.kernel; 2], self.stride);
        let narrow = winograd::is_narrow(inputs, outputs, size);
        if self.sums_transformed(size) && !narrow {
            with_scratch(WideWeightGradient::scratch([inputs, outputs], pairs.count, size), |scratch| {
                isa.run(WideWeightGradient { pairs, inputs, outputs, size, sum, scratch });
            });
        } else if self.sums_transformed(size) || self.fits_registers() {
            (0..pairs.count).for_each(|image| self.add_image(isa, pairs.of_image(image), size, sum));
        } else if inputs.is_multiple_of(LANES_MAX) && inputs.max(outputs) > 64 {
            let shape = BlockedShape { inputs, outputs, size, stride, taps };
            with_scratch(shape.scratch(), |scratch| {
                isa.run(BlockedWeightGradient { pairs, shape, gradient: sum, scratch });
            });
        } else {
            with_scratch([GatheredWeightGradient::scratch(size)], |[scratch]| {
                let gradient = sum;
                isa.run(GatheredWeightGradient {
                    pairs,
                    inputs,
                    outputs,
                    size,
                    stride,
                    taps,
                    gradient,
                    scratch,
                });
            });
        }
    }

    /// Whether the kernel for few channels is fastest, which shares the inputs of a row of taps.
    fn fits_registers(&self) -> bool {
        self.inputs.max(self.outputs) <= 64 && matches!((self.kernel, self.stride), (3, 1 | 2) | (1, 2))
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

    /// Adds the sum to `weight_gradient [O, I / groups, K, K]`.
    pub fn finish_weight_sum(&self, sum: &[f32], size: [usize; 2], weight_gradient: &mut [f32]) {
        let (taps, padded) = (self.kernel * self.kernel, self.outputs.next_multiple_of(LANES_MAX));
        let Some((count, part)) = self.part() else {
            for (channel, taps) in weight_gradient.chunks_exact_mut(taps).enumerate() {
                let sums = sum[channel..].iter().step_by(padded);
                taps.iter_mut().zip(sums).for_each(|(gradient, sum)| *gradient += sum);
            }
            return;
        };
        for (at, sum) in sum.chunks_exact(sum.len() / count).enumerate() {
            let (inputs, outputs) = (at * part.inputs, at * part.outputs);
            let place = |output, input| self.weight_place(outputs + output, inputs + input, 0, 0);
            if part.sums_transformed(size) {
                finish_weight_gradient(sum, [part.inputs, part.outputs], place, weight_gradient);
            } else {
                part.finish_taps(sum, place, weight_gradient);
            }
        }
    }

    /// Adds a part's sum `[K, K, I, O]` to the taps that begin where `place` says for an output and an input.
    fn finish_taps(
        &self,
        sum: &[f32],
        place: impl Fn(usize, usize) -> Option<usize>,
        weight_gradient: &mut [f32],
    ) {
        let (inputs, padded) = (self.inputs, self.outputs.next_multiple_of(LANES_MAX));
        for (first, input) in blocks_of_outputs(self.outputs, inputs) {
            for tap in 0..self.kernel * self.kernel {
                let sums = &sum[(tap * inputs + input) * padded + first..][..BLOCK];
                for (output, sum) in (first..self.outputs).zip(sums) {
                    if let Some(place) = place(output, input) {
                        weight_gradient[place + tap] += sum;
                    }
                }
            }
        }
    }
}

impl ImagesAndGradients<'_> {
    /// Image `at` alone.
    fn of_image(self, at: usize) -> Self {
        let input_pixels = self.input_pixels.of_image(at);
        let gradient_pixels = self.gradient_pixels.of_image(at);
        ImagesAndGradients { count: 1, input_pixels, gradient_pixels, ..self }
    }
}
