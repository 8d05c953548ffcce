//! What networks, their training and their figures need in a cell, in one `use`.

pub use crate::show_source;
pub use ::base::paths::checkpoints_dir;
pub use ::base::{Error, Result};
pub use candle_core;
pub use candle_core::backprop::GradStore;
pub use candle_core::{D, DType, Device, IndexOp, Module, Shape, Tensor, Var};
pub use candle_nn;
// The kernel writes the type of a variable out, and that of a `VarBuilder` contains this trait.
pub use ::deploy::*;
pub use ::display::table::{Table, percent, points};
pub use ::display::{
    DisplayHandle, DisplayPlain as _, DisplayTypeName as _, MimeBundle, Show, clear_output, display, markdown,
};
pub use ::nn::checkpoint::{StateDict, load_state_dict, save_state_dict};
pub use ::nn::data::*;
pub use ::nn::device::best_device;
pub use ::nn::fp_layers::{BatchNorm, FpConv, FpLinear};
pub use ::nn::graph::{
    ChannelCriterion, ChannelGroup, ChannelPruning, ChannelShare, CustomLayer, Graph, Model, Node,
};
pub use ::nn::models::*;
pub use ::nn::ops;
pub use ::nn::optim::*;
pub use ::nn::prune::*;
pub use ::nn::quant::*;
pub use ::nn::random::{rand, randn};
pub use ::nn::sparse::{BlockSparseConv, SparseConv};
pub use ::nn::{Network, Part, Predictor, Visitor};
pub use ::notebook::plot::*;
pub use ::notebook::stop::stop_requested;
pub use ::runs::*;
pub use candle_nn::var_builder::SimpleBackend;
pub use candle_nn::{
    Activation, Conv2d, Conv2dConfig, Dropout, Embedding, Init, Linear, ModuleT, Sequential, VarBuilder,
    VarMap, conv2d, conv2d_no_bias, embedding, linear, linear_no_bias, loss, seq,
};
pub use rand::{Rng, SeedableRng};
pub use rand_chacha::ChaCha8Rng;
