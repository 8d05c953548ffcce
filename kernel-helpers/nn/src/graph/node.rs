//! The description of a network, layer after layer.

use super::operation::{Operation, Shape};
use super::{CustomLayer, Graph, Layer};
use crate::quant::Quantization;
use base::{Error, Result};
use cpu_kernels::pool::{Pool, Pooling};
use std::collections::HashMap;
use std::ops::Add;
use std::sync::{Arc, Mutex, MutexGuard};

/// The features at one place of a network that is being described. Each method adds a layer and returns what comes out
/// of it; the methods that begin with `with_`, and the few that say so, say more about the layer that was added last.
/// What does not fit together is told by [`Graph::new`], at the end.
///
/// ```
/// use kernel_helpers::prelude::*;
/// /// Two convolutions beside a shortcut.
/// fn block(x: Node) -> Node {
///     let inner = x.conv(x.channels(), 3).batch_norm().relu();
///     (inner.conv(x.channels(), 3).batch_norm() + x).relu()
/// }
///
/// let graph = Graph::new("residual", [3, 32, 32], |x| {
///     let x = x.conv(16, 3).named("stem").within("block", block);
///     x.max_pool(2).flatten().linear(10).not_pruned()
/// })?;
/// let net = graph.build(0, &Device::Cpu)?;
/// let names: Vec<String> = net.prunable_layers().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["stem", "block.conv1", "block.conv2"]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Node {
    building: Arc<Mutex<Building>>,
    at: usize,
}

/// A graph on its way.
#[derive(Debug, Default)]
pub(super) struct Building {
    layers: Vec<Layer>,
    scope: Vec<String>,
    /// How many layers have a name of each kind, within each scope.
    names: HashMap<String, usize>,
    /// What was wrong first.
    wrong: Option<Error>,
}

impl Graph {
    /// Describes a network of one's own: `describe` gets the images `[C, H, W]` and returns the output.
    ///
    /// ```
    /// # use kernel_helpers::graph::Graph;
    /// let vgg = Graph::new("small VGG", [3, 32, 32], |mut x| {
    ///     for channels in [64, 128] {
    ///         x = x.conv(channels, 3).batch_norm().relu().max_pool(2);
    ///     }
    ///     x.global_average_pool().linear(10)
    /// })?;
    /// # Ok::<(), kernel_helpers::Error>(())
    /// ```
    ///
    /// # Errors
    /// If a layer does not fit to what goes into it, or two parameters have the same name.
    pub fn new(title: &str, input: [usize; 3], describe: impl FnOnce(Node) -> Node) -> Result<Self> {
        let building = Arc::new(Mutex::new(Building::default()));
        let [channels, rows, columns] = input;
        let shape = Shape { channels, size: Some([rows, columns]) };
        lock(&building).layers.push(Layer::new("input".to_owned(), Operation::Input, Vec::new(), shape));
        let output = describe(Node { building: building.clone(), at: 0 });
        if !Arc::ptr_eq(&output.building, &building) {
            return Err(Error::argument(
                title,
                "an output made of the network's own input",
                "another network's",
            ));
        }
        let mut building = lock(&building);
        if let Some(wrong) = building.wrong.take() {
            return Err(wrong);
        }
        Graph::of_layers(title, std::mem::take(&mut building.layers), output.at)
    }
}

fn lock(building: &Mutex<Building>) -> MutexGuard<'_, Building> {
    building.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Building {
    fn name(&mut self, kind: &str) -> String {
        let scope: String = self.scope.iter().map(|scope| format!("{scope}.")).collect();
        let count = self.names.entry(format!("{scope}{kind}")).or_default();
        *count += 1;
        format!("{scope}{kind}{count}")
    }

    fn fail(&mut self, name: &str, expected: String) {
        self.wrong.get_or_insert(Error::argument(name, expected, "what is described"));
    }

    /// Computes the last layer's shape anew.
    fn reshape(&mut self, at: usize) {
        let layer = &self.layers[at];
        let inputs: Vec<Shape> = layer.inputs.iter().map(|&input| self.layers[input].shape).collect();
        match layer.operation.shape(&inputs) {
            Ok(shape) => self.layers[at].shape = shape,
            Err(expected) => {
                let name = layer.name.clone();
                self.fail(&name, expected);
            }
        }
    }
}

