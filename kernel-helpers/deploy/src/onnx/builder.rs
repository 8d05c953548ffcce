//! An ONNX graph on its way: a method for each kind of layer, which returns the name of what comes out.

use super::proto::{
    AttributeProto, AttributeType, DataType, DimensionProto, Extent, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use crate::lower::Function;
use cpu_kernels::conv::Convolution;
use cpu_kernels::pool::{Pool, Pooling};
use nn::graph::Shape;
use std::collections::HashSet;

/// The name of the images.
pub const INPUT: &str = "images";
/// The name of what comes out of the network.
pub const OUTPUT: &str = "logits";
/// The name of the number of images.
const BATCH: &str = "N";

/// The elements of a constant.
#[derive(Clone, Copy, Debug)]
pub enum Elements<'a> {
    Float(&'a [f32]),
    Uint8(&'a [u8]),
    Int8(&'a [i8]),
    /// Each from -8 to 7.
    Int4(&'a [i8]),
}

impl Elements<'_> {
    fn data_type(self) -> DataType {
        match self {
            Elements::Float(_) => DataType::Float,
            Elements::Uint8(_) => DataType::Uint8,
            Elements::Int8(_) => DataType::Int8,
            Elements::Int4(_) => DataType::Int4,
        }
    }

    fn bytes(self) -> Vec<u8> {
        match self {
            Elements::Float(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Elements::Uint8(values) => values.to_vec(),
            Elements::Int8(values) => values.iter().map(|value| value.cast_unsigned()).collect(),
            Elements::Int4(values) => {
                let half = |value: Option<&i8>| value.map_or(0, |value| value.cast_unsigned() & 0xF);
                values.chunks(2).map(|pair| half(pair.first()) | half(pair.get(1)) << 4).collect()
            }
        }
    }
}

/// A graph on its way. Names are given once: what would have the name of another gets a number behind it.
#[derive(Debug)]
pub struct Builder {
    graph: GraphProto,
    names: HashSet<String>,
}

impl Builder {
    /// A network that takes images of a shape.
    pub fn new(title: &str, images: Shape) -> Self {
        let input = vec![value_info(INPUT, images)];
        let names = [INPUT, OUTPUT].map(str::to_owned).into();
        Builder { graph: GraphProto { name: title.to_owned(), input, ..GraphProto::default() }, names }
    }

    fn unique(&mut self, name: &str) -> String {
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let name = [name.to_owned()].into_iter().chain(numbered).find(|name| !self.names.contains(name));
        let name = name.expect("numbers do not end");
        self.names.insert(name.clone());
        name
    }

    /// A constant.
    pub fn constant(&mut self, name: &str, elements: Elements, dims: &[usize]) -> String {
        let name = self.unique(name);
        self.graph.initializer.push(TensorProto {
            dims: dims.iter().map(|extent| *extent as i64).collect(),
            data_type: elements.data_type().into(),
            name: name.clone(),
            raw_data: elements.bytes(),
        });
        name
    }

    /// An operator with one output, which has the node's name.
    pub fn node(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) -> String {
        let name = self.unique(name);
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: operator.to_owned(),
            attribute,
        });
        name
    }

    /// A convolution of an input with a weight `[O, I / groups, K, K]` and, if there is one, a bias.
    pub fn conv(&mut self, name: &str, convolution: Convolution, inputs: &[&str]) -> String {
        let Convolution { kernel, stride, padding, groups, .. } = convolution;
        let mut attributes = window(kernel, stride, padding);
        attributes.push(int("group", groups as i64));
        self.node("Conv", name, inputs, attributes)
    }

    /// A linear layer of an input `[N, I]` with a weight `[O, I]` and, if there is one, a bias.
    pub fn linear(&mut self, name: &str, inputs: &[&str]) -> String {
        self.node("Gemm", name, inputs, vec![int("transB", 1)])
    }

    /// The largest or the mean value of each window, zeros outside the image included.
    pub fn pool(&mut self, name: &str, kind: Pooling, pool: Pool, input: &str) -> String {
        let mut attributes = window(pool.kernel, pool.stride, pool.padding);
        match kind {
            Pooling::Max => self.node("MaxPool", name, &[input], attributes),
            Pooling::Average => {
                attributes.push(int("count_include_pad", 1));
                self.node("AveragePool", name, &[input], attributes)
            }
        }
    }

    /// The mean of each channel, flat.
    pub fn global_average_pool(&mut self, name: &str, input: &str) -> String {
        let means = self.node("GlobalAveragePool", name, &[input], Vec::new());
        self.flatten(&format!("{name}.flat"), &means)
    }

    /// The features in one row, channel after channel.
    pub fn flatten(&mut self, name: &str, input: &str) -> String {
        self.node("Flatten", name, &[input], vec![int("axis", 1)])
    }

    /// The channels of both.
    pub fn concat(&mut self, name: &str, inputs: &[&str]) -> String {
        self.node("Concat", name, inputs, vec![int("axis", 1)])
    }

    /// A function of single values.
    pub fn function(&mut self, name: &str, function: Function, input: &str) -> String {
        match function {
            Function::Identity => input.to_owned(),
            Function::Relu => self.node("Relu", name, &[input], Vec::new()),
            Function::Relu6 => {
                let bounds = [("low", 0.0), ("high", 6.0)];
                let [low, high] = bounds.map(|(end, value)| {
                    self.constant(&format!("{name}.{end}"), Elements::Float(&[value]), &[])
                });
                self.node("Clip", name, &[input, &low, &high], Vec::new())
            }
        }
    }

    /// The file's content: what is called `output` is what comes out, and has the name [`OUTPUT`].
    pub fn finish(mut self, output: &str, shape: Shape, [ir_version, opset]: [i64; 2]) -> ModelProto {
        let output = match output {
            INPUT => self.node("Identity", "output", &[INPUT], Vec::new()),
            output => output.to_owned(),
        };
        let uses = self.graph.node.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output));
        uses.filter(|name| **name == output).for_each(|name| *name = OUTPUT.to_owned());
        self.graph.output = vec![value_info(OUTPUT, shape)];
        ModelProto {
            ir_version,
            producer_name: "kernel-helpers".to_owned(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: opset }],
        }
    }
}

