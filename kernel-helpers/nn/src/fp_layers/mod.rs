//! Layers that quantize their weight on every forward pass; the course's `FP_layers.py`.

mod batch_norm;
mod layers;

pub use crate::quant::Ste;
pub use batch_norm::BatchNorm;
pub use layers::{FpConv, FpLinear};
pub(crate) use layers::{glorot, uniform};
