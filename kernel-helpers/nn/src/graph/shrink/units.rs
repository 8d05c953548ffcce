//! Which channels stay or go together.

use crate::graph::{Graph, Layer, Operation};

/// The channels of all layers, sorted into *units*: those of a unit can be removed together alone. As in DepGraph (Fang et
/// al., 2023), but channel by channel, so that the parts of a concatenation stay apart.
pub struct Units {
    /// Of each layer, the unit of each output channel.
    pub of_layer: Vec<Vec<usize>>,
    /// Whether a unit has to stay, for it belongs to the network's input or output, or a layer of one's own sees it.
    pub fixed: Vec<bool>,
}

impl Units {
    pub fn of(graph: &Graph) -> Self {
        let mut sets = Sets::default();
        let mut of_layer: Vec<Vec<usize>> = Vec::new();
        let mut fixed = Vec::new();
        for layer in &graph.layers {
            let inputs: Vec<&[usize]> = layer.inputs.iter().map(|&input| &of_layer[input][..]).collect();
            let units = sets.after(graph, layer, &inputs);
            if !passes_channels_on(layer) {
                fixed.extend(units.iter().chain(inputs.into_iter().flatten()));
            }
            of_layer.push(units);
        }
        fixed.extend(&of_layer[graph.output]);
        sets.numbered(of_layer, &fixed)
    }

    /// How many units there are.
    pub fn count(&self) -> usize {
        self.fixed.len()
    }

    /// The channels of a layer's output for which `kept` is true of their unit.
    pub fn kept(&self, layer: usize, kept: &[bool]) -> Vec<usize> {
        let units = self.of_layer[layer].iter().enumerate();
        units.filter(|(_, unit)| kept[**unit]).map(|(channel, _)| channel).collect()
    }

    /// Of each unit, the filters that produce it: the places of layers and the output channels in them.
    pub fn filters(&self, graph: &Graph) -> Vec<Vec<(usize, usize)>> {
        let mut filters = vec![Vec::new(); self.count()];
        for (at, units) in self.of_layer.iter().enumerate().filter(|(at, _)| graph.layers[*at].has_weight()) {
            units.iter().enumerate().for_each(|(channel, unit)| filters[*unit].push((at, channel)));
        }
        filters
    }
}

/// Whether channels that go into the layer may be removed, and those that come out.
fn passes_channels_on(layer: &Layer) -> bool {
    match &layer.operation {
        Operation::Input => false,
        Operation::Custom(custom) => custom.is_channelwise() && custom.parameters().is_empty(),
        _ => true,
    }
}

/// Channels on their way into units: a forest, each tree of which is a unit.
#[derive(Default)]
struct Sets {
    parents: Vec<usize>,
}

impl Sets {
    fn fresh(&mut self, count: usize) -> Vec<usize> {
        let first = self.parents.len();
        self.parents.extend(first..first + count);
        (first..first + count).collect()
    }

    fn root(&self, mut at: usize) -> usize {
        while self.parents[at] != at {
            at = self.parents[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }

    /// The channels that come out of a layer.
    fn after(&mut self, graph: &Graph, layer: &Layer, inputs: &[&[usize]]) -> Vec<usize> {
        match &layer.operation {
            Operation::Conv { groups, .. } if *groups > 1 => {
                self.after_groups(inputs[0], *groups, layer.shape.channels)
            }
            Operation::Input | Operation::Conv { .. } | Operation::Linear { .. } => {
                self.fresh(layer.shape.channels)
            }
            Operation::Custom(_) if !passes_channels_on(layer) => self.fresh(layer.shape.channels),
            Operation::Add => {
                inputs[0].iter().zip(inputs[1]).for_each(|(a, b)| self.join(*a, *b));
                inputs[0].to_vec()
            }
            Operation::Concat => inputs.concat(),
            Operation::Flatten => {
                let pixels = graph.layers[layer.inputs[0]].shape.pixels();
                inputs[0].iter().flat_map(|channel| vec![*channel; pixels]).collect()
            }
            _ => inputs[0].to_vec(),
        }
    }

    /// A group of a convolution goes as a whole, inputs and outputs, so that those that are left are of the same size. In a
    /// depthwise convolution this is a single channel.
    fn after_groups(&mut self, inputs: &[usize], groups: usize, outputs: usize) -> Vec<usize> {
        let seen = inputs.len() / groups;
        for group in inputs.chunks(seen) {
            group.iter().for_each(|channel| self.join(group[0], *channel));
        }
        (0..outputs).map(|output| inputs[output / (outputs / groups) * seen]).collect()
    }

    /// The units, numbered in the order of their first channels.
    fn numbered(&self, mut of_layer: Vec<Vec<usize>>, fixed: &[usize]) -> Units {
        let mut numbers = vec![None; self.parents.len()];
        let mut count = 0;
        for channel in of_layer.iter_mut().flatten() {
            let number = numbers[self.root(*channel)].get_or_insert_with(|| {
                count += 1;
                count - 1
            });
            *channel = *number;
        }
        let mut is_fixed = vec![false; count];
        let fixed = fixed.iter().filter_map(|channel| numbers[self.root(*channel)]);
        fixed.for_each(|unit| is_fixed[unit] = true);
        Units { of_layer, fixed: is_fixed }
    }
}
