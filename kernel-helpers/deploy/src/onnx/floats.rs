//! A network in floating point as an ONNX graph, layer by layer.

use super::builder::{Builder, Elements, INPUT, float};
use super::proto::ModelProto;
use crate::lower::Function;
use base::{Error, Result};
use candle_core::{DType, Device, Tensor};
use nn::checkpoint::StateDict;
use nn::fp_layers::BatchNorm;
use nn::graph::{EvaluatedLayer, Model, Operation};

/// The versions of the file's form and of the operators: those that PyTorch's exporter has long written.
const VERSIONS: [i64; 2] = [8, 17];

/// A network being exported.
struct Export {
    layers: Vec<EvaluatedLayer>,
    /// What the network saves: the statistics of its batch norms.
    state: StateDict,
    builder: Builder,
    /// What comes out of each layer so far.
    outputs: Vec<String>,
}

/// The file's content for a network.
pub fn model(net: &Model) -> Result<ModelProto> {
    let graph = net.graph();
    let (layers, state) = (net.evaluated_layers()?, nn::state_dict(net)?);
    let builder = Builder::new(graph.title(), graph.input_shape());
    let mut export = Export { layers, state, builder, outputs: Vec::new() };
    for at in 0..export.layers.len() {
        let output = export.layer(at)?;
        export.outputs.push(output);
    }
    let Export { layers, builder, outputs, .. } = export;
    let output = net.output_layer();
    Ok(builder.finish(&outputs[output], layers[output].shape, VERSIONS))
}

impl Export {
    fn layer(&mut self, at: usize) -> Result<String> {
        let layer = self.layers[at].clone();
        let (name, builder) = (&*layer.name, &mut self.builder);
        let inputs: Vec<&str> = layer.inputs.iter().map(|input| &*self.outputs[*input]).collect();
        let input = inputs.first().copied().unwrap_or(INPUT);
        Ok(match layer.operation {
            Operation::Input => INPUT.to_owned(),
            Operation::Conv { .. } => {
                let convolution = layer.operation.convolution(&self.layers[layer.inputs[0]].shape);
                let convolution = convolution.ok_or_else(|| unsupported(&layer))?;
                let parameters = parameters(builder, &layer)?;
                builder.conv(name, convolution, &with(input, &parameters))
            }
            Operation::Linear { .. } => {
                let parameters = parameters(builder, &layer)?;
                builder.linear(name, &with(input, &parameters))
            }
            Operation::BatchNorm => batch_norm(builder, name, input, &self.state)?,
            Operation::Relu => builder.function(name, Function::Relu, input),
            Operation::Relu6 => builder.function(name, Function::Relu6, input),
            Operation::Add => builder.node("Add", name, &inputs, Vec::new()),
            Operation::Concat => builder.concat(name, &inputs),
            Operation::Pool(kind, pool) => builder.pool(name, kind, pool, input),
            Operation::GlobalAveragePool => builder.global_average_pool(name, input),
            Operation::Flatten => builder.flatten(name, input),
            // Nothing is dropped in evaluation.
            Operation::Dropout(_) => input.to_owned(),
            Operation::Custom(_) => return Err(unsupported(&layer)),
        })
    }
}

/// An input and the constants behind it.
fn with<'a>(input: &'a str, constants: &'a [String]) -> Vec<&'a str> {
    [input].into_iter().chain(constants.iter().map(String::as_str)).collect()
}

/// The weight of a layer as it is used, and its bias if it has one.
fn parameters(builder: &mut Builder, layer: &EvaluatedLayer) -> Result<Vec<String>> {
    let named = [("weight", &layer.weight), ("bias", &layer.bias)];
    let tensors = named.into_iter().filter_map(|(name, tensor)| Some((name, tensor.as_ref()?)));
    tensors.map(|(name, tensor)| constant(builder, &format!("{}.{name}", layer.name), tensor)).collect()
}

fn batch_norm(builder: &mut Builder, name: &str, input: &str, state: &StateDict) -> Result<String> {
    let mut tensors = Vec::new();
    for part in ["weight", "bias", "running_mean", "running_var"] {
        let name = format!("{name}.{part}");
        tensors.push(constant(builder, &name, &state[&name])?);
    }
    let epsilon = vec![float("epsilon", BatchNorm::EPS as f32)];
    Ok(builder.node("BatchNormalization", name, &with(input, &tensors), epsilon))
}

fn constant(builder: &mut Builder, name: &str, tensor: &Tensor) -> Result<String> {
    let values = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    Ok(builder.constant(name, Elements::Float(&values), tensor.dims()))
}

fn unsupported(layer: &EvaluatedLayer) -> Error {
    let expected = "layers that ONNX has: convolutions, linear layers, batch norms, ReLU, sums, pooling";
    Error::argument(&layer.name, expected, layer.operation.kind())
}
