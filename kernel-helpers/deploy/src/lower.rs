//! From the layers of a network to the steps of its evaluation: batch norms are folded into the weights before them, and
//! functions and sums are done with the outputs of the step before them.

use super::weights::IntegerWeights;
use base::{Error, Result};
use candle_core::Tensor;
use cpu_kernels::conv::Convolution;
use cpu_kernels::pool::{Pool, Pooling};
use nn::graph::{EvaluatedLayer, Model, Operation, Shape};

/// A function of single values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Identity,
    Relu,
    Relu6,
}

/// A tensor that is written down: the output of a layer.
#[derive(Clone, Debug)]
pub struct Value {
    pub layer: usize,
    pub shape: Shape,
    /// The value whose scale it has, if it consists of the same numbers.
    pub scale_of: Option<usize>,
}

/// What a step does, with weights in floating point or, once they are rounded, in integers.
#[derive(Clone, Debug)]
pub enum Work<W = Vec<f32>> {
    /// With a weight `[O, I / groups, K, K]`.
    Conv(Convolution, W),
    /// With a weight `[O, I]`, for inputs in the order of `[C, H, W]`.
    Linear(W),
    Pool(Pooling, Pool),
    GlobalAveragePool,
    /// Times a number for each channel.
    Scale(Vec<f32>),
    /// The channels of the input, and behind them those of this value.
    Concat(usize),
}

/// `output = function(work(input) + bias + residual)`.
#[derive(Clone, Debug)]
pub struct Step<W = Vec<f32>> {
    /// The name of the layer that does the work.
    pub name: String,
    pub work: Work<W>,
    pub input: usize,
    /// By output channel.
    pub bias: Vec<f32>,
    pub residual: Option<usize>,
    pub function: Function,
    pub output: usize,
}

impl<W> Step<W> {
    /// Whether it is a linear layer with nothing behind it.
    pub fn is_linear(&self) -> bool {
        matches!(self.work, Work::Linear(_)) && self.residual.is_none() && self.function == Function::Identity
    }
}

impl Step {
    /// The same with its weight in integers.
    fn rounded(self) -> Step<IntegerWeights> {
        let Step { name, work, input, bias, residual, function, output } = self;
        let integers = |weight: Vec<f32>| IntegerWeights::of(&weight, bias.len());
        let work = match work {
            Work::Conv(convolution, weight) => Work::Conv(convolution, integers(weight)),
            Work::Linear(weight) => Work::Linear(integers(weight)),
            Work::Pool(kind, pool) => Work::Pool(kind, pool),
            Work::GlobalAveragePool => Work::GlobalAveragePool,
            Work::Scale(scale) => Work::Scale(scale),
            Work::Concat(other) => Work::Concat(other),
        };
        Step { name, work, input, bias, residual, function, output }
    }
}

impl Step<IntegerWeights> {
    /// Rounds the bias to what the sums of its weights with inputs of such a step can be.
    pub fn round_bias(&mut self, step_of_inputs: f32) {
        if let Work::Conv(_, weights) | Work::Linear(weights) = &mut self.work {
            weights.round_bias(&mut self.bias, step_of_inputs);
        }
    }
}

/// A network's evaluation.
#[derive(Clone, Debug)]
pub struct Program<W = Vec<f32>> {
    /// The first is the input.
    pub values: Vec<Value>,
    pub steps: Vec<Step<W>>,
    pub output: usize,
}

/// Where the output of a layer is.
#[derive(Clone, Copy, Debug)]
enum Place {
    Value(usize),
    /// What a step has so far, which can still grow.
    Open(usize),
}

struct Lowering<'a> {
    layers: &'a [EvaluatedLayer],
    output: usize,
    places: Vec<Place>,
    values: Vec<Value>,
    steps: Vec<Step>,
}

/// The output of a step that has none yet.
const NOWHERE: usize = usize::MAX;

impl Program {
    /// The steps of a network.
    ///
    /// # Errors
    /// If the network has a layer of one's own, or one whose tensors cannot be read.
    pub fn of(net: &Model) -> Result<Self> {
        let layers = net.evaluated_layers()?;
        let output = net.output_layer();
        let mut lowering =
            Lowering { layers: &layers, output, places: Vec::new(), values: Vec::new(), steps: Vec::new() };
        for at in 0..layers.len() {
            let place = lowering.layer(at)?;
            lowering.places.push(place);
        }
        let output = lowering.close(output);
        let Lowering { values, mut steps, .. } = lowering;
        // What nothing reads is not computed.
        steps.retain(|step| step.output != NOWHERE);
        Ok(Program { values, steps, output })
    }

