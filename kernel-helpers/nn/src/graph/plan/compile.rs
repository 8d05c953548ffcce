//! From a graph to its plan, layer after layer.

use super::{Activation, Affine, Extent, Origin, Plan, Stage, Term, Work};
use crate::graph::operation::{Operation, Shape};
use crate::graph::{Graph, Layer};
use cpu_kernels::LANES_MAX;
use cpu_kernels::channels::Function;
use std::ops::Range;

/// What a layer gives: a formula that can still grow, until something has to read it.
#[derive(Clone, Debug)]
struct Value {
    terms: Vec<Term>,
    function: Function,
    extent: Extent,
    /// Its place among the activations, once it has one.
    activation: Option<usize>,
    /// How many layers read it.
    uses: usize,
}

struct Compiler<'a> {
    graph: &'a Graph,
    values: Vec<Value>,
    stages: Vec<Stage>,
    activations: Vec<Activation>,
    affines: Vec<Affine>,
    parameters: Vec<Vec<Range<usize>>>,
}

impl Extent {
    fn of(shape: &Shape) -> Self {
        Extent { channels: shape.channels, size: shape.size.unwrap_or([1, 1]) }
    }
}

impl Plan {
    /// The plan of a graph.
    pub fn of(graph: &Graph) -> Self {
        let mut end = 0;
        let mut take = |count: usize| {
            end += count;
            end - count..end
        };
        let parameters: Vec<Vec<_>> = graph
            .layers
            .iter()
            .map(|layer| graph.parameters_of(layer).iter().map(|parameter| take(parameter.count())).collect())
            .collect();
        let mut compiler = Compiler {
            graph,
            values: Vec::new(),
            stages: Vec::new(),
            activations: Vec::new(),
            affines: Vec::new(),
            parameters,
        };
        for at in 0..graph.layers.len() {
            let value = compiler.layer(at);
            compiler.values.push(value);
        }
        let output = compiler.activation(graph.output);
        let Compiler { stages, activations, affines, parameters, .. } = compiler;
        let images = Extent::of(&graph.layers[0].shape);
        let mut plan = Plan { images, stages, activations, affines, output, parameters };
        for at in 0..plan.activations.len() {
            let sources: Vec<usize> = plan.sources(at).collect();
            sources.into_iter().for_each(|stage| plan.stages[stage].reader = at);
        }
        plan
    }
}

