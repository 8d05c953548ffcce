//! The choice of the channels that go.

use super::{ChannelGroup, Units};
use crate::graph::{Model, Operation};
use crate::prune::{PruneScope, Sparsity, sparsity};
use base::{Error, Result};
use candle_core::{Tensor, Var};

/// What makes a channel matter.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// let pruning = ChannelPruning::new(ChannelShare::Channels(0.5));
/// assert_eq!(pruning.criterion, ChannelCriterion::FilterNorm);
/// let pruning = ChannelPruning { criterion: ChannelCriterion::NormScale, ..pruning };
/// let error = pruning.prune(&net).unwrap_err().to_string();
/// assert_eq!(error, "conv1: expected a batch norm after it, found none");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelCriterion {
    /// The Euclidean norm of all weights that produce it (Li et al., 2017, with the absolute sum; Fang et al., 2023), over
    /// the mean of its group: otherwise groups of small weights would go first.
    FilterNorm,
    /// The mean magnitude of the scales of its batch norms (network slimming, Liu et al., 2017).
    NormScale,
}

/// How much is to go, from 0 to below 1.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let net = vgg(10)?.build(0, &Device::Cpu)?;
/// ChannelPruning::new(ChannelShare::Multiplications(0.75)).prune(&net)?;
/// assert!(net.shrunk()?.graph().multiplications() * 4 <= net.graph().multiplications());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ChannelShare {
    /// At most this share of the channels that can be removed.
    Channels(f64),
    /// As few channels as save this share of the network's multiplications.
    Multiplications(f64),
}

/// Pruning of whole channels: the least of them become zero wherever they are written and read, batch norms and biases
/// included, so that [`Model::shrunk`] can leave them out.
///
/// Layers that are [not pruned](crate::graph::Node::not_pruned) have no say in the order; those of their channels that are
/// added to others' go with them.
///
/// Zeros alone do not stay zero in training, as batch norms shift them: shrink the network first, and then fine-tune it.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let net = vgg(10)?.build(0, &Device::Cpu)?;
/// let pruning = ChannelPruning {
///     scope: PruneScope::Layer, // equally many of each group
///     multiple: 16,             // vectors are filled
///     ..ChannelPruning::new(ChannelShare::Channels(0.5))
/// };
/// assert!(pruning.prune(&net)?.total() > 0.5);
/// assert_eq!(net.shrunk()?.layer_weights("conv2")?.len(), 32 * 32 * 9);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelPruning {
    /// What makes a channel matter.
    pub criterion: ChannelCriterion,
    /// Whether the channels of each group are ranked, so that all groups lose the same share, or all together.
    pub scope: PruneScope,
    /// How much is to go.
    pub share: ChannelShare,
    /// Of each group, a multiple of this stays, if it has so many: that of the channels in a vector, 16, wastes no
    /// multiplication of the kernels on the CPU.
    pub multiple: usize,
}

impl ChannelPruning {
    /// By the norm of the filters, all channels ranked together, any number of which may stay in a group.
    pub fn new(share: ChannelShare) -> Self {
        Self { criterion: ChannelCriterion::FilterNorm, scope: PruneScope::Global, share, multiple: 1 }
    }

    /// Sets the channels of the lowest rank to zero, and returns the sparsity of the layers; those that are zero already go
    /// first.
    ///
    /// # Errors
    /// If the share is not from 0 to below 1 or is more than can be saved, `multiple` is 0, or a group has nothing that the
    /// criterion looks at.
    pub fn prune(&self, net: &Model) -> Result<Sparsity> {
        let (ChannelShare::Channels(share) | ChannelShare::Multiplications(share)) = self.share;
        if !(0.0..1.0).contains(&share) {
            return Err(Error::argument("share", "from 0 to below 1", share));
        }
        if self.multiple == 0 {
            return Err(Error::argument("multiple", "at least 1", 0));
        }
        let units = Units::of(&net.graph);
        let groups = self.ranked(net, &units)?;
        let order = self.order(&groups);
        let count = match self.share {
            ChannelShare::Channels(share) => {
                let all: usize = groups.iter().map(|group| group.len()).sum();
                order.len().min((share * all as f64 + 1e-9) as usize)
            }
            ChannelShare::Multiplications(share) => self.count_for(share, net, &units, &groups, &order)?,
        };
        net.zero(&units, &self.kept(&units, &groups, &order[..count]))?;
        sparsity(net)
    }

    /// The groups in which some layer is pruned, each with its units from the least on.
    fn ranked(&self, net: &Model, units: &Units) -> Result<Vec<Ranked>> {
        let scores = match self.criterion {
            ChannelCriterion::FilterNorm => filter_norms(net, units)?,
            ChannelCriterion::NormScale => norm_scales(net, units)?,
        };
        let is_pruned = |group: &ChannelGroup| {
            net.graph.layers.iter().any(|layer| layer.pruned && group.producers.contains(&layer.name))
        };
        let ranked = |group: ChannelGroup| {
            let mut ranks = Vec::new();
            for unit in group.units {
                let score = scores[unit].ok_or_else(|| {
                    Error::argument(group.producers.join(", "), "a batch norm after it", "none")
                })?;
                ranks.push((score, unit));
            }
            if self.criterion == ChannelCriterion::FilterNorm {
                let mean = ranks.iter().map(|(score, _)| score).sum::<f64>() / ranks.len() as f64;
                ranks.iter_mut().for_each(|(score, _)| *score /= mean.max(f64::MIN_POSITIVE));
            }
            ranks.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            Ok(ranks)
        };
        net.graph.groups_of(units).into_iter().filter(is_pruned).map(ranked).collect()
    }

