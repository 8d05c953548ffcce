//! The channels of a network, as a user sees them.

use super::Units;
use crate::graph::{Graph, Operation};
use std::collections::BTreeMap;

/// Channels that the same layers produce together. Any of them can be removed, but one has to stay.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let groups: Vec<ChannelGroup> = resnet_cifar(ResNetConfig { num_layers: 8, ..Default::default() })?.channel_groups();
/// // What is added to each other goes together: the head's channels and those of the first block.
/// assert_eq!(groups[0].producers, ["head_conv.0.conv", "body_op.0.conv2.0.conv"]);
/// assert_eq!(groups[0].readers[..2], ["body_op.0.conv1.0.conv", "body_op.1.conv1.0.conv"]);
/// assert_eq!(groups[0].channels.len(), 16);
/// // Within a block, a layer has its channels for itself.
/// assert_eq!(groups[1].channels[3], [("body_op.0.conv1.0.conv".to_owned(), 3)]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelGroup {
    /// The convolutions and linear layers whose outputs the channels are.
    pub producers: Vec<String>,
    /// The convolutions and linear layers whose inputs they are.
    pub readers: Vec<String>,
    /// Each channel with all the filters that produce it: names of layers, and output channels in them.
    pub channels: Vec<Vec<(String, usize)>>,
    /// The channels' units.
    pub(super) units: Vec<usize>,
}

impl Graph {
    /// The channels that can be removed, grouped by the layers that produce them. Those of the network's input and output
    /// are in no group, and neither are those that a [`CustomLayer`](crate::graph::CustomLayer) sees, unless it is
    /// [channelwise](crate::graph::CustomLayer::is_channelwise).
    ///
    /// Channels hang together through batch norms, functions, pooling, dropout and flattening; channels that are added to
    /// each other are one, while those that are concatenated stay apart; and a group of a convolution with groups, such as a
    /// channel of a depthwise convolution, stays or goes as a whole.
    pub fn channel_groups(&self) -> Vec<ChannelGroup> {
        self.groups_of(&Units::of(self))
    }

    pub(super) fn groups_of(&self, units: &Units) -> Vec<ChannelGroup> {
        let mut groups: Vec<ChannelGroup> = Vec::new();
        let mut places: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
        for (unit, filters) in units.filters(self).into_iter().enumerate() {
            let mut producers: Vec<usize> = filters.iter().map(|(layer, _)| *layer).collect();
            producers.dedup();
            if units.fixed[unit] || producers.is_empty() {
                continue;
            }
            let name = |layer: usize| self.layers[layer].name.clone();
            let at = *places.entry(producers).or_insert_with_key(|producers| {
                let producers = producers.iter().map(|layer| name(*layer)).collect();
                groups.push(ChannelGroup {
                    producers,
                    readers: Vec::new(),
                    channels: Vec::new(),
                    units: Vec::new(),
                });
                groups.len() - 1
            });
            groups[at]
                .channels
                .push(filters.into_iter().map(|(layer, channel)| (name(layer), channel)).collect());
            groups[at].units.push(unit);
        }
        groups.iter_mut().for_each(|group| group.readers = self.readers(units, &group.units));
        groups
    }

    /// The layers that read any of these units.
    fn readers(&self, units: &Units, read: &[usize]) -> Vec<String> {
        let reads = |input: usize| units.of_layer[input].iter().any(|unit| read.contains(unit));
        let readers = self.layers.iter().filter(|layer| layer.reads_all_inputs() && reads(layer.inputs[0]));
        readers.map(|layer| layer.name.clone()).collect()
    }
}

impl super::super::Layer {
    /// Whether each output is a sum over all input channels.
    pub(super) fn reads_all_inputs(&self) -> bool {
        matches!(self.operation, Operation::Conv { groups: 1, .. } | Operation::Linear { .. })
    }
}