impl Node {
    fn push(&self, operation: Operation, others: &[&Node]) -> Node {
        let mut building = lock(&self.building);
        let inputs = [self].into_iter().chain(others.iter().copied());
        let name = building.name(operation.kind());
        if others.iter().any(|other| !Arc::ptr_eq(&other.building, &self.building)) {
            building.fail(&name, "features of one network".to_owned());
            return self.clone();
        }
        let inputs: Vec<usize> = inputs.map(|node| node.at).collect();
        let shape = building.layers[self.at].shape;
        building.layers.push(Layer::new(name, operation, inputs, shape));
        let at = building.layers.len() - 1;
        building.reshape(at);
        Node { building: self.building.clone(), at }
    }

    /// Says more about the layer that this node comes out of.
    fn change(self, what: &str, change: impl FnOnce(&mut Layer) -> bool) -> Node {
        let mut building = lock(&self.building);
        let last = building.layers.len() - 1 == self.at;
        let changed = change(&mut building.layers[self.at]);
        if !changed || !last {
            let name = building.layers[self.at].name.clone();
            building.fail(&name, format!("a layer that has a {what}, right where it is added"));
        } else if self.at > 0 {
            building.reshape(self.at);
        }
        drop(building);
        self
    }

    /// The shape of the features: channels, and rows and columns of images.
    pub fn shape(&self) -> Shape {
        lock(&self.building).layers[self.at].shape
    }

    /// Channels of the features.
    pub fn channels(&self) -> usize {
        self.shape().channels
    }

    /// A convolution to `outputs` channels with a square kernel, stride 1, zeros around the images that keep their
    /// size, and no bias; see [`Self::stride`], [`Self::padding`], [`Self::groups`], [`Self::with_bias`] and
    /// [`Self::quantized`]. PyTorch's `nn.Conv2d`.
    pub fn conv(&self, outputs: usize, kernel: usize) -> Node {
        let padding = kernel / 2;
        self.push(Operation::Conv { outputs, kernel, stride: 1, padding, groups: 1, bias: false }, &[])
    }

    /// A convolution of each channel by itself, as in MobileNet (Howard et al., 2017).
    pub fn depthwise_conv(&self, kernel: usize) -> Node {
        let channels = self.channels();
        self.conv(channels, kernel).groups(channels)
    }

    /// Of the convolution or pooling just added: the step from output to output, in pixels.
    pub fn stride(self, pixels: usize) -> Node {
        self.change("stride", |layer| match &mut layer.operation {
            Operation::Conv { stride, .. } | Operation::Pool(_, Pool { stride, .. }) => {
                *stride = pixels;
                pixels > 0
            }
            _ => false,
        })
    }

    /// Of the convolution or pooling just added: the zeros around the images, in pixels.
    pub fn padding(self, pixels: usize) -> Node {
        self.change("padding", |layer| match &mut layer.operation {
            Operation::Conv { padding, .. } | Operation::Pool(_, Pool { padding, .. }) => {
                *padding = pixels;
                true
            }
            _ => false,
        })
    }

    /// Of the convolution just added: into how many groups its channels are split.
    pub fn groups(self, count: usize) -> Node {
        self.change("number of groups", |layer| match &mut layer.operation {
            Operation::Conv { groups, .. } => {
                *groups = count;
                true
            }
            _ => false,
        })
    }

    /// Of the convolution just added: a summand for each output channel.
    pub fn with_bias(self) -> Node {
        self.change("bias", |layer| match &mut layer.operation {
            Operation::Conv { bias, .. } | Operation::Linear { bias, .. } => {
                *bias = true;
                true
            }
            _ => false,
        })
    }

    /// Of the linear layer just added: no bias.
    pub fn without_bias(self) -> Node {
        self.change("bias", |layer| match &mut layer.operation {
            Operation::Conv { bias, .. } | Operation::Linear { bias, .. } => {
                *bias = false;
                true
            }
            _ => false,
        })
    }

