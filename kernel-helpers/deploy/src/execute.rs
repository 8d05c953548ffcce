//! The evaluation: a few images at a time go through all steps while they are in the cache.

use super::lower::{self, Program};
use super::network::{IntegerNetwork, Step, check_images};
use super::weights::IntegerWeights;
use base::{Error, Result};
use candle_core::{Device, Storage, Tensor};
use cpu_kernels::LANES_MAX;
use cpu_kernels::conv::{Convolution, Pixels};
use cpu_kernels::integer::{
    ByChannel, Bytes, DepthwiseIntegerWeight, IntegerConvolution, IntegerIsa, IntegerWeight, QuantizeImage,
    Residual, Window, max_pool,
};
use cpu_kernels::pool::{Pool, Pooling};
use nn::Predictor;
use rayon::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

/// Where the integers of an image lie: pixels in rows, with a border, each with room for its channels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    /// Bytes of a pixel.
    pub room: usize,
    pub size: [usize; 2],
    pub border: usize,
    /// Whether the features are in one row, plane after plane, as the images come.
    pub planar: bool,
}

impl Layout {
    /// The layout of each value of a program.
    pub fn of_program(program: &Program<IntegerWeights>) -> Vec<Layout> {
        let of_value = |(at, value): (usize, &lower::Value)| {
            let readers =
                || program.steps.iter().filter(move |step| step.input == at || step.residual == Some(at));
            let convolutions = || {
                readers().filter_map(|step| match &step.work {
                    lower::Work::Conv(convolution, _) if step.input == at => Some(*convolution),
                    _ => None,
                })
            };
            let all = readers().count();
            let linear = |step: &&lower::Step<IntegerWeights>| {
                step.input == at && matches!(step.work, lower::Work::Linear(_))
            };
            let is_images = at == 0;
            if is_images && all > 0 && readers().filter(linear).count() == all {
                return Layout {
                    room: value.shape.values().next_multiple_of(LANES_MAX),
                    size: [1, 1],
                    border: 0,
                    planar: true,
                };
            }
            let dense = convolutions().filter(|convolution| convolution.groups == 1).count() == all;
            let multiple = if is_images && dense { 4 } else { LANES_MAX };
            Layout {
                room: value.shape.channels.next_multiple_of(multiple),
                size: value.shape.size.unwrap_or([1, 1]),
                border: convolutions().map(|convolution| convolution.padding).max().unwrap_or(0),
                planar: false,
            }
        };
        program.values.iter().enumerate().map(of_value).collect()
    }

    /// Bytes of an image.
    pub fn image(&self) -> usize {
        (self.size[0] + 2 * self.border) * (self.size[1] + 2 * self.border) * self.room
    }

    /// The pixels from so far outside on.
    fn with_border(&self, border: usize) -> Pixels {
        let outside = self.border - border;
        Pixels::dense(self.size.map(|extent| extent + 2 * self.border), self.room).shifted(outside, outside)
    }

    /// The place of a feature, counted plane after plane, of which a pixel has so many.
    pub fn place(&self, feature: usize) -> usize {
        if self.planar {
            return feature;
        }
        let pixels = self.size[0] * self.size[1];
        let (channel, pixel) = (feature / pixels, feature % pixels);
        self.with_border(0).shifted(pixel / self.size[1], pixel % self.size[1]).start + channel
    }
}

/// What a step does, with its weights as the kernels read them.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Conv(Convolution, IntegerWeight),
    Depthwise(Convolution, DepthwiseIntegerWeight),
    /// The images' features are rows of a matrix.
    Linear(IntegerWeight),
    /// A linear layer whose outputs, in floating point, are those of the network: weights `[O, place]`.
    Classify(Vec<i8>),
    Pool(Pooling, Pool),
    GlobalAveragePool,
    Scale,
    /// The channels of the input, which are so many, and behind them those of another value.
    Concat(usize, usize),
}

/// The values of some images. Their borders stay as they are.
#[derive(Debug)]
struct Scratch {
    images: usize,
    values: Vec<Bytes>,
}

/// Memory for evaluations, kept from one to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Arc<Mutex<Vec<Scratch>>>);

impl Memory {
    fn take(&self, network: &IntegerNetwork, images: usize) -> Scratch {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.iter().position(|scratch| scratch.images == images) {
            Some(at) => kept.swap_remove(at),
            None => {
                let bytes = network
                    .values
                    .iter()
                    .map(|value| Bytes::filled(images * value.layout.image(), value.scale.zero));
                Scratch { images, values: bytes.collect() }
            }
        }
    }

