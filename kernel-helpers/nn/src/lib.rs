//! Neural networks on [candle](candle_core): described once, trained and evaluated by kernels of this project's own.
//!
//! A [`graph::Graph`] describes a network; [`models`] holds those that are ready. A type of one's own is a [`Network`]
//! as soon as it names its parts. What can be done to a network is in [`quant`] and [`prune`], what it learns from in
//! [`data`], how in [`optim`], and where it stays in [`checkpoint`].

pub mod checkpoint;
pub mod data;
pub mod device;
pub mod fp_layers;
pub mod graph;
pub mod models;
mod network;
pub mod ops;
pub mod optim;
mod predictor;
#[cfg(test)]
mod properties;
pub mod prune;
pub mod quant;
pub mod random;
pub mod sparse;
mod summary;

pub use network::{Network, Part, Visitor, layer_name, set_state, state_dict};
pub use predictor::Predictor;
pub use summary::{ByNetwork, DisplayNetwork};
