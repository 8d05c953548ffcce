//! A network of integers.

use super::execute::{Layout, Memory, Work};
use super::lower::{self, Function, Program};
use super::range::{Histogram, RangeMethod};
use super::weights::IntegerWeights;
use base::{Error, Result};
use candle_core::{Device, Tensor};
use cpu_kernels::conv::Convolution;
use cpu_kernels::integer::{DepthwiseIntegerWeight, IntegerWeight, Requantization};
use cpu_kernels::pool::Pooling;
use nn::data::{Data, DataLoader};
use nn::graph::{Model, Shape};

/// How a network's activations become integers.
///
/// ```
/// use kernel_helpers::prelude::*;
/// assert_eq!(Calibration::default().images, 1_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// How many training images are looked at.
    pub images: usize,
    /// How the ranges are chosen.
    pub range: RangeMethod,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { images: 1_000, range: RangeMethod::default() }
    }
}

/// What the integers of a value stand for: `scale · (q - zero)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    pub scale: f32,
    pub zero: u8,
}

impl Scale {
    /// 256 levels over a range with a zero in it, which is one of them.
    fn over([low, high]: [f32; 2]) -> Self {
        let scale = ((high - low) / 255.0).max(f32::MIN_POSITIVE);
        Scale { scale, zero: (-low / scale).round().clamp(0.0, 255.0) as u8 }
    }
}

/// A tensor of integers.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub shape: Shape,
    pub scale: Scale,
    pub layout: Layout,
}

/// A step on integers.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub work: Work,
    pub input: usize,
    pub residual: Option<usize>,
    pub output: usize,
    pub rule: Requantization,
}

/// A network in 8-bit integers: its weights, with a scale for each output channel, and its activations, with a scale for each
/// tensor (Jacob et al., 2018). Batch norms are part of the weights and of the biases, which are integers too, of 32 bits. Sums
/// are exact: every processor gives the same bits.
///
/// Weights that have fewer bits keep their levels where these are evenly spaced around zero; other weights are rounded.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let integers = IntegerNetwork::quantize(&net, &data, Calibration::default())?;
/// let images = DataLoader::new(&data.test, 32)?.epoch(0).next().unwrap()?.images;
/// let (logits, floats) = (integers.forward(&images)?, net.forward_t(&images, false)?);
/// assert!((logits - floats)?.abs()?.max_all()?.to_scalar::<f32>()? < 0.05);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct IntegerNetwork {
    pub(crate) title: String,
    /// What is computed, as other engines are told.
    pub(crate) program: Program<IntegerWeights>,
    pub(crate) values: Vec<Value>,
    pub(crate) steps: Vec<Step>,
    pub(crate) memory: Memory,
}

impl IntegerNetwork {
    /// A network's integers. The ranges of the activations are those that training images give, without augmentation.
    ///
    /// # Errors
    /// If the network has a layer that integers cannot compute, there are no training images, or they do not fit it.
    pub fn quantize(net: &Model, data: &Data, calibration: Calibration) -> Result<Self> {
        let mut program = Program::of(net)?.rounded();
        let scales = calibrate(net, &program, data, calibration)?;
        program.steps.iter_mut().for_each(|step| step.round_bias(scales[step.input].scale));
        Ok(Self::of_program(net.graph().title().to_owned(), program, scales))
    }

    /// The network of a program, with the scale of each value.
    pub(crate) fn of_program(title: String, program: Program<IntegerWeights>, scales: Vec<Scale>) -> Self {
        let layouts = Layout::of_program(&program);
        let step = |step: &lower::Step<IntegerWeights>| Step {
            rule: requantization(step, &program, &scales, layouts[step.output].room),
            work: work(step, &program, &layouts[step.input]),
            input: step.input,
            residual: step.residual,
            output: step.output,
        };
        let steps = program.steps.iter().map(step).collect();
        let values = program.values.iter().zip(scales).zip(layouts);
        let values = values.map(|((value, scale), layout)| Value { shape: value.shape, scale, layout });
        let values = values.collect();
        IntegerNetwork { title, program, values, steps, memory: Memory::default() }
    }
}

/// The scale of each value.
fn calibrate(
    net: &Model,
    program: &Program<IntegerWeights>,
    data: &Data,
    calibration: Calibration,
) -> Result<Vec<Scale>> {
    const BATCH: usize = 50;
    let batches = calibration.images.min(data.train.len()).div_ceil(BATCH);
    if batches == 0 {
        return Err(Error::argument("images to calibrate with", "at least 1", 0));
    }
    let loader = DataLoader::new(&data.train, BATCH)?.shuffled(0).on(&Device::Cpu);
    let mut ends = vec![[f32::INFINITY, f32::NEG_INFINITY]; program.values.len()];
    let look = |look: &mut dyn FnMut(usize, &[f32])| -> Result<()> {
        for batch in loader.epoch(0).take(batches) {
            let outputs = net.layer_outputs(&batch?.images)?;
            for (at, value) in program.values.iter().enumerate() {
                let numbers: Vec<f32> = outputs[value.layer].flatten_all()?.to_vec1()?;
                look(at, &numbers);
            }
        }
        Ok(())
    };
    look(&mut |at, numbers| {
        let [low, high] = &mut ends[at];
        for number in numbers {
            (*low, *high) = (low.min(*number), high.max(*number));
        }
    })?;
    let mut histograms: Vec<Histogram> = ends.iter().map(|[low, high]| Histogram::new(*low, *high)).collect();
    if calibration.range != RangeMethod::MinMax {
        look(&mut |at, numbers| histograms[at].add(numbers))?;
    }
    let mut scales: Vec<Scale> = Vec::new();
    for (at, (value, histogram)) in program.values.iter().zip(&histograms).enumerate() {
        scales.push(match value.scale_of {
            Some(other) => scales[other],
            None if program.ends_in_floats(at) => Scale { scale: 1.0, zero: 0 },
            None => Scale::over(histogram.range(calibration.range)),
        });
    }
    Ok(scales)
}

