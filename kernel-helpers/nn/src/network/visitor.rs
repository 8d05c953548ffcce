//! How a network names its parts.

use crate::Network;
use crate::fp_layers::{BatchNorm, FpConv, FpLinear};
use crate::quant::Quantization;
use candle_core::Var;

/// What a network is made of: layers, and whatever has layers. Tuples, arrays, vectors and options of parts are parts,
/// and so is a network.
///
/// ```
/// use kernel_helpers::prelude::*;
/// /// A linear layer with a batch norm.
/// struct Unit {
///     layer: FpLinear,
///     norm: BatchNorm,
/// }
///
/// impl Part for Unit {
///     fn visit(&self, visitor: &mut Visitor) {
///         visitor.part("layer", &self.layer);
///         visitor.part("norm", &self.norm);
///     }
/// }
///
/// # struct Net(Vec<Unit>);
/// # impl ModuleT for Net {
/// #     fn forward_t(&self, x: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
/// #         Ok(x.clone())
/// #     }
/// # }
/// impl Network for Net {
///     fn visit(&self, visitor: &mut Visitor) {
///         visitor.part("units", &self.0); // a vector of units
///     }
/// #     fn device(&self) -> &Device {
/// #         &Device::Cpu
/// #     }
/// }
///
/// # let mut rng = ChaCha8Rng::seed_from_u64(0);
/// # let layer = FpLinear::new(4, 4, Ste::default(), &mut rng, &Device::Cpu)?;
/// # let net = Net(vec![Unit { layer, norm: BatchNorm::new(4, &Device::Cpu)? }]);
/// assert_eq!(net.named_parameters()[2].0, "units.0.norm.weight");
/// # Ok::<(), Error>(())
/// ```
pub trait Part {
    /// Names the tensors, and the parts that have some, in a fixed order.
    fn visit(&self, visitor: &mut Visitor);
}

/// Goes through a network and takes down the tensors under their names, see [`Network::visit`].
///
/// ```
/// use kernel_helpers::prelude::*;
/// struct Scaled {
///     layer: FpLinear,
///     scale: Var,
/// }
///
/// # impl ModuleT for Scaled {
/// #     fn forward_t(&self, x: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
/// #         self.layer.forward(x)?.broadcast_mul(&self.scale)
/// #     }
/// # }
/// impl Network for Scaled {
///     fn visit(&self, visitor: &mut Visitor) {
///         visitor.unpruned_part("layer", &self.layer);
///         visitor.parameter("scale", &self.scale);
///     }
/// #     fn device(&self) -> &Device {
/// #         self.scale.device()
/// #     }
/// }
///
/// # let mut rng = ChaCha8Rng::seed_from_u64(0);
/// # let layer = FpLinear::new(4, 2, Ste::default(), &mut rng, &Device::Cpu)?;
/// # let net = Scaled { layer, scale: Var::new(&[1f32], &Device::Cpu)? };
/// let names: Vec<String> = net.named_parameters().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["layer.weight", "layer.bias", "scale"]);
/// assert!(net.prunable_layers().is_empty());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    /// What the names begin with at present.
    prefix: String,
    /// Whether pruning leaves the present part alone.
    unpruned: bool,
    pub(super) parameters: Vec<(String, Var)>,
    pub(super) buffers: Vec<(String, Var)>,
    pub(super) weights: Vec<Weight>,
    pub(super) prunable: Vec<(String, Var)>,
}

/// A weight that a layer quantizes, or could.
#[derive(Clone, Debug)]
pub(super) struct Weight {
    pub name: String,
    pub quantization: Quantization,
}

impl Visitor {
    pub(super) fn of(net: &(impl Network + ?Sized)) -> Self {
        let mut visitor = Self::default();
        net.visit(&mut visitor);
        visitor
    }

    /// A part, whose names all begin with `name` and a dot.
    pub fn part(&mut self, name: &str, part: &(impl Part + ?Sized)) {
        let outside = self.prefix.len();
        self.prefix.push_str(name);
        self.prefix.push('.');
        part.visit(self);
        self.prefix.truncate(outside);
    }

