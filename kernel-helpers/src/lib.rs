//! ResNet-20, pruning and fixed-point quantization on [candle](candle_core), shaped for Rust notebooks.
//!
//! Modules carry the names of the course's files where there is one: [`resnet20`], [`fp_layers`], [`train_util`].
//! A notebook starts with `use kernel_helpers::prelude::*;`.

pub use candle_core;
pub use candle_nn;

pub mod device;
mod error;
pub mod ops;
pub mod paths;
mod scale;

pub use error::{Error, Result};
pub use scale::Scale;
