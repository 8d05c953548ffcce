//! What a graph tells of the network: names, counts, a description.

use super::operation::Parameter;
use super::{Graph, Layer, Shape};
use crate::network::layer_name;
use base::digest::sha256;
use base::units::{bytes, grouped};
use base::{Error, Result};
use display::table::Table;
use std::collections::HashSet;

impl Graph {
    /// The layers up to the output that reach it, numbered anew.
    pub(super) fn of_layers(title: &str, layers: Vec<Layer>, output: usize) -> Result<Self> {
        let mut reached = vec![false; layers.len()];
        (reached[0], reached[output]) = (true, true);
        for at in (0..layers.len()).rev().filter(|at| *at <= output) {
            if reached[at] {
                layers[at].inputs.iter().for_each(|&input| reached[input] = true);
            }
        }
        let mut places = vec![0; layers.len()];
        let mut kept: Vec<Layer> = Vec::new();
        for (at, mut layer) in layers.into_iter().enumerate().filter(|(at, _)| reached[*at]) {
            layer.inputs.iter_mut().for_each(|input| *input = places[*input]);
            places[at] = kept.len();
            kept.push(layer);
        }
        let graph = Self { title: title.to_owned(), output: places[output], layers: kept };
        let mut names = HashSet::new();
        let twice = graph
            .layers
            .iter()
            .flat_map(|layer| graph.parameters_of(layer).into_iter().map(move |p| (layer, p)));
        let twice = twice.map(|(layer, parameter)| format!("{}.{}", layer.name, parameter.name));
        match twice.into_iter().find(|name| !names.insert(name.clone())) {
            Some(name) => Err(Error::argument(title, "a name for each parameter", format!("`{name}` twice"))),
            None => Ok(graph),
        }
    }

    /// The network's title.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The shape of one image.
    pub fn input_shape(&self) -> Shape {
        self.layers[0].shape
    }

    pub(super) fn parameters_of(&self, layer: &Layer) -> Vec<Parameter> {
        let input = layer.inputs.first().map(|&input| self.layers[input].shape);
        input.map(|input| layer.operation.parameters(&input)).unwrap_or_default()
    }

    pub(super) fn multiplications_of(&self, layer: &Layer) -> usize {
        let input = layer.inputs.first().map(|&input| self.layers[input].shape);
        input.map_or(0, |input| layer.operation.multiplications(&input, &layer.shape))
    }

    /// Multiplications for one image, by the definition of the layers.
    pub fn multiplications(&self) -> usize {
        self.layers.iter().map(|layer| self.multiplications_of(layer)).sum()
    }

    /// The multiplications of each layer with a weight, for one image, under the layer's name in
    /// [`Network::prunable_layers`](crate::Network::prunable_layers).
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    /// let layers = lenet(10)?.layer_multiplications();
    /// assert_eq!(layers[0], ("conv1".to_owned(), 6 * 5 * 5 * 28 * 28));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn layer_multiplications(&self) -> Vec<(String, usize)> {
        let weighted = self.layers.iter().filter(|layer| layer.has_weight());
        let name = |layer: &Layer| layer_name(&format!("{}.weight", layer.name)).to_owned();
        weighted.map(|layer| (name(layer), self.multiplications_of(layer))).collect()
    }

    /// How many values the parameters have.
    pub fn parameters(&self) -> usize {
        self.layers
            .iter()
            .flat_map(|layer| self.parameters_of(layer))
            .map(|parameter| parameter.count())
            .sum()
    }

    /// The title and a sum over all that decides what the network computes besides its parameters and quantizers:
    /// layers, their connections and shapes.
    pub fn description(&self) -> String {
        let lines = self.layers.iter().map(|layer| {
            let Layer { name, operation, inputs, shape, .. } = layer;
            format!("{name} {operation} {inputs:?} {shape}\n")
        });
        let text: String = lines.collect();
        format!("{}, {}", self.title, &sha256(format!("{text}{}", self.output).as_bytes())[..8])
    }

    /// A row for each layer that has parameters or changes the shape, with what comes out of it, parameters and
    /// multiplications for an image; like torchinfo's.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let shown = lenet(10)?.summary().forms();
    /// assert!(shown.get("text/plain").is_some_and(|text| text.starts_with("LeNet-5")));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn summary(&self) -> Table {
        let quantized = self.layers.iter().any(|layer| layer.quantization.quantizer().is_some());
        let mut columns = vec!["layer", "output", "parameters", "multiplications"];
        columns.extend(quantized.then_some("quantized to"));
        let shown = self.layers.iter().skip(1).filter(|layer| {
            !self.parameters_of(layer).is_empty() || layer.shape != self.layers[layer.inputs[0]].shape
        });
        let blank = |count: usize| if count == 0 { String::new() } else { grouped(count) };
        let row = |layer: &Layer| {
            let parameters: usize = self.parameters_of(layer).iter().map(Parameter::count).sum();
            let multiplications = blank(self.multiplications_of(layer));
            let mut row =
                vec![layer.name.clone(), layer.shape.to_string(), blank(parameters), multiplications];
            row.extend(quantized.then(|| match layer.quantization.quantizer() {
                Some(quantizer) => quantizer.description(),
                None => String::new(),
            }));
            row
        };
        let table = Table::new(columns).caption(self.title.clone()).rows(shown.map(row));
        let (parameters, multiplications) = (grouped(self.parameters()), grouped(self.multiplications()));
        let table = table.row(vec!["all layers".to_owned(), String::new(), parameters, multiplications]);
        table.note(format!("{} of parameters", bytes(4 * self.parameters())))
    }
}
