//! Pruning: by magnitude (Han et al., 2015), per layer and global, as the course has it, and as a [`Pruning`] of any
//! [`Criterion`], [`Granularity`], scope and [`SparsitySchedule`], built in or of one's own.

mod criterion;
mod granularity;
mod pruning;
mod schedule;

#[cfg(test)]
mod tests;

pub use criterion::{Criterion, LayerToPrune, Magnitude, QuantizedMagnitude, Random, Sensitivity};
pub use granularity::{Block, Element, Filter, Granularity, NOfM};
pub use pruning::Pruning;
pub use schedule::{AtOnce, CubicRamp, LinearRamp, SparsitySchedule};

use crate::Network;
use base::{Error, Result};
use candle_core::{Tensor, Var};
use display::table::{Table, percent};
use display::{MimeBundle, Show, shows_itself};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The q-th quantile (q from 0 to 1) with linear interpolation between the closest ranks, NumPy's
/// `percentile(values, 100 q)`.
///
/// ```
/// use kernel_helpers::prelude::*;
/// assert_eq!(percentile(&[4.0, 1.0, 3.0, 2.0], 0.5)?, 2.5);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If there are no values or q is not from 0 to 1.
pub fn percentile(values: &[f32], q: f64) -> Result<f64> {
    if values.is_empty() || !(0.0..=1.0).contains(&q) {
        let found = format!("q = {q} of {} values", values.len());
        return Err(Error::argument("percentile", "q from 0 to 1 of at least one value", found));
    }
    let rank = q * (values.len() - 1) as f64;
    let mut values = values.to_vec();
    let (_, &mut low, above) = values.select_nth_unstable_by(rank as usize, f32::total_cmp);
    let high = above.iter().copied().min_by(f32::total_cmp).unwrap_or(low);
    Ok(low as f64 + (high as f64 - low as f64) * rank.fract())
}

/// Sets the weights of smallest magnitude to zero: those with `|w|` below the q-th percentile of the layer. Returns the
/// layer's sparsity.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let weight = Var::new(&[0.1f32, -0.4, 0.3, -0.2], &Device::Cpu)?;
/// assert_eq!(prune_by_percentage(&weight, 0.5)?, 0.5);
/// assert_eq!(weight.to_vec1::<f32>()?, [0.0, -0.4, 0.3, 0.0]);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If q is not from 0 to 1.
pub fn prune_by_percentage(weight: &Var, q: f64) -> Result<f64> {
    let threshold = percentile(&magnitudes(weight)?, q)?;
    prune_below(weight, threshold)?;
    sparsity_of(weight)
}

/// [`prune_by_percentage`] on every prunable layer: all get the same sparsity.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// let sparsity = prune_layers(&net, 0.5)?;
/// assert!(sparsity.layers.iter().all(|layer| (layer.fraction() - 0.5).abs() < 0.01));
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If q is not from 0 to 1.
pub fn prune_layers<N: Network + ?Sized>(net: &N, q: f64) -> Result<Sparsity> {
    for (_, weight) in net.prunable_layers() {
        prune_by_percentage(&weight, q)?;
    }
    sparsity(net)
}

/// Prunes with one threshold, the q-th percentile of the magnitudes of all prunable layers together, so that every
/// layer finds its own sparsity.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// let sparsity = global_prune_by_percentage(&net, 0.5)?;
/// assert!((sparsity.total() - 0.5).abs() < 1e-3);
/// let [conv1, _, linear1, ..] = &*sparsity.layers else { panic!() };
/// assert!(conv1.fraction() < linear1.fraction()); // the weights of `conv1` are larger
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If q is not from 0 to 1.
pub fn global_prune_by_percentage<N: Network + ?Sized>(net: &N, q: f64) -> Result<Sparsity> {
    let layers = net.prunable_layers();
    let mut all = Vec::new();
    for (_, weight) in &layers {
        all.extend(magnitudes(weight)?);
    }
    let threshold = percentile(&all, q)?;
    for (_, weight) in &layers {
        prune_below(weight, threshold)?;
    }
    sparsity(net)
}

/// The sparsity to prune to before an epoch (counted from 1) of iterative pruning: it grows linearly and reaches
/// `target` at epoch `ramp_epochs`; `8 · epoch` percent for a target of 0.8 over ten epochs.
///
/// ```
/// use kernel_helpers::prelude::*;
/// assert_eq!([1, 5, 10, 12].map(|epoch| linear_schedule(epoch, 10, 0.8)), [0.08, 0.4, 0.8, 0.8]);
/// ```
pub fn linear_schedule(epoch: usize, ramp_epochs: usize, target: f64) -> f64 {
    target * epoch.min(ramp_epochs) as f64 / ramp_epochs.max(1) as f64
}

/// Which weights are ranked together when some have to go.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// assert!((PruneScope::Global.prune(&net, 0.8)?.total() - 0.8).abs() < 1e-3);
/// assert_eq!(PruneScope::Layer.to_string(), "per layer");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PruneScope {
    /// Those of each layer, as [`prune_layers`] does.
    Layer,
    /// Those of all layers, as [`global_prune_by_percentage`] does.
    Global,
}

impl PruneScope {
    /// Prunes every prunable layer, so that a share `q` of the weights becomes zero.
    ///
    /// # Errors
    /// If q is not from 0 to 1.
    pub fn prune<N: Network + ?Sized>(self, net: &N, q: f64) -> Result<Sparsity> {
        match self {
            PruneScope::Layer => prune_layers(net, q),
            PruneScope::Global => global_prune_by_percentage(net, q),
        }
    }
}

impl fmt::Display for PruneScope {
    /// `per layer` or `globally`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PruneScope::Layer => "per layer",
            PruneScope::Global => "globally",
        })
    }
}