/// What becomes of the sums of a step.
fn requantization(
    step: &lower::Step<IntegerWeights>,
    program: &Program<IntegerWeights>,
    scales: &[Scale],
    room: usize,
) -> Requantization {
    let output = scales[step.output];
    let read = program.values[step.input].shape;
    let residual = step.residual.map(|residual| scales[residual]);
    let factor = residual.map_or(0.0, |residual| residual.scale / output.scale);
    let wide = |value: f32| f64::from(value);
    let zero_of_residual = residual.map_or(0.0, |residual| f64::from(residual.zero) * wide(factor));
    let mut rule = Requantization {
        scale: vec![0.0; room],
        shift: vec![f32::from(output.zero); room],
        factor,
        low: 0.0,
        high: 255.0,
    };
    for (channel, bias) in step.bias.iter().enumerate() {
        let input = match step.work {
            lower::Work::Concat(other) if channel >= read.channels => scales[other],
            _ => scales[step.input],
        };
        // What a sum of integers stands for, and the sum that zeros would give.
        let (unit, zeros) = match &step.work {
            lower::Work::Conv(_, weights) | lower::Work::Linear(weights) => {
                let of_channel = weights.values.len() / weights.scales.len();
                let sum: i32 =
                    weights.values[channel * of_channel..][..of_channel].iter().map(|w| i32::from(*w)).sum();
                (wide(weights.scales[channel]), f64::from(sum))
            }
            lower::Work::Scale(scale) => (wide(scale[channel]), 1.0),
            lower::Work::Pool(Pooling::Average, pool) => {
                let area = (pool.kernel * pool.kernel) as f64;
                (1.0 / area, area)
            }
            lower::Work::GlobalAveragePool => (1.0 / read.pixels() as f64, read.pixels() as f64),
            lower::Work::Pool(Pooling::Max, _) | lower::Work::Concat(_) => (1.0, 1.0),
        };
        let scale = (wide(input.scale) * unit / wide(output.scale)) as f32;
        let zeros = f64::from(input.zero) * zeros * wide(scale);
        rule.scale[channel] = scale;
        rule.shift[channel] =
            (wide(*bias) / wide(output.scale) - zeros - zero_of_residual + f64::from(output.zero)) as f32;
    }
    match step.function {
        Function::Identity => {}
        Function::Relu => rule.low = f32::from(output.zero),
        Function::Relu6 => {
            rule.low = f32::from(output.zero);
            rule.high = (f32::from(output.zero) + (6.0 / output.scale).round()).min(255.0);
        }
    }
    rule
}

/// The work of a step, with its weights packed for the kernels.
fn work(step: &lower::Step<IntegerWeights>, program: &Program<IntegerWeights>, layout: &Layout) -> Work {
    let input = program.values[step.input].shape;
    match &step.work {
        lower::Work::Conv(convolution, weights) => conv(*convolution, weights),
        lower::Work::Linear(weights) => {
            let (features, places, outputs) = (input.values(), layout.image(), weights.scales.len());
            // The weights of each output, in the order in which the features lie.
            let mut placed = vec![0; outputs * places];
            for (placed, weights) in
                placed.chunks_exact_mut(places).zip(weights.values.chunks_exact(features))
            {
                for (feature, weight) in weights.iter().enumerate() {
                    placed[layout.place(feature)] = *weight;
                }
            }
            match program.ends_in_floats(step.output) {
                true => Work::Classify(placed),
                false => Work::Linear(IntegerWeight::new(outputs, places, [1, 1], |o, i, _, _| {
                    placed[o * places + i]
                })),
            }
        }
        lower::Work::Pool(kind, pool) => Work::Pool(*kind, *pool),
        lower::Work::GlobalAveragePool => Work::GlobalAveragePool,
        lower::Work::Concat(other) => Work::Concat(input.channels, *other),
        lower::Work::Scale(_) => Work::Scale,
    }
}

fn conv(convolution: Convolution, weights: &IntegerWeights) -> Work {
    let Convolution { inputs, outputs, kernel, groups, .. } = convolution;
    let of_group = inputs / groups;
    let at = |o: usize, i: usize, ky: usize, kx: usize| {
        weights.values[((o * of_group + i) * kernel + ky) * kernel + kx]
    };
    if groups == inputs && groups == outputs {
        let weight =
            DepthwiseIntegerWeight::new(inputs, [kernel; 2], |channel, ky, kx| at(channel, 0, ky, kx));
        return Work::Depthwise(convolution, weight);
    }
    // Where there are groups, what an output does not see is multiplied by zero.
    let grouped = |o: usize, i: usize, ky, kx| match i / of_group == o / (outputs / groups) {
        true => at(o, i % of_group, ky, kx),
        false => 0,
    };
    Work::Conv(convolution, IntegerWeight::new(outputs, inputs, [kernel; 2], grouped))
}

/// What the images have to look like.
pub(crate) fn check_images(images: &Tensor, expected: Shape) -> Result<()> {
    let batch = images.dims().first().copied().unwrap_or(0);
    match images.dims() == expected.of_batch(batch) {
        true => Ok(()),
        false => {
            let expected = format!("[N, {}", &expected.to_string()[1..]);
            Err(Error::argument("the network's input", expected, format!("{:?}", images.dims())))
        }
    }
}
