//! What the layers of a network do: their shapes, parameters and multiplications.

use super::CustomLayer;
use candle_core::{DType, Device, Tensor};
use cpu_kernels::conv::Convolution;
use cpu_kernels::pool::{Pool, Pooling};
use std::fmt;
use std::sync::Arc;

/// The shape of one image's features: `[C, H, W]`, or `[C]` once they are flat.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::graph::Shape;
///
/// let images = Shape { channels: 3, size: Some([32, 32]) };
/// assert_eq!((images.values(), images.to_string()), (3072, "[3, 32, 32]".to_owned()));
/// assert_eq!(images.of_batch(8), [8, 3, 32, 32]);
/// assert_eq!(Shape::flat(10).pixels(), 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Channels.
    pub channels: usize,
    /// Rows and columns; none of flat features.
    pub size: Option<[usize; 2]>,
}

impl Shape {
    /// Flat features.
    pub fn flat(channels: usize) -> Self {
        Self { channels, size: None }
    }

    /// Values of one image.
    pub fn values(&self) -> usize {
        self.channels * self.pixels()
    }

    /// Pixels of one image, 1 of flat features.
    pub fn pixels(&self) -> usize {
        self.size.map_or(1, |[rows, columns]| rows * columns)
    }

    /// The shape of a batch's tensor.
    pub fn of_batch(&self, batch: usize) -> Vec<usize> {
        [batch, self.channels].into_iter().chain(self.size.into_iter().flatten()).collect()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.of_batch(0)[1..])
    }
}

/// What a layer does.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::graph::Operation;
///
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// let layers = net.evaluated_layers()?;
/// let pooled = layers.iter().filter(|layer| matches!(layer.operation, Operation::Pool(..))).count();
/// assert_eq!(pooled, 2);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub enum Operation {
    /// Nothing: the images.
    Input,
    /// A square convolution with equal padding on all sides.
    Conv {
        /// Output channels.
        outputs: usize,
        /// Height and width of the kernel.
        kernel: usize,
        /// Step of the output over the input.
        stride: usize,
        /// Zeros around the input.
        padding: usize,
        /// Parts into which both kinds of channels are split.
        groups: usize,
        /// Whether it has a bias.
        bias: bool,
    },
    /// A linear layer.
    Linear {
        /// Output features.
        outputs: usize,
        /// Whether it has a bias.
        bias: bool,
    },
    /// A batch norm.
    BatchNorm,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// The sum of its two inputs.
    Add,
    /// The channels of its inputs, one after the other.
    Concat,
    /// The largest or the mean value of each window.
    Pool(Pooling, Pool),
    /// The mean of each channel.
    GlobalAveragePool,
    /// The features in one row, channel after channel.
    Flatten,
    /// The share of values that are dropped in training.
    Dropout(f64),
    /// A layer of one's own.
    Custom(Arc<dyn CustomLayer>),
}

/// How a parameter starts.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// Normally distributed with standard deviation `sqrt(2 / fans)` (Glorot and Bengio, 2010).
    Glorot {
        fans: usize,
    },
    /// Uniform in ±`bound`.
    Uniform {
        bound: f32,
    },
    Ones,
    Given(Tensor),
}

/// A parameter of a layer.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub name: String,
    pub shape: Vec<usize>,
    pub start: Start,
}