    /// A [`Self::part`] that pruning leaves alone.
    pub fn unpruned_part(&mut self, name: &str, part: &(impl Part + ?Sized)) {
        let outside = std::mem::replace(&mut self.unpruned, true);
        self.part(name, part);
        self.unpruned = outside;
    }

    /// A trainable tensor. Pruning reaches it if it is of rank 2 or more.
    pub fn parameter(&mut self, name: &str, var: &Var) {
        let name = self.full(name);
        if var.rank() >= 2 && !self.unpruned {
            self.prunable.push((super::layer_name(&name).to_owned(), var.clone()));
        }
        self.parameters.push((name, var.clone()));
    }

    /// A trainable tensor that is quantized before it is used, and the quantizer's learned parameters.
    pub fn weight(&mut self, name: &str, var: &Var, quantization: &Quantization) {
        self.parameter(name, var);
        let name = self.full(name);
        let learned = quantization.parameters().iter();
        self.parameters.extend(learned.map(|(learned, var)| (learned_name(&name, learned), var.clone())));
        self.weights.push(Weight { name, quantization: quantization.clone() });
    }

    /// A tensor that is saved but not trained.
    pub fn buffer(&mut self, name: &str, var: &Var) {
        let name = self.full(name);
        self.buffers.push((name, var.clone()));
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// The name under which a quantizer's learned parameter is trained and saved: `conv1.weight_step`.
pub(super) fn learned_name(weight: &str, learned: &str) -> String {
    format!("{weight}_{learned}")
}

impl Part for FpConv {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.weight("weight", &self.weight, &self.quantization);
    }
}

impl Part for FpLinear {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.weight("weight", &self.weight, &self.quantization);
        visitor.parameter("bias", &self.bias);
    }
}

impl Part for BatchNorm {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.parameter("weight", &self.weight);
        visitor.parameter("bias", &self.bias);
        visitor.buffer("running_mean", &self.running_mean);
        visitor.buffer("running_var", &self.running_var);
        visitor.buffer("num_batches_tracked", &self.num_batches_tracked);
    }
}

impl<N: Network + ?Sized> Part for N {
    fn visit(&self, visitor: &mut Visitor) {
        Network::visit(self, visitor);
    }
}

impl<P: Part> Part for Option<P> {
    fn visit(&self, visitor: &mut Visitor) {
        self.iter().for_each(|part| part.visit(visitor));
    }
}

/// Named by their index, from 0.
impl<P: Part> Part for [P] {
    fn visit(&self, visitor: &mut Visitor) {
        self.iter().enumerate().for_each(|(index, part)| visitor.part(&index.to_string(), part));
    }
}

impl<P: Part, const N: usize> Part for [P; N] {
    fn visit(&self, visitor: &mut Visitor) {
        self.as_slice().visit(visitor);
    }
}

impl<P: Part> Part for Vec<P> {
    fn visit(&self, visitor: &mut Visitor) {
        self.as_slice().visit(visitor);
    }
}

impl Part for Box<dyn Part> {
    fn visit(&self, visitor: &mut Visitor) {
        (**self).visit(visitor);
    }
}

/// Tuples, named by their index as PyTorch's `nn.Sequential` names its modules.
macro_rules! tuple_parts {
    ($($part:ident $index:tt),+) => {
        impl<$($part: Part),+> Part for ($($part,)+) {
            fn visit(&self, visitor: &mut Visitor) {
                $(visitor.part(stringify!($index), &self.$index);)+
            }
        }
    };
}

tuple_parts!(A 0, B 1);
tuple_parts!(A 0, B 1, C 2);
tuple_parts!(A 0, B 1, C 2, D 3);
tuple_parts!(A 0, B 1, C 2, D 3, E 4);
tuple_parts!(A 0, B 1, C 2, D 3, E 4, F 5);
