//! The channels of a network, as a user sees them.

use super::Units;
use crate::graph::Graph;

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
        let filters = units.filters(self);
        let mut groups: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
        for unit in (0..units.count()).filter(|unit| !units.fixed[*unit]) {
            let mut producers: Vec<usize> = filters[unit].iter().map(|(layer, _)| *layer).collect();
            producers.dedup();
            match groups.iter_mut().find(|(found, _)| *found == producers) {
                Some((_, units)) => units.push(unit),
                None => groups.push((producers, vec![unit])),
            }
        }
        let name = |layer: &usize| self.layers[*layer].name.clone();
        let channel = |unit: &usize| filters[*unit].iter().map(|(layer, at)| (name(layer), *at)).collect();
        let group = |(producers, of_group): (Vec<usize>, Vec<usize>)| ChannelGroup {
            producers: producers.iter().map(name).collect(),
            readers: self.readers(units, &of_group),
            channels: of_group.iter().map(channel).collect(),
            units: of_group,
        };
        groups.into_iter().map(group).collect()
    }

    /// The layers that read any of these units.
    fn readers(&self, units: &Units, read: &[usize]) -> Vec<String> {
        let reads = |input: usize| units.of_layer[input].iter().any(|unit| read.contains(unit));
        let readers = self.layers.iter().filter(|layer| layer.reads_all_inputs() && reads(layer.inputs[0]));
        readers.map(|layer| layer.name.clone()).collect()
    }
}
