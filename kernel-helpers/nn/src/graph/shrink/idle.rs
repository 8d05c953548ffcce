//! The channels that do nothing.

use super::Units;
use crate::graph::{EvaluatedLayer, Model, Operation};
use base::Result;
use candle_core::Tensor;

/// What is known of a channel in evaluation: the value that it has at every pixel of every image.
type Constant = Option<f32>;

impl Model {
    /// The units without which the network computes the same in evaluation, but for one in each group.
    pub(super) fn idle(&self, units: &Units) -> Result<Vec<bool>> {
        let layers = self.evaluated_layers()?;
        let mut idle: Vec<bool> = units.fixed.iter().map(|fixed| !fixed).collect();
        let mut constants: Vec<Vec<Constant>> = Vec::new();
        for (at, layer) in layers.iter().enumerate() {
            let kernels = Kernels::of(layer)?;
            if self.graph.layers[at].reads_all_inputs() {
                let (units, constants) = (&units.of_layer[layer.inputs[0]], &constants[layer.inputs[0]]);
                for (input, unit) in units.iter().enumerate() {
                    idle[*unit] &= constants[input] == Some(0.0) || kernels.of_input(input).all(is_zero);
                }
            }
            if self.graph.layers[at].quantization.quantizer().is_some() {
                self.keep_levels(at, units, &mut idle)?;
            }
            let of_layer = after(&layers, at, &kernels, &constants)?;
            constants.push(of_layer);
        }
        for group in self.graph.groups_of(units) {
            if group.units.iter().all(|unit| idle[*unit]) {
                idle[group.units[0]] = false;
            }
        }
        Ok(idle)
    }

    /// Levels are those of all weights together: where there are any that are not zero, their channels stay.
    fn keep_levels(&self, at: usize, units: &Units, idle: &mut [bool]) -> Result<()> {
        let layer = &self.graph.layers[at];
        let kernels = Kernels::of_weight(self.layers[at].parameters[0].as_tensor())?;
        for (output, unit) in units.of_layer[at].iter().enumerate() {
            idle[*unit] &= kernels.of_output(output).all(is_zero);
        }
        if layer.reads_all_inputs() {
            for (input, unit) in units.of_layer[layer.inputs[0]].iter().enumerate() {
                idle[*unit] &= kernels.of_input(input).all(is_zero);
            }
        }
        Ok(())
    }
}

fn is_zero(kernel: &[f32]) -> bool {
    kernel.iter().all(|weight| *weight == 0.0)
}

/// A weight: the values between each output and each input that it sees.
#[derive(Default)]
struct Kernels {
    values: Vec<f32>,
    inputs: usize,
    area: usize,
}

impl Kernels {
    fn of(layer: &EvaluatedLayer) -> Result<Self> {
        layer.weight.as_ref().map_or_else(|| Ok(Self::default()), Self::of_weight)
    }

    fn of_weight(weight: &Tensor) -> Result<Self> {
        let (inputs, area) = (weight.dim(1)?, weight.dims()[2..].iter().product());
        Ok(Self { values: values(weight)?, inputs, area })
    }

    fn of_output(&self, output: usize) -> impl Iterator<Item = &[f32]> {
        let size = self.inputs * self.area;
        self.values[output * size..][..size].chunks(self.area)
    }

    fn of_input(&self, input: usize) -> impl Iterator<Item = &[f32]> {
        self.values.chunks(self.area).skip(input).step_by(self.inputs)
    }
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

/// What is known of the channels that come out of a layer, given those of the layers before.
fn after(
    layers: &[EvaluatedLayer],
    at: usize,
    kernels: &Kernels,
    constants: &[Vec<Constant>],
) -> Result<Vec<Constant>> {
    let layer = &layers[at];
    let input = |index: usize| &constants[layer.inputs[index]][..];
    let mapped = |function: &dyn Fn(f32) -> f32| input(0).iter().map(|value| value.map(function)).collect();
    Ok(match &layer.operation {
        Operation::Input => vec![None; layer.shape.channels],
        Operation::Conv { groups, .. } => {
            let of_group = layer.shape.channels / groups;
            let seen = |output: usize| &input(0)[output / of_group * kernels.inputs..][..kernels.inputs];
            sums(layer, kernels, seen)?
        }
        Operation::Linear { .. } => sums(layer, kernels, |_| input(0))?,
        Operation::BatchNorm => scaled(layer, input(0))?,
        Operation::Relu => mapped(&|value| value.max(0.0)),
        Operation::Relu6 => mapped(&|value| value.clamp(0.0, 6.0)),
        Operation::Add => {
            let sum = |(a, b): (&Constant, &Constant)| Some((*a)? + (*b)?);
            input(0).iter().zip(input(1)).map(sum).collect()
        }
        Operation::Concat => (0..layer.inputs.len()).flat_map(input).copied().collect(),
        Operation::Flatten => {
            let pixels = layers[layer.inputs[0]].shape.pixels();
            input(0).iter().flat_map(|value| vec![*value; pixels]).collect()
        }
        Operation::GlobalAveragePool | Operation::Dropout(_) => input(0).to_vec(),
        // Windows may reach beyond the image, and of layers of one's own nothing but zeros is known.
        Operation::Pool(..) => zeros(input(0)),
        Operation::Custom(custom) if custom.is_channelwise() => zeros(input(0)),
        Operation::Custom(_) => vec![None; layer.shape.channels],
    })
}

fn zeros(constants: &[Constant]) -> Vec<Constant> {
    constants.iter().map(|value| value.filter(|value| *value == 0.0)).collect()
}

/// A filter that meets nothing but zeros gives its bias.
fn sums<'a>(
    layer: &EvaluatedLayer,
    kernels: &Kernels,
    seen: impl Fn(usize) -> &'a [Constant],
) -> Result<Vec<Constant>> {
    let biases = layer.bias.as_ref().map(values).transpose()?;
    let of_output = |output: usize| {
        let mut products = kernels.of_output(output).zip(seen(output));
        let nothing = products.all(|(kernel, input)| *input == Some(0.0) || is_zero(kernel));
        nothing.then(|| biases.as_ref().map_or(0.0, |biases| biases[output]))
    };
    Ok((0..layer.shape.channels).map(of_output).collect())
}

fn scaled(layer: &EvaluatedLayer, input: &[Constant]) -> Result<Vec<Constant>> {
    let Some([scales, shifts]) = &layer.affine else { return Ok(vec![None; input.len()]) };
    let affines = values(scales)?.into_iter().zip(values(shifts)?);
    let of_channel = |(value, (scale, shift)): (&Constant, (f32, f32))| match scale {
        0.0 => Some(shift),
        _ => value.map(|value| value * scale + shift),
    };
    Ok(input.iter().zip(affines).map(of_channel).collect())
}
