//! Pruning and fixed-point quantization of neural networks on [candle](candle_core), shaped for Rust notebooks.
//!
//! A notebook starts with `use kernel_helpers::prelude::*;`, the homework's with `use kernel_helpers::homework::prelude::*;`
//! beside it. What is behind lies in crates of their own, each of which knows only those before it:
//!
//! | crate | |
//! |---|---|
//! | [`base`] | errors, files, sums |
//! | [`cpu_kernels`] | vector instructions on slices of f32 |
//! | [`display`](mod@display) | what a value shows of itself, and how that reaches the notebook |
//! | [`nn`] | networks, quantization, pruning, data, checkpoints |
//! | [`deploy`] | networks in 8-bit integers, and in ONNX's form for other engines |
//! | [`notebook`] | plots, source code, variables, errors |
//! | [`runs`] | training, recorded and repeatable |
//! | [`bench`](mod@bench) | what networks and kernels reach on this machine |
//! | [`homework`] | the labs' own |
//!
//! The modules that carry the names of the course's files are [`fp_layers`] and [`train_util`].

mod macros;
pub mod prelude;
mod source;

pub use ::base::{self, Error, Result, digest, files, paths, printable};
pub use ::bench;
pub use ::cpu_kernels;
pub use ::deploy;
pub use ::display::{self, DisplayPlain, Markdown, Show, display, markdown, table};
pub use ::homework;
pub use ::nn::{
    self, Network, Part, Predictor, Visitor, checkpoint, data, device, fp_layers, graph, models, ops, optim,
    prune, quant, random, sparse, state_dict,
};
pub use ::notebook::{self, cell, panic, plot, stop, variables};
pub use ::runs::{self, self as train_util};
pub use candle_core;
pub use candle_nn;
pub use source::show_source;

/// Tells a test run with overflow checks and debug assertions from one that only means to have them.
#[cfg(all(test, debug_assertions))]
#[test]
#[should_panic(expected = "overflow")]
fn arithmetic_is_checked() {
    assert_ne!(std::hint::black_box(u32::MAX) + 1, 0);
}