    /// Of the convolution or linear layer just added: how its weight is quantized on every pass.
    pub fn quantized(self, quantizer: impl Into<Quantization>) -> Node {
        self.change("weight", |layer| {
            layer.quantization = quantizer.into();
            layer.has_weight()
        })
    }

    /// Of the convolution or linear layer just added: pruning leaves it alone.
    pub fn not_pruned(self) -> Node {
        self.change("weight", |layer| {
            layer.pruned = false;
            layer.has_weight()
        })
    }

    /// Of the layer just added: its name, within the scopes it is in. Without, layers are counted by kind: `conv1`,
    /// `norm1`.
    pub fn named(self, name: &str) -> Node {
        let scope: String = lock(&self.building).scope.iter().map(|scope| format!("{scope}.")).collect();
        self.change("name", |layer| {
            layer.name = format!("{scope}{name}");
            true
        })
    }

    /// Adds layers whose names all begin with `scope` and a dot.
    pub fn within(&self, scope: &str, describe: impl FnOnce(Node) -> Node) -> Node {
        lock(&self.building).scope.push(scope.to_owned());
        let node = describe(self.clone());
        lock(&self.building).scope.pop();
        node
    }

    /// Batch normalization; PyTorch's `nn.BatchNorm2d`, and `nn.BatchNorm1d` of flat features.
    pub fn batch_norm(&self) -> Node {
        self.push(Operation::BatchNorm, &[])
    }

    /// `max(x, 0)`.
    pub fn relu(&self) -> Node {
        self.push(Operation::Relu, &[])
    }

    /// `min(max(x, 0), 6)`.
    pub fn relu6(&self) -> Node {
        self.push(Operation::Relu6, &[])
    }

    /// These channels, then the other's.
    pub fn concat(&self, other: &Node) -> Node {
        self.push(Operation::Concat, &[other])
    }

    /// The largest value of each window of `kernel` x `kernel` pixels, a window apart; see [`Self::stride`] and
    /// [`Self::padding`]. PyTorch's `nn.MaxPool2d`.
    pub fn max_pool(&self, kernel: usize) -> Node {
        self.push(Operation::Pool(Pooling::Max, Pool { kernel, stride: kernel, padding: 0 }), &[])
    }

    /// The mean of each window of `kernel` x `kernel` pixels, zeros around the image included, as [`Self::max_pool`].
    /// PyTorch's `nn.AvgPool2d`.
    pub fn average_pool(&self, kernel: usize) -> Node {
        self.push(Operation::Pool(Pooling::Average, Pool { kernel, stride: kernel, padding: 0 }), &[])
    }

    /// The mean over all pixels: flat features.
    pub fn global_average_pool(&self) -> Node {
        self.push(Operation::GlobalAveragePool, &[])
    }

    /// All values in a row, channel after channel, as PyTorch's `nn.Flatten`.
    pub fn flatten(&self) -> Node {
        self.push(Operation::Flatten, &[])
    }

    /// A linear layer with bias; PyTorch's `nn.Linear`. See [`Self::without_bias`].
    pub fn linear(&self, outputs: usize) -> Node {
        self.push(Operation::Linear { outputs, bias: true }, &[])
    }

    /// Sets a share of the values to zero in training, and divides the others by what is left, as PyTorch's
    /// `nn.Dropout`.
    pub fn dropout(&self, share: f64) -> Node {
        self.push(Operation::Dropout(share), &[])
    }

    /// A layer of one's own, which candle computes.
    pub fn layer(&self, layer: impl CustomLayer + 'static) -> Node {
        self.push(Operation::Custom(Arc::new(layer)), &[])
    }
}

impl Add for &Node {
    type Output = Node;

    /// The sum, value by value.
    fn add(self, other: &Node) -> Node {
        self.push(Operation::Add, &[other])
    }
}

impl Add for Node {
    type Output = Node;

    fn add(self, other: Node) -> Node {
        &self + &other
    }
}
