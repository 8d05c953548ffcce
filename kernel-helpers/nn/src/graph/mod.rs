//! Networks described once.
//!
//! A [`Graph`] says what a network consists of, layer after layer, and is written like a forward pass. From it come the
//! names and shapes of parameters and buffers, the multiplications, what pruning and quantization reach, a run's
//! identity, and the plan by which the CPU computes the network as one operation. A [`Model`] is a graph with values
//! for its parameters.

mod custom;
mod describe;
mod evaluated;
mod execute;
mod layered;
mod model;
mod node;
mod operation;
mod plan;
mod prepared;
mod shrink;

pub use custom::CustomLayer;
pub use evaluated::EvaluatedLayer;
pub use model::Model;
pub use node::Node;
pub use operation::{Operation, Shape};
pub use prepared::PreparedModel;
pub use shrink::{ChannelCriterion, ChannelGroup, ChannelPruning, ChannelShare};

use crate::quant::Quantization;

/// The version of the numerics: raised when a change alters the bits that a training gives. A record says with which it
/// was made. A test trains a small network on every instruction set and compares the sums of its weights with those of
/// this version.
pub const NUMERICS: u32 = 1;

/// What a network consists of, without values for its parameters.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let graph = Graph::new("small", [3, 32, 32], |x| {
///     x.conv(8, 3).batch_norm().relu().global_average_pool().linear(10)
/// })?;
/// assert_eq!(graph.parameters(), 8 * 3 * 9 + 2 * 8 + 10 * 8 + 10);
/// assert_eq!(graph.multiplications(), 8 * 3 * 9 * 32 * 32 + 10 * 8);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Graph {
    title: String,
    /// In an order in which each comes after what goes into it; the first is the input.
    layers: Vec<Layer>,
    output: usize,
}

/// A layer of a graph.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    name: String,
    operation: Operation,
    /// The places of the layers that go into it.
    inputs: Vec<usize>,
    /// The shape of what comes out of it.
    shape: Shape,
    /// Whether pruning reaches its weight.
    pruned: bool,
    /// How its weight is quantized.
    quantization: Quantization,
}

impl Layer {
    fn new(name: String, operation: Operation, inputs: Vec<usize>, shape: Shape) -> Self {
        Self { name, operation, inputs, shape, pruned: true, quantization: Quantization::default() }
    }

    /// Whether it has a weight that can be quantized and pruned.
    fn has_weight(&self) -> bool {
        matches!(self.operation, Operation::Conv { .. } | Operation::Linear { .. })
    }

    /// Whether each of its outputs is a sum over all input channels.
    fn reads_all_inputs(&self) -> bool {
        matches!(self.operation, Operation::Conv { groups: 1, .. } | Operation::Linear { .. })
    }
}
