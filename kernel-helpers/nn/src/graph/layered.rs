//! A network layer by layer, on the operations of [`ops`] and candle's: on a GPU, for the rare gradient through an
//! evaluation, for layers that the executor has no node for, and as the reference of its tests.

use super::operation::{Operation, Shape};
use super::{Graph, Layer};
use crate::ops::{self, BatchStatistics};
use base::{Error, Result};
use candle_core::{DType, Tensor};
use cpu_kernels::pool::{Pool, Pooling};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Added to each variance of a batch norm before the square root.
pub const EPS: f64 = 1e-5;

/// The statistics of a batch, each with the place of its batch norm's layer.
pub type Statistics = Vec<(usize, BatchStatistics)>;

/// What a layer knows beside its input.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub train: bool,
    /// The layer's parameters, quantized.
    pub parameters: &'a [Tensor],
    /// A batch norm's running mean and variance.
    pub running: Option<[&'a Tensor; 2]>,
    /// What a dropout is drawn from in this step.
    pub seed: u64,
}

/// The output of a layer, and of a batch norm in training the statistics of the batch.
pub fn apply(
    layer: &Layer,
    inputs: &[Tensor],
    context: Context,
) -> Result<(Tensor, Option<BatchStatistics>)> {
    let (x, parameters) = (&inputs[0], context.parameters);
    let output = match &layer.operation {
        Operation::Input => x.clone(),
        Operation::Conv { stride, padding, groups, .. } => {
            add_bias(ops::grouped_conv2d(x, &parameters[0], *stride, *padding, *groups)?, parameters.get(1))?
        }
        Operation::Linear { .. } => match parameters.get(1) {
            Some(bias) => ops::linear(x, &parameters[0], bias)?,
            None => x.matmul(&parameters[0].t()?)?,
        },
        Operation::BatchNorm => return batch_norm(x, context),
        Operation::Relu => ops::relu(x)?,
        Operation::Relu6 => x.clamp(0f32, 6f32)?,
        Operation::Add => (x + &inputs[1])?,
        Operation::Concat => Tensor::cat(inputs, 1)?,
        Operation::Pool(kind, window) => pool(x, *kind, *window)?,
        Operation::GlobalAveragePool => ops::global_average_pool(x)?,
        Operation::Flatten => x.flatten_from(1)?,
        Operation::Dropout(share) if context.train => (x * mask(x, *share, context.seed)?)?,
        Operation::Dropout(_) => x.clone(),
        Operation::Custom(custom) => {
            let output = custom.forward(x, parameters, context.train)?;
            check_shape(layer, &output, x.dim(0)?)?;
            output
        }
    };
    Ok((output, None))
}

fn check_shape(layer: &Layer, output: &Tensor, batch: usize) -> Result<()> {
    let expected = layer.shape.of_batch(batch);
    match output.dims() == expected {
        true => Ok(()),
        false => {
            let expected = format!("an output of shape {expected:?}, as its `shape` says");
            Err(Error::argument(&layer.name, expected, format!("{:?}", output.dims())))
        }
    }
}

fn add_bias(z: Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    match bias {
        Some(bias) => Ok(z.broadcast_add(&bias.reshape((1, (), 1, 1))?)?),
        None => Ok(z),
    }
}

fn batch_norm(x: &Tensor, context: Context) -> Result<(Tensor, Option<BatchStatistics>)> {
    let (dims, [weight, bias]) = (x.dims().to_vec(), [&context.parameters[0], &context.parameters[1]]);
    let images = if dims.len() == 2 { x.reshape((dims[0], dims[1], 1, 1))? } else { x.clone() };
    match (context.train, context.running) {
        (false, Some([mean, variance])) => {
            let y = ops::batch_norm_eval(&images, mean, variance, weight, bias, EPS)?;
            Ok((y.reshape(dims)?, None))
        }
        _ => {
            let (y, statistics) = ops::batch_norm_train(&images, weight, bias, EPS)?;
            Ok((y.reshape(dims)?, Some(statistics)))
        }
    }
}