/// The settings that convolutions and pooling share.
fn window(kernel: usize, stride: usize, padding: usize) -> Vec<AttributeProto> {
    vec![
        ints("kernel_shape", &[kernel as i64; 2]),
        ints("strides", &[stride as i64; 2]),
        ints("pads", &[padding as i64; 4]),
    ]
}

/// A whole number as a setting.
pub fn int(name: &str, value: i64) -> AttributeProto {
    let name = name.to_owned();
    AttributeProto { name, i: Some(value), r#type: AttributeType::Int.into(), ..AttributeProto::default() }
}

/// A number as a setting.
pub fn float(name: &str, value: f32) -> AttributeProto {
    let name = name.to_owned();
    AttributeProto { name, f: Some(value), r#type: AttributeType::Float.into(), ..AttributeProto::default() }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let (name, ints) = (name.to_owned(), values.to_vec());
    AttributeProto { name, ints, r#type: AttributeType::Ints.into(), ..AttributeProto::default() }
}

/// Any number of images or outputs of a shape.
fn value_info(name: &str, shape: Shape) -> ValueInfoProto {
    let extents = shape.of_batch(0).into_iter().skip(1).map(|extent| Extent::Value(extent as i64));
    let extents = [Extent::Name(BATCH.to_owned())].into_iter().chain(extents);
    let dim = extents.map(|extent| DimensionProto { value: Some(extent) }).collect();
    let shape = Some(TensorShapeProto { dim });
    let tensor_type = Some(TensorTypeProto { elem_type: DataType::Float.into(), shape });
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type }) }
}
