//! The choice between the convolution algorithms.

use super::scratch::with_scratch;
use super::winograd::{self, Wide, Winograd, WinogradWeight};
use super::{BlockSparse, BlockSparseWeight, Convolution};
use super::{Depthwise, DepthwiseWeight, Direct, Gathered, PackedWeight, Pixels, Split, direct};
use crate::{Isa, LANES_MAX};
use std::ops::Range;

/// A weight, prepared for the algorithms that compute its convolution fastest.
#[derive(Clone, Debug)]
pub struct Filter {
    /// One for each part of the channels.
    algorithms: Vec<Algorithm>,
    /// From a part's first input and output channel to the next part's.
    channels: [usize; 2],
    stride: usize,
    /// Rows and columns of the output.
    size: [usize; 2],
    /// The input's rows that hold values.
    filled: Range<usize>,
}

#[derive(Clone, Debug)]
enum Algorithm {
    Direct(PackedWeight),
    Gathered(PackedWeight),
    Winograd(WinogradWeight),
    WideWinograd(WinogradWeight),
    Depthwise(DepthwiseWeight),
    BlockSparse(BlockSparseWeight),
}

/// The number of channels and taps of a weight, and the step of its outputs over the input.
#[derive(Clone, Copy, Debug)]
pub struct FilterShape {
    /// How the channels are split among groups.
    pub split: Split,
    /// Height and width.
    pub taps: [usize; 2],
    /// The step of the output, in pixels of the input.
    pub stride: usize,
}

impl Filter {
    /// Prepares the weight `at(output, input, ky, kx)` for outputs of `size` rows and columns.
    pub fn new(shape: FilterShape, size: [usize; 2], at: impl Fn(usize, usize, usize, usize) -> f32) -> Self {
        let FilterShape { split, taps, stride } = shape;
        let (algorithms, channels) = match split {
            Split::Depthwise(channels) => {
                let weight =
                    DepthwiseWeight::new(channels, taps, |channel, ky, kx| at(channel, channel, ky, kx));
                (vec![Algorithm::Depthwise(weight)], [channels; 2])
            }
            Split::Parts { count, inputs, outputs } => {
                let part = |part: usize| {
                    let (first, first_output) = (part * inputs, part * outputs);
                    let at = |o: usize, i: usize, ky, kx| at(first_output + o, first + i, ky, kx);
                    Algorithm::fastest(shape, [inputs, outputs], size, at)
                };
                ((0..count).map(part).collect(), [inputs, outputs])
            }
        };
        Filter { algorithms, channels, stride, size, filled: 0..usize::MAX }
    }

    /// A weight that lists its blocks that are not zero.
    pub fn block_sparse(convolution: &Convolution, weight: BlockSparseWeight, size: [usize; 2]) -> Self {
        let channels = [convolution.inputs, convolution.outputs];
        let algorithms = vec![Algorithm::BlockSparse(weight)];
        Filter { algorithms, channels, stride: convolution.stride, size, filled: 0..usize::MAX }
    }

    /// For images that hold values in these rows of their inputs alone, and zeros in the others.
    pub fn filled(self, rows: Range<usize>) -> Self {
        Self { filled: rows, ..self }
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
        self.run_parts(isa, images, self.size, (input, input_pixels), (output, output_pixels));
    }

    /// Computes some rows of one image's output, an even number if there are more after them. The bits are those of
    /// [`Filter::run`]. The output is that of the first of them.
    pub fn run_rows(
        &self,
        isa: Isa,
        rows: Range<usize>,
        (input, input_pixels): (&[f32], Pixels),
        output: (&mut [f32], Pixels),
    ) {
        let size = [rows.len(), self.size[1]];
        let input_pixels = input_pixels.shifted(self.stride * rows.start, 0);
        self.run_parts(isa, 1, size, (input, input_pixels), output);
    }

    fn run_parts(
        &self,
        isa: Isa,
        images: usize,
        size: [usize; 2],
        (input, input_pixels): (&[f32], Pixels),
        (output, output_pixels): (&mut [f32], Pixels),
    ) {
        for (part, algorithm) in self.algorithms.iter().enumerate() {
            let (mut input_pixels, mut output_pixels) = (input_pixels, output_pixels);
            input_pixels.start += part * self.channels[0];
            output_pixels.start += part * self.channels[1];
            let output = (&mut *output, output_pixels);
            self.run_part(algorithm, isa, images, size, (input, input_pixels), output);
        }
    }

    fn run_part(
        &self,
        algorithm: &Algorithm,
        isa: Isa,
        images: usize,
        size: [usize; 2],
        (input, input_pixels): (&[f32], Pixels),
        (output, output_pixels): (&mut [f32], Pixels),
    ) {
        let stride = self.stride;
        match algorithm {
            Algorithm::Direct(weight) => {
                let filled = self.filled.clone();
                isa.run(Direct {
                    images,
                    input,
                    input_pixels,
                    weight,
                    stride,
                    filled,
                    output,
                    output_pixels,
                    size,
                });
            }
            Algorithm::Gathered(weight) => {
                isa.run(Gathered {
                    images,
                    input,
                    input_pixels,
                    weight,
                    stride,
                    output,
                    output_pixels,
                    size,
                });
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
                    isa.run(Wide {
                        images,
                        input,
                        input_pixels,
                        weight,
                        output,
                        output_pixels,
                        size,
                        scratch,
                    });
                });
            }
            Algorithm::BlockSparse(weight) => {
                isa.run(BlockSparse { images, input, input_pixels, weight, output, output_pixels, size });
            }
            Algorithm::Depthwise(weight) => {
                isa.run(Depthwise {
                    images,
                    input,
                    input_pixels,
                    weight,
                    stride,
                    output,
                    output_pixels,
                    size,
                });
            }
        }
    }
}

impl Algorithm {
    /// The fastest for a dense weight between so many inputs and outputs.
    fn fastest(
        FilterShape { taps, stride, .. }: FilterShape,
        [inputs, outputs]: [usize; 2],
        size: [usize; 2],
        at: impl Fn(usize, usize, usize, usize) -> f32,
    ) -> Self {
        let padded = outputs.next_multiple_of(LANES_MAX);
        if taps == [3, 3] && stride == 1 && winograd::is_supported(inputs, padded, size) {
            let weight = WinogradWeight::new(outputs, inputs, at);
            match winograd::is_best_narrow(inputs, padded, size) {
                true => Algorithm::Winograd(weight),
                false => Algorithm::WideWinograd(weight),
            }
        } else {
            let weight = PackedWeight::new(outputs, inputs, taps, at);
            match direct::is_best(taps, stride, size[1]) {
                true => Algorithm::Direct(weight),
                false => Algorithm::Gathered(weight),
            }
        }
    }
}