/// As the windows' values side by side, of which there are few: candle's own pooling has no padding, and its gradient
/// no strides that overlap.
fn pool(x: &Tensor, kind: Pooling, window: Pool) -> Result<Tensor> {
    let Pool { kernel, stride, padding } = window;
    let (_, _, rows, columns) = x.dims4()?;
    let Some([height, width]) = window.output_size([rows, columns]) else {
        return Err(Error::argument(
            "images",
            format!("at least the window of {kernel}"),
            format!("{rows} x {columns}"),
        ));
    };
    let outside = if kind == Pooling::Max { f64::NEG_INFINITY } else { 0.0 };
    let border = |x: &Tensor, axis: usize| -> Result<Tensor> {
        let mut dims = x.dims().to_vec();
        dims[axis] = padding;
        let border = Tensor::full(outside as f32, dims, x.device())?.to_dtype(x.dtype())?;
        Ok(Tensor::cat(&[&border, x, &border], axis)?)
    };
    let x = if padding == 0 { x.clone() } else { border(&border(x, 2)?, 3)? };
    let picked = |count: usize, first: usize| -> Result<Tensor> {
        let places: Vec<u32> = (0..count).map(|at| (first + at * stride) as u32).collect();
        Ok(Tensor::from_vec(places, count, x.device())?)
    };
    let mut result: Option<Tensor> = None;
    for (dy, dx) in (0..kernel).flat_map(|dy| (0..kernel).map(move |dx| (dy, dx))) {
        let values = x.index_select(&picked(height, dy)?, 2)?.index_select(&picked(width, dx)?, 3)?;
        result = Some(match (result, kind) {
            (None, _) => values,
            (Some(result), Pooling::Max) => result.maximum(&values)?,
            (Some(result), Pooling::Average) => (result + values)?,
        });
    }
    let result = result.expect("a window has at least one value");
    Ok(match kind {
        Pooling::Max => result,
        Pooling::Average => (result / (kernel * kernel) as f64)?,
    })
}

/// 0 for a share of the values of `x`, `1 / (1 - share)` for the others.
fn mask(x: &Tensor, share: f64, seed: u64) -> Result<Tensor> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let kept = (1.0 / (1.0 - share)) as f32;
    let values = (0..x.elem_count()).map(|_| if rng.random_bool(share) { 0.0 } else { kept });
    Ok(Tensor::from_vec(values.collect::<Vec<f32>>(), x.shape(), x.device())?.to_dtype(x.dtype())?)
}

/// The output of the whole network, and the statistics of each batch norm, with its place, in training.
pub fn forward<'a>(
    graph: &Graph,
    x: &Tensor,
    context: impl Fn(usize) -> Context<'a>,
) -> Result<(Tensor, Statistics)> {
    let (mut outputs, statistics) = outputs(graph, x, context)?;
    Ok((outputs.swap_remove(graph.output), statistics))
}

/// The outputs of all layers, and the statistics of each batch norm, with its place, in training.
pub fn outputs<'a>(
    graph: &Graph,
    x: &Tensor,
    context: impl Fn(usize) -> Context<'a>,
) -> Result<(Vec<Tensor>, Statistics)> {
    let mut outputs: Vec<Tensor> = vec![x.clone()];
    let mut statistics = Vec::new();
    for (at, layer) in graph.layers.iter().enumerate().skip(1) {
        let inputs: Vec<Tensor> = layer.inputs.iter().map(|&input| outputs[input].clone()).collect();
        let (output, batch) = apply(layer, &inputs, context(at))?;
        statistics.extend(batch.map(|batch| (at, batch)));
        outputs.push(output);
    }
    Ok((outputs, statistics))
}

/// What the images have to look like.
pub fn check_images(x: &Tensor, expected: Shape) -> Result<()> {
    let batch = x.dims().first().copied().unwrap_or(0);
    match x.dims() == expected.of_batch(batch) {
        true => Ok(()),
        false => {
            let expected = format!("[N, {}", &expected.to_string()[1..]);
            Err(Error::argument("the network's input", expected, format!("{:?}", x.dims())))
        }
    }
}

/// The type that all of a network's tensors have.
pub const DTYPE: DType = DType::F32;