impl Compiler<'_> {
    fn value(&self, at: usize, terms: Vec<Term>, function: Function) -> Value {
        let uses =
            self.graph.layers.iter().flat_map(|layer| &layer.inputs).filter(|&&input| input == at).count();
        let output = usize::from(self.graph.output == at);
        let extent = Extent::of(&self.graph.layers[at].shape);
        Value { terms, function, extent, activation: None, uses: uses + output }
    }

    /// The value of the layer at this place, once those before have theirs.
    fn layer(&mut self, at: usize) -> Value {
        let layer = self.graph.layers[at].clone();
        let input = layer.inputs.first().copied().unwrap_or(0);
        let parameter = |index: usize| self.parameters[at].get(index).cloned();
        let bias = parameter(1);
        match layer.operation {
            Operation::Input => {
                self.value(at, vec![Term { origin: Origin::Images, affine: None }], Function::Identity)
            }
            Operation::Relu => self.function(at, input, Function::Relu),
            Operation::Relu6 => self.function(at, input, Function::Relu6),
            Operation::Add => self.sum(at, &layer),
            Operation::BatchNorm => self.norm(at, input),
            Operation::Conv { .. } | Operation::Linear { .. } => match self.weighted(at, &layer) {
                Work::Candle => self.stage(at, Work::Candle, &layer.inputs, None),
                work @ Work::Classify { .. } => self.stage(at, work, &layer.inputs, None),
                work => self.stage(at, work, &layer.inputs, bias),
            },
            Operation::Pool(kind, pool) => self.stage(at, Work::Pool(kind, pool), &layer.inputs, None),
            Operation::GlobalAveragePool => self.stage(at, Work::GlobalAveragePool, &layer.inputs, None),
            Operation::Flatten if self.values[input].extent.size == [1, 1] => {
                self.function(at, input, Function::Identity)
            }
            // Images come in that order.
            Operation::Flatten if self.is_images(input) && self.values[input].uses == 1 => {
                self.value(at, self.values[input].terms.clone(), Function::Identity)
            }
            Operation::Flatten => self.stage(at, Work::Flatten, &layer.inputs, None),
            Operation::Concat | Operation::Dropout(_) | Operation::Custom(_) => {
                self.stage(at, Work::Candle, &layer.inputs, None)
            }
        }
    }

    /// How a convolution or a linear layer is computed.
    fn weighted(&self, at: usize, layer: &Layer) -> Work {
        let input = &self.graph.layers[layer.inputs[0]].shape;
        let weight = self.parameters[at][0].clone();
        if let Operation::Linear { outputs, .. } = layer.operation {
            return match outputs <= LANES_MAX {
                true => Work::Classify { weight, bias: self.parameters[at].get(1).cloned() },
                false => Work::Linear(weight),
            };
        }
        match layer.operation.convolution(input) {
            Some(convolution) if convolution.is_supported() => Work::Conv(convolution, weight),
            _ => Work::Candle,
        }
    }

    /// Whether a layer's value is the network's images, as they are.
    fn is_images(&self, at: usize) -> bool {
        self.values[at].terms[0].origin == Origin::Images
    }

    fn function(&mut self, at: usize, input: usize, function: Function) -> Value {
        let terms = self.terms(input);
        self.value(at, terms, function)
    }

    fn sum(&mut self, at: usize, layer: &Layer) -> Value {
        let [left, right] = [layer.inputs[0], layer.inputs[1]];
        let (mut terms, mut others) = (self.terms(left), self.terms(right));
        if terms.len() + others.len() > 2 {
            for (terms, input) in [(&mut terms, left), (&mut others, right)] {
                if terms.len() > 1 {
                    *terms = vec![self.kept(input)];
                }
            }
        }
        terms.append(&mut others);
        self.value(at, terms, Function::Identity)
    }

    fn norm(&mut self, at: usize, input: usize) -> Value {
        let value = &self.values[input];
        let plain = match value.terms[..] {
            [Term { origin: Origin::Stage(_), affine: None }] => {
                value.uses == 1 && value.function == Function::Identity
            }
            _ => false,
        };
        // Statistics are taken of what a stage writes.
        let mut terms = if plain { value.terms.clone() } else { self.keep_again(input) };
        let Origin::Stage(stage) = terms[0].origin else { unreachable!("the term of a stage") };
        let (scale, shift) = (self.parameters[at][0].clone(), self.parameters[at][1].clone());
        let channels = self.graph.layers[at].shape.channels;
        self.affines.push(Affine { channels, norm: Some((at, scale)), shift });
        let affine = self.affines.len() - 1;
        self.stages[stage].moments = Some(affine);
        terms[0].affine = Some(affine);
        self.value(at, terms, Function::Identity)
    }

    /// Adds a stage for a layer, and if there is a bias, its addition.
    fn stage(&mut self, at: usize, work: Work, inputs: &[usize], bias: Option<Range<usize>>) -> Value {
        let inputs = inputs.iter().map(|&input| self.activation(input)).collect();
        let output = Extent::of(&self.graph.layers[at].shape);
        let origin = self.push(work, at, inputs, output);
        let affine = bias.map(|shift| {
            self.affines.push(Affine { channels: output.channels, norm: None, shift });
            self.affines.len() - 1
        });
        self.value(at, vec![Term { origin, affine }], Function::Identity)
    }

    fn push(&mut self, work: Work, layer: usize, inputs: Vec<usize>, output: Extent) -> Origin {
        let stage = self.stages.len();
        inputs.iter().for_each(|&input| self.activations[input].consumers.push(stage));
        self.stages.push(Stage { work, layer, inputs, output, reader: 0, moments: None });
        Origin::Stage(stage)
    }

    /// The activation of a layer's value.
    fn activation(&mut self, at: usize) -> usize {
        if let Some(activation) = self.values[at].activation {
            return activation;
        }
        let Value { terms, function, extent, .. } = self.values[at].clone();
        let activation = self.activations.len();
        for term in &terms {
            if let Origin::Kept(kept) = term.origin {
                self.activations[kept].readers.push(activation);
            }
        }
        let (consumers, readers) = (Vec::new(), Vec::new());
        self.activations.push(Activation { terms, function, extent, kept: false, consumers, readers });
        self.values[at].activation = Some(activation);
        activation
    }

    /// The terms by which a formula can go on from a layer's value: its own if nothing else reads it.
    fn terms(&mut self, at: usize) -> Vec<Term> {
        let value = &self.values[at];
        match value.uses == 1 && value.function == Function::Identity && !self.is_images(at) {
            true => value.terms.clone(),
            false => vec![self.kept(at)],
        }
    }

    /// A term that reads a layer's value, which is written down.
    fn kept(&mut self, at: usize) -> Term {
        let activation = self.activation(at);
        let stages = &self.stages;
        let activation = match &mut self.activations[activation] {
            plain if plain.plain().is_some() => activation,
            read if read.terms[0].origin != Origin::Images
                && read.consumers.first().is_some_and(|&first| stages[first].inputs[0] == activation) =>
            {
                read.kept = true;
                activation
            }
            // Nothing writes it down on the way.
            _ => {
                let terms = self.keep_again(at);
                self.values[at] = Value {
                    terms,
                    function: Function::Identity,
                    activation: None,
                    ..self.values[at].clone()
                };
                self.activation(at)
            }
        };
        Term { origin: Origin::Kept(activation), affine: None }
    }

    /// The terms of a stage that does nothing but write a layer's value down.
    fn keep_again(&mut self, at: usize) -> Vec<Term> {
        let activation = self.activation(at);
        let extent = self.values[at].extent;
        vec![Term { origin: self.push(Work::Keep, at, vec![activation], extent), affine: None }]
    }
}
