//! A network of other widths.

use crate::graph::{Graph, Operation, Shape};
use base::{Error, Result};

impl Graph {
    /// The same layers with other numbers of output channels: of convolutions and linear layers those that `outputs` gives
    /// for their places and what goes into them, of a convolution with groups as many groups as there are inputs for.
    pub(super) fn resized(&self, outputs: impl Fn(usize, Shape) -> Result<usize>) -> Result<Self> {
        let mut graph = self.clone();
        for at in 1..graph.layers.len() {
            let inputs = |graph: &Graph| -> Vec<Shape> {
                graph.layers[at].inputs.iter().map(|&input| graph.layers[input].shape).collect()
            };
            let (before, now) = (inputs(self), inputs(&graph));
            let layer = &mut graph.layers[at];
            let misfit = |expected| Error::argument(&layer.name, expected, "other widths before it");
            match &mut layer.operation {
                Operation::Conv { outputs, groups, .. } if *groups > 1 => {
                    let (seen, made) = (before[0].channels / *groups, *outputs / *groups);
                    if !now[0].channels.is_multiple_of(seen) {
                        return Err(misfit(format!(
                            "input channels in groups of {seen}, not {}",
                            now[0].channels
                        )));
                    }
                    *groups = now[0].channels / seen;
                    *outputs = *groups * made;
                }
                Operation::Conv { outputs: count, .. } | Operation::Linear { outputs: count, .. } => {
                    *count = outputs(at, now[0])?;
                }
                _ => {}
            }
            layer.shape = layer.operation.shape(&now).map_err(misfit)?;
        }
        let [expected, found] = [self, &graph].map(|graph| graph.layers[graph.output].shape);
        match expected == found {
            true => Ok(graph),
            false => Err(Error::argument("the network's output", expected, found)),
        }
    }
}
