//! ResNet-20, pruning and fixed-point quantization on [candle](candle_core), shaped for Rust notebooks.
//!
//! Modules carry the names of the course's files where there is one: [`fp_layers`], [`train_util`].
//! A notebook starts with `use kernel_helpers::prelude::*;`.

pub use candle_core;
pub use candle_nn;

pub mod bench;
pub mod cell;
pub mod checkpoint;
pub mod data;
pub mod device;
pub mod digest;
pub mod display;
mod error;
pub mod files;
pub mod fp_layers;
pub mod graph;
pub mod kernels;
pub mod lab1;
pub mod machine;
pub mod models;
mod network;
pub mod ops;
pub mod optim;
pub mod panic;
pub mod paths;
pub mod plot;
pub mod prelude;
pub mod printable;
mod progress;
#[cfg(test)]
mod properties;
pub mod prune;
pub mod quant;
pub mod random;
pub mod results;
mod scale;
pub mod scan;
pub mod source;
pub mod sparse;
pub mod stop;
pub mod table;
pub mod train_util;
mod units;
pub mod variables;

pub use display::{DisplayPlain, Markdown, Show, display, markdown};
pub use error::{Error, Result};
pub use network::{Network, Part, Visitor, state_dict};
pub use scale::{Scale, seed_from_env};

/// Tells a test run with overflow checks and debug assertions from one that only means to have them.
#[cfg(all(test, debug_assertions))]
#[test]
#[should_panic(expected = "overflow")]
fn arithmetic_is_checked() {
    assert_ne!(std::hint::black_box(u32::MAX) + 1, 0);
}