    /// The units in the order in which they go, without the best of each group: its group and its place in it.
    fn order(&self, groups: &[Ranked]) -> Vec<(usize, usize)> {
        let mut order = Vec::new();
        for (at, group) in groups.iter().enumerate() {
            let last = group.len() - 1;
            for (rank, (score, _)) in group[..last].iter().enumerate() {
                let key = match self.scope {
                    PruneScope::Layer => (rank + 1) as f64 / group.len() as f64,
                    PruneScope::Global => *score,
                };
                order.push((key, (at, rank)));
            }
        }
        order.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        order.into_iter().map(|(_, unit)| unit).collect()
    }

    /// The units that are left when these go, and some of each group stay to make a multiple.
    fn kept(&self, units: &Units, groups: &[Ranked], gone: &[(usize, usize)]) -> Vec<bool> {
        let mut kept = vec![true; units.count()];
        for (at, group) in groups.iter().enumerate() {
            let left = group.len() - gone.iter().filter(|(group, _)| *group == at).count();
            let going = group.len().saturating_sub(left.next_multiple_of(self.multiple));
            group[..going].iter().for_each(|(_, unit)| kept[*unit] = false);
        }
        kept
    }

    /// How many in the order have to go to save this share of the multiplications.
    fn count_for(
        &self,
        share: f64,
        net: &Model,
        units: &Units,
        groups: &[Ranked],
        order: &[(usize, usize)],
    ) -> Result<usize> {
        let before = net.graph.multiplications();
        let saved = |count: usize| -> Result<f64> {
            let kept = self.kept(units, groups, &order[..count]);
            Ok(1.0 - net.graph.keeping(units, &kept)?.multiplications() as f64 / before.max(1) as f64)
        };
        let most = saved(order.len())?;
        if most < share {
            let expected = format!("at most {most:.3}, which leaves {} of each group", self.multiple);
            return Err(Error::argument("share of multiplications", expected, share));
        }
        // More that go save more.
        let (mut low, mut high) = (0, order.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match saved(middle)? < share {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low)
    }
}

/// A group's units with their scores, from the least on.
type Ranked = Vec<(f64, usize)>;

/// The norms of all weights that produce each unit, but for those of layers that are not pruned.
fn filter_norms(net: &Model, units: &Units) -> Result<Vec<Option<f64>>> {
    let mut squares = vec![0.0; units.count()];
    for ((layer, tensors), units) in net.graph.layers.iter().zip(&net.layers).zip(&units.of_layer) {
        let ranked = if layer.has_weight() && layer.pruned { tensors.parameters.first() } else { None };
        for (filter, unit) in ranked.map_or(Ok(Vec::new()), rows)?.iter().zip(units) {
            squares[*unit] += filter.iter().map(|weight| f64::from(*weight).powi(2)).sum::<f64>();
        }
    }
    Ok(squares.into_iter().map(|squares| Some(squares.sqrt())).collect())
}

/// The mean magnitude of the scales of each unit's batch norms; none without one.
fn norm_scales(net: &Model, units: &Units) -> Result<Vec<Option<f64>>> {
    let mut sums = vec![(0.0, 0); units.count()];
    for (units, tensors) in units.of_layer.iter().zip(&net.layers) {
        let Some(norm) = &tensors.norm else { continue };
        for (scale, unit) in norm.weight.to_vec1::<f32>()?.into_iter().zip(units) {
            let (sum, count) = &mut sums[*unit];
            (*sum, *count) = (*sum + f64::from(scale.abs()), *count + 1);
        }
    }
    Ok(sums.into_iter().map(|(sum, count)| (count > 0).then(|| sum / f64::from(count))).collect())
}

fn rows(weight: &Var) -> Result<Vec<Vec<f32>>> {
    Ok(weight.as_detached_tensor().flatten_from(1)?.to_vec2()?)
}

impl Model {
    /// Sets what belongs to other units to zero.
    fn zero(&self, units: &Units, kept: &[bool]) -> Result<()> {
        for (at, (layer, tensors)) in self.graph.layers.iter().zip(&self.layers).enumerate() {
            let mask = |layer: usize, after: usize| self.mask(&units.of_layer[layer], kept, after);
            if matches!(layer.operation, Operation::BatchNorm) || layer.has_weight() {
                for parameter in &tensors.parameters {
                    multiply(parameter, &mask(at, parameter.rank() - 1)?)?;
                }
            }
            if layer.reads_all_inputs() {
                let weight = &tensors.parameters[0];
                multiply(weight, &mask(layer.inputs[0], weight.rank() - 2)?)?;
            }
        }
        Ok(())
    }

    /// 1 for each channel that is kept, 0 for the others, with so many dimensions of 1 behind.
    fn mask(&self, units: &[usize], kept: &[bool], after: usize) -> Result<Tensor> {
        let mask: Vec<f32> = units.iter().map(|unit| if kept[*unit] { 1.0 } else { 0.0 }).collect();
        let shape: Vec<usize> = [mask.len()].into_iter().chain(vec![1; after]).collect();
        Ok(Tensor::from_vec(mask, shape, &self.device)?)
    }
}

fn multiply(var: &Var, mask: &Tensor) -> Result<()> {
    Ok(var.set(&var.as_detached_tensor().broadcast_mul(mask)?)?)
}
