//! Smaller networks: channels that are zero, removed for good.
//!
//! A channel is more than a filter: it goes through batch norms and functions, is added to others in a residual network,
//! and is read by the layers after it. [`Graph::channel_groups`](super::Graph::channel_groups) tells which channels of
//! which layers hang together; [`ChannelPruning`] sets the least of them to zero, wherever they are written and read; and
//! [`Model::shrunk`](super::Model::shrunk) returns the network without them, smaller and dense, which computes the same
//! in evaluation. What a checkpoint of it needs in another process is
//! [`Graph::fitted_to`](super::Graph::fitted_to).

mod fitted;
mod groups;
mod idle;
mod pruning;
mod resized;
mod units;
mod without;

#[cfg(test)]
mod tests;

pub use groups::ChannelGroup;
pub use pruning::{ChannelCriterion, ChannelPruning, ChannelShare};

use units::Units;
