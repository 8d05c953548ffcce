//! Layers that quantize their weight on every forward pass; the course's `FP_layers.py`.

mod batch_norm;
mod layers;
mod ste;

pub use batch_norm::BatchNorm;
pub use layers::{FpConv, FpLinear};
pub use ste::Ste;
pub(crate) use ste::mean_magnitude;