    fn give_back(&self, scratch: Scratch) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
    }
}

impl Predictor for IntegerNetwork {
    fn logits(&self, images: &Tensor) -> Result<Tensor> {
        self.forward(images)
    }

    fn multiplications(&self) -> Option<usize> {
        let of_step = |step: &lower::Step<IntegerWeights>| match &step.work {
            lower::Work::Conv(_, weights) | lower::Work::Linear(weights) => {
                weights.values.iter().filter(|weight| **weight != 0).count() * self.uses_of_weights(step)
            }
            _ => 0,
        };
        Some(self.program.steps.iter().map(of_step).sum())
    }
}

impl IntegerNetwork {
    /// The logits `[N, K]` of images `[N, C, H, W]`, f32.
    ///
    /// # Errors
    /// If the images do not fit the network.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let isa = IntegerIsa::current()
            .map_err(|e| Error::argument(cpu_kernels::Isa::VARIABLE, e.available, e.found))?;
        self.forward_by(images, isa)
    }

    /// [`Self::forward`] by an instruction set.
    pub(crate) fn forward_by(&self, images: &Tensor, isa: IntegerIsa) -> Result<Tensor> {
        check_images(images, self.values[0].shape)?;
        let images = images.to_device(&Device::Cpu)?.to_dtype(candle_core::DType::F32)?.contiguous()?;
        let (storage, layout) = images.storage_and_layout();
        let (Storage::Cpu(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets()) else {
            unreachable!("the images were brought into this form");
        };
        let input = &storage.as_slice::<f32>()?[start..end];
        let (features, classes) =
            (self.values[0].shape.values(), self.values[self.program.output].shape.values());
        let batch = images.dim(0)?;
        let together = self.images_together().min(batch.max(1));
        let group = batch.div_ceil(32).next_multiple_of(together).max(together);
        let mut logits = vec![0.0; batch * classes];
        logits.par_chunks_mut(group * classes).zip(input.par_chunks(group * features)).for_each(
            |(logits, input)| {
                let mut scratch = self.memory.take(self, together);
                for (logits, input) in
                    logits.chunks_mut(together * classes).zip(input.chunks(together * features))
                {
                    self.evaluate(isa, input, logits, &mut scratch.values);
                }
                self.memory.give_back(scratch);
            },
        );
        Ok(Tensor::from_vec(logits, self.values[self.program.output].shape.of_batch(batch), &Device::Cpu)?)
    }

    /// How often each weight of a step is used for an image.
    fn uses_of_weights(&self, step: &lower::Step<IntegerWeights>) -> usize {
        match step.work {
            lower::Work::Conv(..) => self.values[step.output].shape.pixels(),
            _ => 1,
        }
    }

    /// How many images best go through the network together: several, where a layer's weight is too large to be read for each.
    fn images_together(&self) -> usize {
        const LARGE: usize = 128 * 1024;
        let large = |step: &Step| match &step.work {
            Work::Conv(_, weight) | Work::Linear(weight) => weight.bytes() > LARGE,
            _ => false,
        };
        if self.steps.iter().any(large) { 16 } else { 1 }
    }

    /// The logits of a few images.
    fn evaluate(&self, isa: IntegerIsa, input: &[f32], logits: &mut [f32], values: &mut [Bytes]) {
        let first = &self.values[0];
        let features = first.shape.values();
        let images = input.len() / features;
        for (planes, integers) in
            input.chunks_exact(features).zip(values[0].chunks_exact_mut(first.layout.image()))
        {
            let (channels, columns) = match first.layout.planar {
                true => (1, features),
                false => (first.shape.channels, first.layout.size[1]),
            };
            let output_pixels = match first.layout.planar {
                true => Pixels::dense([1, features], 1),
                false => first.layout.with_border(0),
            };
            let per_step = 1.0 / first.scale.scale;
            isa.run(QuantizeImage {
                planes,
                channels,
                columns,
                per_step,
                zero: first.scale.zero,
                output: integers,
                output_pixels,
            });
        }
        for step in &self.steps {
            if let Work::Classify(weights) = &step.work {
                self.classify(step, weights, &values[step.input], logits);
                return;
            }
            let mut output = std::mem::replace(&mut values[step.output], Bytes::filled(0, 0));
            self.compute(isa, step, images, values, &mut output);
            values[step.output] = output;
        }
        self.read(values, logits);
    }

    fn compute(&self, isa: IntegerIsa, step: &Step, images: usize, values: &[Bytes], output: &mut [u8]) {
        let [from, to] = [step.input, step.output].map(|at| &self.values[at]);
        let input = &values[step.input];
        let residual = step.residual.map(|residual| Residual {
            images: &values[residual],
            pixels: self.values[residual].layout.with_border(0),
        });
        let (output_pixels, size, rule) = (to.layout.with_border(0), to.layout.size, &step.rule);
        let by_channel = |window: Window, input_pixels: Pixels, output: &mut [u8]| {
            let (channels, input_size) = (to.layout.room, from.layout.size);
            isa.run(ByChannel {
                images,
                input,
                input_pixels,
                input_size,
                window,
                output,
                output_pixels,
                size,
                channels,
                rule,
                residual,
            });
        };
        match &step.work {
            Work::Conv(convolution, weight) => {
                let input_pixels = from.layout.with_border(convolution.padding);
                let stride = convolution.stride;
                isa.convolve(IntegerConvolution {
                    images,
                    input,
                    input_pixels,
                    weight,
                    stride,
                    output,
                    output_pixels,
                    size,
                    rule,
                    residual,
                });
            }
            Work::Depthwise(convolution, weight) => {
                let input_pixels = from.layout.with_border(convolution.padding);
                by_channel(Window::Depthwise(weight, convolution.stride), input_pixels, output);
            }
            Work::Linear(weight) => {
                // Each image is a pixel of one large one.
                let row = |bytes: usize| Pixels { start: 0, image: 0, row: 0, pixel: bytes };
                isa.convolve(IntegerConvolution {
                    images: 1,
                    input,
                    input_pixels: row(from.layout.image()),
                    weight,
                    stride: 1,
                    output,
                    output_pixels: row(to.layout.image()),
                    size: [1, images],
                    rule,
                    residual: residual
                        .map(|residual| Residual { pixels: row(residual.pixels.image), ..residual }),
                });
            }
            Work::Classify(_) => unreachable!("the network's last step"),
            Work::Pool(Pooling::Max, pool) => {
                for image in 0..images {
                    let input = (&input[..], from.layout.with_border(0).of_image(image), from.layout.size);
                    max_pool(
                        *pool,
                        input,
                        (&mut *output, output_pixels.of_image(image), size),
                        to.layout.room,
                    );
                }
            }
            Work::Pool(Pooling::Average, pool) => {
                by_channel(Window::Sum(*pool, from.scale.zero), from.layout.with_border(0), output);
            }
            Work::GlobalAveragePool => {
                by_channel(Window::All(from.layout.size), from.layout.with_border(0), output)
            }
            Work::Scale => by_channel(Window::One, from.layout.with_border(0), output),
            Work::Concat(channels, other) => {
                for image in 0..images {
                    for (y, x) in (0..size[0]).flat_map(|y| (0..size[1]).map(move |x| (y, x))) {
                        let pixel = |at: usize| {
                            self.values[at].layout.with_border(0).of_image(image).shifted(y, x).start
                        };
                        let place = output_pixels.of_image(image).shifted(y, x).start;
                        for channel in 0..to.shape.channels {
                            let value = match channel.checked_sub(*channels) {
                                None => input[pixel(step.input) + channel],
                                Some(channel) => values[*other][pixel(*other) + channel],
                            };
                            output[place + channel] = rule.apply(i32::from(value), channel, None);
                        }
                    }
                }
            }
        }
    }

    /// The logits of a last linear layer.
    fn classify(&self, step: &Step, weights: &[i8], input: &[u8], logits: &mut [f32]) {
        let (features, classes) =
            (self.values[step.input].layout.image(), self.values[step.output].shape.values());
        for (logits, input) in logits.chunks_exact_mut(classes).zip(input.chunks_exact(features)) {
            for (class, (logit, weights)) in logits.iter_mut().zip(weights.chunks_exact(features)).enumerate()
            {
                let products =
                    input.iter().zip(weights).map(|(input, weight)| i32::from(*input) * i32::from(*weight));
                let sum: i32 = products.sum();
                *logit = sum as f32 * step.rule.scale[class] + step.rule.shift[class];
            }
        }
    }

    /// The outputs of a network that does not end with a linear layer.
    fn read(&self, values: &[Bytes], logits: &mut [f32]) {
        let value = &self.values[self.program.output];
        let (features, bytes) = (value.shape.values(), value.layout.image());
        for (logits, integers) in
            logits.chunks_exact_mut(features).zip(values[self.program.output].chunks_exact(bytes))
        {
            for (feature, logit) in logits.iter_mut().enumerate() {
                let integer = i32::from(integers[value.layout.place(feature)]) - i32::from(value.scale.zero);
                *logit = integer as f32 * value.scale.scale;
            }
        }
    }
}