    /// The same with weights in integers.
    pub fn rounded(self) -> Program<IntegerWeights> {
        let Program { values, steps, output } = self;
        Program { values, steps: steps.into_iter().map(Step::rounded).collect(), output }
    }
}

impl<W> Program<W> {
    /// Whether a value is that of a last linear layer, which is not rounded.
    pub fn ends_in_floats(&self, value: usize) -> bool {
        let from = self.steps.iter().find(|step| step.output == value);
        value == self.output && from.is_some_and(Step::is_linear)
    }
}

impl Lowering<'_> {
    /// How many layers read the output of this one; the network's output is read once more.
    fn uses(&self, at: usize) -> usize {
        let inputs = self.layers.iter().flat_map(|layer| &layer.inputs);
        inputs.filter(|input| **input == at).count() + usize::from(self.output == at)
    }

    /// What reads a layer's features in one row and is no linear layer.
    fn other_reader(&self, at: usize) -> Option<&str> {
        if at == self.output {
            return Some("the network's output");
        }
        let readers = self.layers.iter().enumerate().filter(|(_, layer)| layer.inputs.contains(&at));
        readers.into_iter().find_map(|(reader, layer)| match layer.operation {
            Operation::Linear { .. } => None,
            Operation::Dropout(_) | Operation::Flatten => self.other_reader(reader),
            _ => Some(&*layer.name),
        })
    }

    /// The value of a layer's output.
    fn close(&mut self, at: usize) -> usize {
        match self.places[at] {
            Place::Value(value) => value,
            Place::Open(step) => {
                let value = self.value(at, None);
                self.steps[step].output = value;
                self.places[at] = Place::Value(value);
                value
            }
        }
    }

    fn value(&mut self, layer: usize, scale_of: Option<usize>) -> usize {
        self.values.push(Value { layer, shape: self.layers[layer].shape, scale_of });
        self.values.len() - 1
    }

    /// The step whose outputs a layer's only reader can do more with.
    fn open(&self, at: usize) -> Option<usize> {
        match self.places[at] {
            Place::Open(step) if self.uses(at) == 1 && self.steps[step].function == Function::Identity => {
                Some(step)
            }
            _ => None,
        }
    }

    /// Begins a step.
    fn step(&mut self, at: usize, work: Work, bias: Option<Vec<f32>>) -> Place {
        let layer = &self.layers[at];
        let input = self.close(layer.inputs[0]);
        let bias = bias.unwrap_or_else(|| vec![0.0; layer.shape.channels]);
        let (name, function) = (layer.name.clone(), Function::Identity);
        self.steps.push(Step { name, work, input, bias, residual: None, function, output: NOWHERE });
        Place::Open(self.steps.len() - 1)
    }

    /// A step that does nothing yet.
    fn copy(&mut self, at: usize) -> usize {
        let channels = self.layers[at].shape.channels;
        self.step(at, Work::Scale(vec![1.0; channels]), None);
        self.steps.len() - 1
    }

    fn layer(&mut self, at: usize) -> Result<Place> {
        let layer = &self.layers[at];
        let input = layer.inputs.first().copied().unwrap_or(0);
        Ok(match &layer.operation {
            Operation::Input => Place::Value(self.value(at, None)),
            Operation::Dropout(_) if self.uses(input) == 1 => self.places[input],
            Operation::Dropout(_) => Place::Value(self.close(input)),
            Operation::Flatten => {
                // A linear layer finds each feature where the image has it; others would take a channel for a feature.
                if let Some(found) = self.other_reader(at).filter(|_| self.layers[input].shape.pixels() > 1) {
                    let expected = "an image's features in one row to go to linear layers alone";
                    return Err(Error::argument(&layer.name, expected, found));
                }
                Place::Value(self.close(input))
            }
            Operation::Conv { .. } => {
                let convolution = layer.operation.convolution(&self.layers[input].shape);
                let convolution =
                    convolution.filter(Convolution::is_supported).ok_or_else(|| unsupported(layer))?;
                let (weight, bias) = weight_and_bias(layer)?;
                self.step(at, Work::Conv(convolution, weight), bias)
            }
            Operation::Linear { .. } => {
                let (weight, bias) = weight_and_bias(layer)?;
                self.step(at, Work::Linear(weight), bias)
            }
            Operation::Pool(Pooling::Max, pool) => {
                let from = self.close(input);
                self.step(at, Work::Pool(Pooling::Max, *pool), None);
                let value = self.value(at, Some(from));
                let step = self.steps.len() - 1;
                self.steps[step].output = value;
                Place::Value(value)
            }
            Operation::Pool(Pooling::Average, pool) => {
                self.step(at, Work::Pool(Pooling::Average, *pool), None)
            }
            Operation::GlobalAveragePool => self.step(at, Work::GlobalAveragePool, None),
            Operation::BatchNorm => self.norm(at, input)?,
            Operation::Relu => self.function(at, input, Function::Relu),
            Operation::Relu6 => self.function(at, input, Function::Relu6),
            Operation::Add => self.sum(at),
            Operation::Concat => {
                let other = self.close(layer.inputs[1]);
                self.step(at, Work::Concat(other), None)
            }
            Operation::Custom(_) => return Err(unsupported(layer)),
        })
    }

    fn norm(&mut self, at: usize, input: usize) -> Result<Place> {
        let [scale, shift] = self.layers[at].affine.as_ref().ok_or_else(|| unsupported(&self.layers[at]))?;
        let (scale, shift) = (values(scale)?, values(shift)?);
        let foldable = |step: &Step| {
            step.residual.is_none()
                && !matches!(step.work, Work::Concat(_) | Work::Pool(..) | Work::GlobalAveragePool)
        };
        let step = self.open(input).filter(|step| foldable(&self.steps[*step]));
        let step = match step {
            Some(step) => step,
            None => self.copy(at),
        };
        let Step { work, bias, .. } = &mut self.steps[step];
        if let Work::Conv(_, weight) | Work::Linear(weight) | Work::Scale(weight) = work {
            let of_channel = weight.len() / scale.len();
            for (weights, scale) in weight.chunks_mut(of_channel).zip(&scale) {
                weights.iter_mut().for_each(|weight| *weight *= scale);
            }
        }
        for (bias, (scale, shift)) in bias.iter_mut().zip(scale.iter().zip(&shift)) {
            *bias = *bias * scale + shift;
        }
        Ok(Place::Open(step))
    }

    fn function(&mut self, at: usize, input: usize, function: Function) -> Place {
        let step = match self.open(input) {
            Some(step) => step,
            None => self.copy(at),
        };
        self.steps[step].function = function;
        Place::Open(step)
    }

    /// A sum is done by the later one of the steps whose outputs it adds, if nothing else reads them.
    fn sum(&mut self, at: usize) -> Place {
        let [left, right] = [self.layers[at].inputs[0], self.layers[at].inputs[1]];
        let candidates = [(left, right), (right, left)].into_iter().filter_map(|(own, other)| {
            let step = self.open(own).filter(|step| self.steps[*step].residual.is_none())?;
            Some((step, other))
        });
        let candidate = candidates.filter(|_| left != right).max_by_key(|(step, _)| *step);
        // The other summand has to be there before.
        let candidate = candidate.filter(|(step, other)| match self.places[*other] {
            Place::Open(other) => other < *step,
            Place::Value(value) => {
                self.steps.iter().position(|step| step.output == value).is_none_or(|other| other < *step)
            }
        });
        let (step, other) = match candidate {
            Some(candidate) => candidate,
            None => {
                let other = right;
                self.close(right);
                (self.copy(at), other)
            }
        };
        let residual = self.close(other);
        self.steps[step].residual = Some(residual);
        Place::Open(step)
    }
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