/// How the course's iterative pruning goes on.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// let schedule = PruneSchedule { scope: PruneScope::Global, sparsity: 0.8, ramp: 10 };
/// assert!((schedule.prune(&net, 5)?.total() - 0.4).abs() < 1e-3);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PruneSchedule {
    /// Which weights are ranked together.
    pub scope: PruneScope,
    /// The share of zeros in the end, from 0 to 1.
    pub sparsity: f64,
    /// The epochs in which the sparsity grows; at least one more has to follow.
    pub ramp: usize,
}

impl PruneSchedule {
    /// Prunes to the sparsity of [`linear_schedule`] before an epoch, counted from 1.
    ///
    /// # Errors
    /// If the sparsity is not from 0 to 1.
    pub fn prune<N: Network + ?Sized>(&self, net: &N, epoch: usize) -> Result<Sparsity> {
        self.scope.prune(net, linear_schedule(epoch, self.ramp, self.sparsity))
    }
}

/// Which weights are kept: 1 where a weight is not zero, 0 where it has been pruned.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// let pruned = prune_layers(&net, 0.5)?;
/// let masks = Masks::of(&net)?;
/// for (_, weight) in net.prunable_layers() {
///     weight.set(&(weight.as_tensor() + 0.1)?)?; // a training step moves zeros too
/// }
/// masks.apply()?;
/// assert_eq!(sparsity(&net)?, pruned);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Masks(Vec<(Var, Tensor)>);

impl Masks {
    /// The masks of the weights that are not zero now.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn of<N: Network + ?Sized>(net: &N) -> Result<Self> {
        let mask = |(_, weight): (String, Var)| {
            let mask = weight.ne(0.0)?.to_dtype(weight.dtype())?;
            Ok((weight, mask))
        };
        Ok(Self(net.prunable_layers().into_iter().map(mask).collect::<Result<_>>()?))
    }

    /// Sets the pruned weights to zero again.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn apply(&self) -> Result<()> {
        for (weight, mask) in &self.0 {
            weight.set(&(weight.as_tensor() * mask)?)?;
        }
        Ok(())
    }
}

/// How many weights of each prunable layer are zero.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// let sparsity = prune_layers(&net, 0.8)?;
/// assert!((sparsity.total() - 0.8).abs() < 1e-3);
/// let shown = sparsity.table().forms();
/// assert!(shown.get("text/plain").is_some_and(|text| text.contains("all layers")));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sparsity {
    /// The layers in the network's order.
    pub layers: Vec<LayerSparsity>,
}

/// How many weights of a layer are zero.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let layer = LayerSparsity { name: "conv1".to_owned(), zeros: 30, weights: 120 };
/// assert_eq!(layer.fraction(), 0.25);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerSparsity {
    /// The layer's name.
    pub name: String,
    /// How many weights are zero.
    pub zeros: usize,
    /// How many weights there are.
    pub weights: usize,
}

impl LayerSparsity {
    /// The share of zeros, from 0 to 1; 0 of no weights.
    pub fn fraction(&self) -> f64 {
        self.zeros as f64 / self.weights.max(1) as f64
    }
}

impl Sparsity {
    /// The share of zeros in all layers together, from 0 to 1; 0 of no layers.
    pub fn total(&self) -> f64 {
        let zeros: usize = self.layers.iter().map(|layer| layer.zeros).sum();
        let weights: usize = self.layers.iter().map(|layer| layer.weights).sum();
        zeros as f64 / weights.max(1) as f64
    }

    /// A row for each layer, and one for all.
    pub fn table(&self) -> Table {
        let sum = |count: fn(&LayerSparsity) -> usize| self.layers.iter().map(count).sum::<usize>();
        let rows = self
            .layers
            .iter()
            .map(|layer| (&layer.name, layer.zeros, layer.weights, percent(layer.fraction())));
        Table::new(["layer", "zeros", "weights", "sparsity"]).rows(rows).row((
            "all layers",
            sum(|layer| layer.zeros),
            sum(|layer| layer.weights),
            percent(self.total()),
        ))
    }
}

impl Show for Sparsity {
    fn forms(&self) -> MimeBundle {
        self.table().forms()
    }
}

shows_itself!(Sparsity);

/// The sparsity of every prunable layer.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// prune_by_percentage(&net.prunable_layers()[0].1, 0.5)?;
/// let layers = sparsity(&net)?.layers;
/// assert_eq!((layers[0].zeros, layers[1].zeros), (75, 0));
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If a tensor operation fails.
pub fn sparsity<N: Network + ?Sized>(net: &N) -> Result<Sparsity> {
    let layer = |(name, weight): (String, Var)| {
        Ok(LayerSparsity { name, zeros: zeros(&weight)?, weights: weight.elem_count() })
    };
    Ok(Sparsity { layers: net.prunable_layers().into_iter().map(layer).collect::<Result<_>>()? })
}

fn magnitudes(weight: &Var) -> Result<Vec<f32>> {
    Ok(weight.abs()?.flatten_all()?.to_vec1()?)
}

/// Keeps the weights with `|w| >= threshold`.
fn prune_below(weight: &Var, threshold: f64) -> Result<()> {
    let kept = weight.abs()?.ge(threshold)?.to_dtype(weight.dtype())?;
    Ok(weight.set(&(weight.as_tensor() * kept)?)?)
}

fn zeros(weight: &Var) -> Result<usize> {
    Ok(weight.flatten_all()?.to_vec1::<f32>()?.iter().filter(|&&w| w == 0.0).count())
}

fn sparsity_of(weight: &Var) -> Result<f64> {
    Ok(zeros(weight)? as f64 / weight.elem_count() as f64)
}
