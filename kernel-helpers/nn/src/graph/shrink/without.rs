//! A network without some of its channels.

use super::Units;
use crate::fp_layers::BatchNorm;
use crate::graph::model::Tensors;
use crate::graph::{Graph, Layer, Model};
use base::{Error, Result};
use candle_core::{Tensor, Var};
use std::borrow::Borrow;

impl Model {
    /// The network without these channels, each named by any of its filters: the name of a convolution or linear layer, and
    /// an output channel. Weights, batch norms with their statistics and learned steps keep what belongs to the other
    /// channels; they are copies.
    ///
    /// If the channels are zero wherever they are read, it computes the same in evaluation.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let net = lenet(10)?.build(0, &Device::Cpu)?;
    /// let groups = net.graph().channel_groups();
    /// let smaller = net.without(groups[1].channels[..4].iter().flatten())?; // of the second convolution
    /// assert_eq!(smaller.layer_weights("conv2")?.len(), 12 * 6 * 5 * 5);
    /// assert_eq!(smaller.layer_weights("linear1")?.len(), 120 * 12 * 5 * 5);
    /// let error = net.without(&[("linear3".to_owned(), 0)]).unwrap_err().to_string();
    /// assert!(error.contains("channels that can be removed"), "{error}");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is no such filter, its channel is one of the network's input or output or is seen by a layer of one's own,
    /// or no channel of a group would be left.
    pub fn without(&self, filters: impl IntoIterator<Item: Borrow<(String, usize)>>) -> Result<Self> {
        let units = Units::of(&self.graph);
        let mut kept = vec![true; units.count()];
        for filter in filters {
            let (name, channel) = filter.borrow();
            let mut layers = self.graph.layers.iter().zip(&units.of_layer);
            let layer = layers.find(|(layer, _)| layer.has_weight() && layer.name == *name);
            let unit = layer.and_then(|(_, units)| units.get(*channel).copied());
            match unit.filter(|unit| !units.fixed[*unit]) {
                Some(unit) => kept[unit] = false,
                None => {
                    let found = format!("channel {channel} of `{name}`");
                    return Err(Error::argument("filters", "channels that can be removed", found));
                }
            }
        }
        for group in self.graph.groups_of(&units) {
            if !group.units.iter().any(|unit| kept[*unit]) {
                let found = format!("all of {}", group.producers.join(", "));
                return Err(Error::argument("filters", "a channel of each group to stay", found));
            }
        }
        self.keeping(&units, &kept)
    }

    /// The network without the channels that do nothing in evaluation: of all its convolutions and linear layers, each that
    /// reads such a channel finds it zero or has no weight for it, as [`ChannelPruning`](crate::graph::ChannelPruning) leaves
    /// it. One channel of a group stays even so. It computes the same in evaluation, but for the rounding of sums in another
    /// order; it can be trained, quantized, saved and deployed as any other.
    ///
    /// A filter of zeros alone does not make a channel zero: what its batch norm adds may reach the layers after it, and with
    /// zeros around the images that is no constant that could be added elsewhere. Of layers that are quantized, filters and
    /// readers of such a channel have to be zero before they are quantized, as the levels depend on all weights.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let net = resnet_cifar(ResNetConfig::default())?.build(0, &Device::Cpu)?;
    /// ChannelPruning::new(ChannelShare::Multiplications(0.5)).prune(&net)?;
    /// let small = net.shrunk()?;
    /// assert!(small.graph().multiplications() * 2 <= net.graph().multiplications());
    /// assert!(small.packed_weights()?.len() < net.packed_weights()?.len());
    ///
    /// let images = Tensor::ones((2, 3, 32, 32), DType::F32, &Device::Cpu)?;
    /// let difference = (small.forward_t(&images, false)? - net.forward_t(&images, false)?)?.abs()?;
    /// assert!(difference.max_all()?.to_scalar::<f32>()? < 1e-4);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn shrunk(&self) -> Result<Self> {
        let mut units = Units::of(&self.graph);
        let mut net = self.keeping(&units, &vec![true; units.count()])?;
        loop {
            // Without a channel, those that it alone read do nothing any more.
            let kept: Vec<bool> = net.idle(&units)?.into_iter().map(|idle| !idle).collect();
            if kept.iter().all(|kept| *kept) {
                return Ok(net);
            }
            net = net.keeping(&units, &kept)?;
            units = Units::of(&net.graph);
        }
    }

    fn keeping(&self, units: &Units, kept: &[bool]) -> Result<Self> {
        let graph = self.graph.keeping(units, kept)?;
        let mut layers = Vec::new();
        for (at, (layer, tensors)) in self.graph.layers.iter().zip(&self.layers).enumerate() {
            let input = layer.inputs.first().map_or(Vec::new(), |&input| units.kept(input, kept));
            layers.push(tensors.keeping(layer, &units.kept(at, kept), &input)?);
        }
        Ok(Self::of_parts(graph, layers, &self.device, self.seed))
    }
}

impl Graph {
    /// The graph of the network with these units.
    pub(super) fn keeping(&self, units: &Units, kept: &[bool]) -> Result<Self> {
        self.resized(|at, _| Ok(units.kept(at, kept).len()))
    }
}

impl Tensors {
    /// A copy of what belongs to these channels of a layer's output and input.
    fn keeping(&self, layer: &Layer, outputs: &[usize], inputs: &[usize]) -> Result<Self> {
        let mut kept = Self { dropped: self.dropped.as_ref().map(copy).transpose()?, ..Self::default() };
        if let Some(norm) = &self.norm {
            let norm = kept_norm(norm, outputs)?;
            kept.parameters = vec![norm.weight.clone(), norm.bias.clone()];
            kept.norm = Some(norm);
        } else if layer.has_weight() {
            for parameter in &self.parameters {
                kept.parameters.push(picked(parameter, 0, outputs)?);
            }
            if layer.reads_all_inputs() {
                kept.parameters[0] = picked(&kept.parameters[0], 1, inputs)?;
            }
            kept.quantization =
                self.quantization.mapped(|quantizer, learned| match quantizer.is_per_channel() {
                    true => picked(learned, 0, outputs),
                    false => copy(learned),
                })?;
        } else {
            kept.parameters = self.parameters.iter().map(copy).collect::<Result<_>>()?;
        }
        Ok(kept)
    }
}

fn kept_norm(norm: &BatchNorm, channels: &[usize]) -> Result<BatchNorm> {
    Ok(BatchNorm {
        weight: picked(&norm.weight, 0, channels)?,
        bias: picked(&norm.bias, 0, channels)?,
        running_mean: picked(&norm.running_mean, 0, channels)?,
        running_var: picked(&norm.running_var, 0, channels)?,
        num_batches_tracked: copy(&norm.num_batches_tracked)?,
    })
}

fn copy(var: &Var) -> Result<Var> {
    Ok(Var::from_tensor(&var.as_detached_tensor().copy()?)?)
}

/// A copy of some of the places along a dimension.
fn picked(var: &Var, dimension: usize, places: &[usize]) -> Result<Var> {
    let places: Vec<u32> = places.iter().map(|place| *place as u32).collect();
    let places = Tensor::new(places, var.device())?;
    Ok(Var::from_tensor(&var.as_detached_tensor().index_select(&places, dimension)?)?)
}