fn weight_and_bias(layer: &EvaluatedLayer) -> Result<(Vec<f32>, Option<Vec<f32>>)> {
    let weight = layer.weight.as_ref().ok_or_else(|| unsupported(layer))?;
    Ok((values(weight)?, layer.bias.as_ref().map(values).transpose()?))
}

fn unsupported(layer: &EvaluatedLayer) -> Error {
    let expected =
        "layers that integers can compute: convolutions, linear layers, batch norms, ReLU, sums, pooling";
    Error::argument(&layer.name, expected, layer.operation.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel_helpers::prelude::*;

    #[test]
    fn features_in_one_row_go_to_linear_layers_alone() {
        let lowered = |describe: fn(Node) -> Node| {
            let graph = Graph::new("flat", [3, 8, 8], |x| describe(x.conv(5, 3).relu().flatten()));
            Program::of(&graph.unwrap().build(0, &Device::Cpu).unwrap()).map(|program| program.steps.len())
        };
        assert_eq!(lowered(|x| x.dropout(0.5).linear(10)).unwrap(), 2);
        for (describe, found) in [
            ((|x| x.relu().linear(10)) as fn(Node) -> Node, "relu2"),
            (|x| x.dropout(0.5).batch_norm().linear(10), "norm1"),
            (|x| x, "the network's output"),
        ] {
            let error = lowered(describe).unwrap_err().to_string();
            assert!(error.starts_with("flatten1: expected an image's features"), "{error}");
            assert!(error.ends_with(&format!("found {found}")), "{error}");
        }
    }
}
