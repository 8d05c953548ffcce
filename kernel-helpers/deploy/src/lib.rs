//! Networks as they are used: small, in integers, without what only training needs; here, or in other engines.

mod execute;
mod file;
mod lower;
mod network;
mod onnx;
mod range;
mod weights;

#[cfg(test)]
mod tests;

pub use network::{Calibration, IntegerNetwork};
pub use onnx::{OnnxModel, OnnxOptions};
pub use range::RangeMethod;
