//! Convolutions of 8-bit integers: unsigned inputs, signed weights, sums of 32 bits, and outputs that are made unsigned 8-bit
//! integers again while the sums are in registers.
//!
//! A value `q` of an image stands for `scale · (q - zero)`. The sum of a convolution's products is exact, and what is done to it
//! is written down in [`Requantization`], operation by operation: so every instruction set gives the same bits as plain loops.

mod bytes;
mod channels;
mod convolution;
mod instructions;
mod requantization;
mod simd;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod weight;

#[cfg(test)]
mod tests;

pub use bytes::Bytes;
pub use channels::{ByChannel, DepthwiseIntegerWeight, QuantizeImage, Window, max_pool};
pub use convolution::IntegerConvolution;
pub use instructions::{IntegerIsa, IntegerKernel};
pub use requantization::{Requantization, Residual};
pub use weight::IntegerWeight;

/// Channels whose products one instruction adds up: inputs are padded to a multiple of it.
pub const CHANNELS_TOGETHER: usize = 4;