impl Parameter {
    fn new(name: &str, shape: impl Into<Vec<usize>>, start: Start) -> Self {
        Self { name: name.to_owned(), shape: shape.into(), start }
    }

    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Operation {
    /// A word for the kind of layer, and for its name where it has none of its own.
    pub fn kind(&self) -> &str {
        match self {
            Operation::Input => "input",
            Operation::Conv { .. } => "conv",
            Operation::Linear { .. } => "linear",
            Operation::BatchNorm => "norm",
            Operation::Relu => "relu",
            Operation::Relu6 => "relu6",
            Operation::Add => "add",
            Operation::Concat => "concat",
            Operation::Pool(Pooling::Max, _) => "max_pool",
            Operation::Pool(Pooling::Average, _) => "average_pool",
            Operation::GlobalAveragePool => "global_average_pool",
            Operation::Flatten => "flatten",
            Operation::Dropout(_) => "dropout",
            Operation::Custom(layer) => layer.kind(),
        }
    }

    /// The convolution of features with so many channels; none of other layers.
    pub fn convolution(&self, input: &Shape) -> Option<Convolution> {
        let Operation::Conv { outputs, kernel, stride, padding, groups, .. } = *self else { return None };
        Some(Convolution { inputs: input.channels, outputs, kernel, stride, padding, groups })
    }

    /// The shape of what comes out, or what is wrong with what goes in.
    pub fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let first = inputs.first().copied().unwrap_or(Shape::flat(0));
        let image = || first.size.ok_or(format!("images, not the flat features {first}"));
        match self {
            Operation::Input | Operation::Relu | Operation::Relu6 | Operation::BatchNorm => Ok(first),
            Operation::Dropout(share) if !(0.0..1.0).contains(share) => {
                Err(format!("a share from 0 to below 1, not {share}"))
            }
            Operation::Dropout(_) => Ok(first),
            Operation::Conv { outputs, kernel, stride, padding, groups, .. } => {
                let size = image()?;
                if outputs * kernel * stride * groups == 0 {
                    return Err("sizes, strides and counts of at least 1".to_owned());
                }
                if first.channels % groups != 0 || outputs % groups != 0 {
                    return Err(format!(
                        "channels that {groups} groups share, not {} to {outputs}",
                        first.channels
                    ));
                }
                let convolution = self.convolution(&first);
                let size = convolution.and_then(|convolution| convolution.output_size(size)).ok_or(format!(
                    "images no smaller than the {kernel} x {kernel} kernel, not {first} with a padding of {padding}"
                ))?;
                Ok(Shape { channels: *outputs, size: Some(size) })
            }
            Operation::Linear { outputs, .. } if first.size.is_none() && *outputs > 0 => {
                Ok(Shape::flat(*outputs))
            }
            Operation::Linear { .. } => {
                Err(format!("flat features, not {first}: flatten them, or pool them globally"))
            }
            Operation::Add if inputs.iter().all(|shape| *shape == first) => Ok(first),
            Operation::Add => Err(format!("two of the same shape, not {}", listed(inputs))),
            Operation::Concat if inputs.iter().all(|shape| shape.size == first.size) => {
                Ok(Shape { channels: inputs.iter().map(|shape| shape.channels).sum(), ..first })
            }
            Operation::Concat => Err(format!("images of the same size, not {}", listed(inputs))),
            Operation::Pool(_, pool) => {
                let size = pool.output_size(image()?);
                let size =
                    size.ok_or(format!("images no smaller than the window of {}, not {first}", pool.kernel))?;
                Ok(Shape { size: Some(size), ..first })
            }
            Operation::GlobalAveragePool => image().map(|_| Shape::flat(first.channels)),
            Operation::Flatten => Ok(Shape::flat(first.values())),
            Operation::Custom(layer) => layer.shape(first),
        }
    }

    /// The parameters, in PyTorch's shapes.
    pub(crate) fn parameters(&self, input: &Shape) -> Vec<Parameter> {
        match *self {
            Operation::Conv { outputs, kernel, groups, bias, .. } => {
                let inputs = input.channels / groups;
                let (area, bound) = (kernel * kernel, 1.0 / ((inputs * kernel * kernel) as f32).sqrt());
                let fans = area * (inputs + outputs);
                let weight =
                    Parameter::new("weight", [outputs, inputs, kernel, kernel], Start::Glorot { fans });
                let bias = bias.then(|| Parameter::new("bias", [outputs], Start::Uniform { bound }));
                [weight].into_iter().chain(bias).collect()
            }
            Operation::Linear { outputs, bias } => {
                let (inputs, bound) = (input.channels, 1.0 / (input.channels as f32).sqrt());
                let weight =
                    Parameter::new("weight", [outputs, inputs], Start::Glorot { fans: inputs + outputs });
                let bias = bias.then(|| Parameter::new("bias", [outputs], Start::Uniform { bound }));
                [weight].into_iter().chain(bias).collect()
            }
            Operation::BatchNorm => {
                let zeros =
                    Tensor::zeros(input.channels, DType::F32, &Device::Cpu).expect("memory for channels");
                vec![
                    Parameter::new("weight", [input.channels], Start::Ones),
                    Parameter::new("bias", [input.channels], Start::Given(zeros)),
                ]
            }
            Operation::Custom(ref layer) => {
                let given = |(name, start): (String, Tensor)| Parameter {
                    name,
                    shape: start.dims().to_vec(),
                    start: Start::Given(start),
                };
                layer.parameters().into_iter().map(given).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Multiplications for one image, by the definition of convolution and linear layer.
    pub fn multiplications(&self, input: &Shape, output: &Shape) -> usize {
        match self {
            Operation::Conv { kernel, groups, .. } => {
                output.values() * kernel * kernel * (input.channels / groups)
            }
            Operation::Linear { .. } => input.channels * output.channels,
            _ => 0,
        }
    }
}

fn listed(shapes: &[Shape]) -> String {
    shapes.iter().map(Shape::to_string).collect::<Vec<_>>().join(" and ")
}

impl fmt::Display for Operation {
    /// All that decides what the layer computes, but for its shapes and parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Operation::Conv { kernel, stride, padding, groups, .. } => {
                write!(f, " {kernel}x{kernel} stride {stride} padding {padding} groups {groups}")
            }
            Operation::Pool(_, Pool { kernel, stride, padding }) => {
                write!(f, " {kernel}x{kernel} stride {stride} padding {padding}")
            }
            Operation::Dropout(share) => write!(f, " {share}"),
            Operation::Custom(layer) => write!(f, " {}", layer.description()),
            _ => Ok(()),
        }
    }
}
