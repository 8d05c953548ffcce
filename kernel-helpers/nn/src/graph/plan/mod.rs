//! How a graph is computed.
//!
//! Layers fall into two kinds. Convolutions, linear layers and pooling are *stages*: each makes one pass over the batch and
//! writes its output once. What lies between (batch norms, biases, functions, sums) is an *activation*: a formula over outputs
//! of stages, which is computed where it is read, while the image is in the cache.

mod compile;

use cpu_kernels::LANES_MAX;
use cpu_kernels::channels::Function;
use cpu_kernels::conv::Convolution;
use cpu_kernels::pool::{Pool, Pooling};
use std::ops::Range;

/// An image of features, channels last and padded to a multiple of 16. Flat features are an image of one pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub channels: usize,
    pub size: [usize; 2],
}

impl Extent {
    /// Channels with their padding.
    pub fn lanes(&self) -> usize {
        self.channels.next_multiple_of(LANES_MAX)
    }

    pub fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Values of an image, padding included.
    pub fn values(&self) -> usize {
        self.pixels() * self.lanes()
    }

    /// Values without the padding.
    pub fn elements(&self) -> usize {
        self.pixels() * self.channels
    }
}

/// What a term of an activation reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The images that go into the network.
    Images,
    /// A stage's output; exactly one term reads it.
    Stage(usize),
    /// The values of an activation that is kept.
    Kept(usize),
}

/// `source · scale + shift`, per channel.
#[derive(Clone, Copy, Debug)]
pub struct Term {
    pub origin: Origin,
    /// The place of scale and shift in [`Plan::affines`]; 1 and 0 without.
    pub affine: Option<usize>,
}

/// `function(Σ terms)`.
#[derive(Clone, Debug)]
pub struct Activation {
    /// One or two.
    pub terms: Vec<Term>,
    pub function: Function,
    pub extent: Extent,
    /// Whether its values are written down, by the first stage that reads it.
    pub kept: bool,
    /// The stages that read it.
    pub consumers: Vec<usize>,
    /// The activations with a term that reads its kept values.
    pub readers: Vec<usize>,
}

impl Activation {
    /// The stage whose output it is, without any change; no copy is kept of it then.
    pub fn plain(&self) -> Option<usize> {
        match self.terms[..] {
            [Term { origin: Origin::Stage(stage), affine: None }] if self.function == Function::Identity => {
                Some(stage)
            }
            _ => None,
        }
    }
}

/// Where the scale and shift of a term come from.
#[derive(Clone, Debug)]
pub struct Affine {
    pub channels: usize,
    /// The batch norm's layer and γ; a bias has neither.
    pub norm: Option<(usize, Range<usize>)>,
    /// β, or the bias, among the parameters.
    pub shift: Range<usize>,
}

/// What a stage does.
#[derive(Clone, Debug)]
pub enum Work {
    /// Of the weight among the parameters.
    Conv(Convolution, Range<usize>),
    /// A linear layer, of the weight among the parameters; the images are rows of a matrix.
    Linear(Range<usize>),
    /// A linear layer with few outputs, and its bias.
    Classify {
        weight: Range<usize>,
        bias: Option<Range<usize>>,
    },
    Pool(Pooling, Pool),
    GlobalAveragePool,
    /// Channel after channel, as in PyTorch.
    Flatten,
    /// Writes the activation down, so that more can be done with it.
    Keep,
    /// A layer that candle computes.
    Candle,
}

/// A pass over the batch.
#[derive(Clone, Debug)]
pub struct Stage {
    pub work: Work,
    /// The graph's layer.
    pub layer: usize,
    /// The activations that it reads; one, but for layers that candle computes.
    pub inputs: Vec<usize>,
    pub output: Extent,
    /// The activation that reads its output.
    pub reader: usize,
    /// The norm that wants the mean and variance of its output.
    pub moments: Option<usize>,
}

/// How a network is computed.
#[derive(Clone, Debug)]
pub struct Plan {
    pub images: Extent,
    pub stages: Vec<Stage>,
    pub activations: Vec<Activation>,
    pub affines: Vec<Affine>,
    /// The activation that comes out, and whether it is flat.
    pub output: usize,
    /// The places of each layer's parameters among the values of all.
    pub parameters: Vec<Vec<Range<usize>>>,
}

impl Plan {
    /// The last stage whose gradient waits for that of this activation's sum.
    pub fn last_source(&self, activation: usize) -> Option<usize> {
        let of_term = |term: &Term| match term.origin {
            Origin::Images => None,
            Origin::Stage(stage) => Some(stage),
            Origin::Kept(kept) => self.last_source(kept),
        };
        self.activations[activation].terms.iter().filter_map(of_term).max()
    }

    /// The stages whose outputs this activation reads.
    pub fn sources(&self, activation: usize) -> impl Iterator<Item = usize> {
        self.activations[activation].terms.iter().filter_map(|term| match term.origin {
            Origin::Stage(stage) => Some(stage),
            _ => None,
        })
    }
}
