//! The operations of convolutional networks as functions on candle tensors, differentiable by candle's autograd.
//!
//! f32 on the CPU runs in the [kernels](cpu_kernels); other types, devices and shapes run in candle's operators.

mod backward;
mod conv;
mod cpu;
mod loss;
mod norm;
mod pointwise;
#[cfg(test)]
mod properties;
mod statistics;
#[cfg(test)]
pub(crate) mod testing;

pub use backward::backward;
pub(crate) use backward::hand_over;
pub use conv::{conv2d, grouped_conv2d};
pub(crate) use cpu::{Values, among_threads};
pub use loss::cross_entropy;
pub use norm::{BatchStatistics, batch_norm_eval, batch_norm_train};
pub use pointwise::{add_relu, global_average_pool, linear, relu, round};
pub(crate) use statistics::Moments;
