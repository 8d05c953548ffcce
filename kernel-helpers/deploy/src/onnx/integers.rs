//! A network of integers as an ONNX graph: between `QuantizeLinear` and `DequantizeLinear`, numbers are those of 8 bits, and
//! layers are written as if they computed in floating point. An engine joins them to layers of integers, or computes them as
//! they are; either gives the same up to rounding.

use super::OnnxOptions;
use super::builder::{Builder, Elements, INPUT, int};
use super::proto::ModelProto;
use crate::IntegerNetwork;
use crate::lower::{Step, Work};
use crate::network::Scale;
use crate::weights::IntegerWeights;
use nn::graph::Shape;

/// The versions of the file's form and of the operators: those with scales by channel, and the first with four bits.
const VERSIONS: [i64; 2] = [8, 17];
const VERSIONS_FOUR_BITS: [i64; 2] = [10, 21];

/// The most bits of a weight in four bits.
const FOUR: u32 = 4;

/// A network being exported.
struct Export<'a> {
    net: &'a IntegerNetwork,
    options: OnnxOptions,
    builder: Builder,
    /// What each value is called, in floating point; those that are not computed yet have no name.
    values: Vec<String>,
}

/// The file's content for a network.
pub fn model(net: &IntegerNetwork, options: OnnxOptions) -> ModelProto {
    let (program, images) = (&net.program, net.values[0].shape);
    let values = vec![String::new(); program.values.len()];
    let mut export = Export { net, options, builder: Builder::new(&net.title, images), values };
    export.values[0] = export.rounded(INPUT, INPUT, net.values[0].scale);
    for step in &program.steps {
        let output = export.step(step);
        export.values[step.output] = match program.ends_in_floats(step.output) {
            true => output,
            false => export.rounded(&step.name, &output, net.values[step.output].scale),
        };
    }
    let versions = if options.four_bits { VERSIONS_FOUR_BITS } else { VERSIONS };
    let Export { builder, values, .. } = export;
    builder.finish(&values[program.output], net.values[program.output].shape, versions)
}

impl Export<'_> {
    /// The nearest of the numbers that 8 bits stand for.
    fn rounded(&mut self, name: &str, input: &str, Scale { scale, zero }: Scale) -> String {
        let scale = self.builder.constant(&format!("{name}.scale"), Elements::Float(&[scale]), &[]);
        let zero = self.builder.constant(&format!("{name}.zero_point"), Elements::Uint8(&[zero]), &[]);
        let mut node = |operator: &str, name: String, input: &str| {
            self.builder.node(operator, &name, &[input, &scale, &zero], Vec::new())
        };
        let quantized = node("QuantizeLinear", format!("{name}.quantized"), input);
        node("DequantizeLinear", format!("{name}.dequantized"), &quantized)
    }

    /// What comes out of a step before it is rounded.
    fn step(&mut self, step: &Step<IntegerWeights>) -> String {
        let mut output = self.work(step);
        if let Some(residual) = step.residual {
            let inputs = [&*output, &*self.values[residual]];
            output = self.builder.node("Add", &format!("{}.sum", step.name), &inputs, Vec::new());
        }
        self.builder.function(&format!("{}.function", step.name), step.function, &output)
    }

    fn work(&mut self, step: &Step<IntegerWeights>) -> String {
        let (name, read) = (&*step.name, self.net.values[step.input].shape);
        let input = self.values[step.input].clone();
        match &step.work {
            Work::Conv(convolution, weights) => {
                let (kernel, inputs) = (convolution.kernel, convolution.inputs / convolution.groups);
                let weight = self.weight(name, weights, &[convolution.outputs, inputs, kernel, kernel]);
                let bias = self.bias(step, &[step.bias.len()]);
                let inputs: Vec<&str> = [&input, &weight].into_iter().chain(&bias).map(|s| &**s).collect();
                self.builder.conv(name, *convolution, &inputs)
            }
            Work::Linear(weights) => {
                let input = self.flat(name, input, read);
                let weight = self.weight(name, weights, &[step.bias.len(), read.values()]);
                let bias = self.bias(step, &[step.bias.len()]);
                let inputs: Vec<&str> = [&input, &weight].into_iter().chain(&bias).map(|s| &**s).collect();
                self.builder.linear(name, &inputs)
            }
            Work::Pool(kind, pool) => self.builder.pool(name, *kind, *pool, &input),
            Work::GlobalAveragePool => self.builder.global_average_pool(name, &input),
            Work::Concat(other) => self.builder.concat(name, &[&input, &self.values[*other]]),
            Work::Scale(scale) => self.scale(step, scale, input, read),
        }
    }

    /// The features of images in one row.
    fn flat(&mut self, name: &str, input: String, shape: Shape) -> String {
        match shape.size {
            Some(_) => self.builder.flatten(&format!("{name}.flat"), &input),
            None => input,
        }
    }

    /// Times a number for each channel, and one added.
    fn scale(
        &mut self,
        step: &Step<IntegerWeights>,
        scale: &[f32],
        mut input: String,
        read: Shape,
    ) -> String {
        let dims = [scale.len(), 1, 1];
        let dims = if read.size.is_some() { &dims[..] } else { &dims[..1] };
        if scale.iter().any(|scale| *scale != 1.0) {
            let factor = format!("{}.factor", step.name);
            let factor = self.builder.constant(&factor, Elements::Float(scale), dims);
            input =
                self.builder.node("Mul", &format!("{}.scaled", step.name), &[&input, &factor], Vec::new());
        }
        match self.bias(step, dims) {
            Some(bias) => self.builder.node("Add", &step.name, &[&input, &bias], Vec::new()),
            None => input,
        }
    }

    /// The integers of a weight, and what they stand for.
    fn weight(&mut self, name: &str, weights: &IntegerWeights, dims: &[usize]) -> String {
        let IntegerWeights { values, scales, bits } = weights;
        let few = self.options.four_bits && bits.iter().all(|bits| *bits <= FOUR);
        let zeros = vec![0; scales.len()];
        let channels = &dims[..1];
        let values = self.builder.constant(&format!("{name}.weight"), integers(few, values), dims);
        let scales =
            self.builder.constant(&format!("{name}.weight.scale"), Elements::Float(scales), channels);
        let zeros =
            self.builder.constant(&format!("{name}.weight.zero_point"), integers(few, &zeros), channels);
        let inputs = [&*values, &*scales, &*zeros];
        let axis = vec![int("axis", 0)];
        self.builder.node("DequantizeLinear", &format!("{name}.weight.dequantized"), &inputs, axis)
    }

    /// The bias of a step, if it has one.
    fn bias(&mut self, step: &Step<IntegerWeights>, dims: &[usize]) -> Option<String> {
        let name = format!("{}.bias", step.name);
        let has_bias = step.bias.iter().any(|bias| *bias != 0.0);
        has_bias.then(|| self.builder.constant(&name, Elements::Float(&step.bias), dims))
    }
}

/// Integers of four bits, if these are so few, or of eight.
fn integers(few: bool, values: &[i8]) -> Elements<'_> {
    if few { Elements::Int4(values) } else { Elements::Int8(values) }
}
