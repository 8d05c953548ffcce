//! All that the notebooks use, in one `use`.

pub use crate::checkpoint::{load_state_dict, save_state_dict};
pub use crate::data::*;
pub use crate::device::best_device;
pub use crate::display::{
    DisplayHandle, DisplayPlain as _, DisplayTypeName as _, MimeBundle, Show, clear_output, display,
};
pub use crate::fp_layers::{BatchNorm, FpConv, FpLinear};
pub use crate::graph::{CustomLayer, Graph, Model, Node};
pub use crate::lab1::*;
pub use crate::models::*;
pub use crate::ops;
pub use crate::optim::*;
pub use crate::paths::{checkpoints_dir, output_dir, pretrained_model};
pub use crate::plot::*;
pub use crate::prune::*;
pub use crate::quant::*;
pub use crate::random::{rand, randn};
pub use crate::results::Results;
pub use crate::scan::{Case, Mode, Scan};
pub use crate::source::show_source;
pub use crate::sparse::SparseConv;
pub use crate::stop::stop_requested;
pub use crate::table::{Table, percent, points};
pub use crate::train_util::*;
pub use crate::{Error, Network, Part, Result, Scale, Visitor, markdown, seed_from_env};
pub use candle_core;
pub use candle_core::{D, DType, Device, IndexOp, Module, Shape, Tensor, Var};
pub use candle_nn;
// The kernel writes the type of a variable out, and that of a `VarBuilder` contains this trait.
pub use candle_nn::var_builder::SimpleBackend;
pub use candle_nn::{
    Activation, Conv2d, Conv2dConfig, Dropout, Embedding, Init, Linear, ModuleT, Sequential, VarBuilder,
    VarMap, conv2d, conv2d_no_bias, embedding, linear, linear_no_bias, loss, seq,
};
pub use rand::{Rng, SeedableRng};
pub use rand_chacha::ChaCha8Rng;
