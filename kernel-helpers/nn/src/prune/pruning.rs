//! A whole method of pruning.

use super::{
    Criterion, Element, Granularity, LayerToPrune, LinearRamp, Magnitude, PruneSchedule, PruneScope,
    Sparsity, SparsitySchedule, percentile, sparsity,
};
use crate::Network;
use base::Result;
use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use std::fmt;
use std::sync::Arc;

/// How to prune: by which criterion, which weights together, ranked against which, and how the sparsity grows.
/// `iterative_prune` takes it, as it does a [`PruneSchedule`].
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let two_of_four = Pruning::new(0.5, 10).granularity(NOfM { m: 4 }).schedule(CubicRamp);
/// assert_eq!(
///     two_of_four.to_string(),
///     "magnitude, equally many of 4 along the input channels, per layer, cubic"
/// );
/// ```
#[derive(Clone)]
pub struct Pruning {
    /// What makes a weight matter.
    pub criterion: Arc<dyn Criterion>,
    /// Which weights go together.
    pub granularity: Arc<dyn Granularity>,
    /// Which weights are ranked together.
    pub scope: PruneScope,
    /// How the sparsity grows.
    pub schedule: Arc<dyn SparsitySchedule>,
    /// The share of zeros in the end, from 0 to 1.
    pub sparsity: f64,
    /// The epochs in which the sparsity grows; at least one more has to follow.
    pub ramp: usize,
}

impl Pruning {
    /// The course's: single weights by their magnitude, per layer, with a sparsity that grows linearly.
    pub fn new(sparsity: f64, ramp: usize) -> Self {
        Self {
            criterion: Arc::new(Magnitude),
            granularity: Arc::new(Element),
            scope: PruneScope::Layer,
            schedule: Arc::new(LinearRamp),
            sparsity,
            ramp,
        }
    }

    /// With another criterion.
    pub fn criterion(self, criterion: impl Criterion + 'static) -> Self {
        Self { criterion: Arc::new(criterion), ..self }
    }

    /// With another granularity.
    pub fn granularity(self, granularity: impl Granularity + 'static) -> Self {
        Self { granularity: Arc::new(granularity), ..self }
    }

    /// With another scope.
    pub fn scope(self, scope: PruneScope) -> Self {
        Self { scope, ..self }
    }

    /// With another schedule.
    pub fn schedule(self, schedule: impl SparsitySchedule + 'static) -> Self {
        Self { schedule: Arc::new(schedule), ..self }
    }

    /// Prunes to the schedule's sparsity before an epoch, counted from 1. `gradients` are those of a batch, if the
    /// criterion [needs](Criterion::needs_gradients) them.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let net = lenet(10)?.build(0, &Device::Cpu)?;
    /// let digits = Tensor::ones((4, 1, 28, 28), DType::F32, &Device::Cpu)?;
    /// let labels = Tensor::zeros(4, DType::U32, &Device::Cpu)?;
    /// let gradients = ops::cross_entropy(&net.forward_t(&digits, true)?, &labels)?.backward()?;
    /// let pruning = Pruning::new(0.8, 10).criterion(Sensitivity).schedule(AtOnce);
    /// assert!((pruning.prune(&net, 1, Some(&gradients))?.total() - 0.8).abs() < 0.01);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If the sparsity is not from 0 to 1, gradients are missing, or the method does not fit a layer.
    pub fn prune<N: Network + ?Sized>(
        &self,
        net: &N,
        epoch: usize,
        gradients: Option<&GradStore>,
    ) -> Result<Sparsity> {
        self.prune_to(net, self.schedule.sparsity(epoch, self.ramp, self.sparsity), gradients)
    }

    /// Prunes every prunable layer so that a share `q` of the weights is zero. Weights of the same score stay or go
    /// together, and where only some of them would have to go, they stay.
    ///
    /// # Errors
    /// As [`Self::prune`].
    pub fn prune_to<N: Network + ?Sized>(
        &self,
        net: &N,
        q: f64,
        gradients: Option<&GradStore>,
    ) -> Result<Sparsity> {
        let mut layers = Vec::new();
        for (name, weight) in net.prunable_layers() {
            let gradient = gradients.and_then(|gradients| gradients.get(&weight));
            let scores = self.criterion.scores(&LayerToPrune { name: &name, weight: &weight, gradient })?;
            let (scores, values) = (flat(&scores)?, flat(&weight)?);
            layers.push(Layer { scores, values, weight });
        }
        match self.scope {
            PruneScope::Layer => {
                layers.iter_mut().try_for_each(|layer| self.rank(std::slice::from_mut(layer), q))?
            }
            PruneScope::Global => self.rank(&mut layers, q)?,
        }
        sparsity(net)
    }

    /// Prunes some layers with one threshold.
    fn rank(&self, layers: &mut [Layer], q: f64) -> Result<()> {
        // What is zero already comes first, whatever the scores are.
        let kept = layers.iter().flat_map(|layer| layer.scores.iter().zip(&layer.values));
        let kept = kept.filter(|(_, value)| **value != 0.0).map(|(score, _)| *score);
        let lowest = kept.reduce(f32::min).unwrap_or(0.0);
        for layer in layers.iter_mut() {
            for (score, value) in layer.scores.iter_mut().zip(&layer.values) {
                *score = if *value == 0.0 { lowest } else { *score };
            }
            layer.scores = self.granularity.scores(std::mem::take(&mut layer.scores), layer.weight.dims())?;
        }
        let all: Vec<f32> = layers.iter().flat_map(|layer| layer.scores.iter().copied()).collect();
        if all.is_empty() {
            return Ok(());
        }
        let threshold = percentile(&all, q)? as f32;
        layers.iter().try_for_each(|layer| layer.prune_below(threshold))
    }
}

/// A layer with the scores and the values of its weights.
struct Layer {
    weight: Var,
    scores: Vec<f32>,
    values: Vec<f32>,
}

impl Layer {
    fn prune_below(&self, threshold: f32) -> Result<()> {
        let pairs = self.values.iter().zip(&self.scores);
        let kept: Vec<f32> =
            pairs.map(|(value, score)| if *score >= threshold { *value } else { 0.0 }).collect();
        let kept = Tensor::from_vec(kept, self.weight.shape(), self.weight.device())?;
        Ok(self.weight.set(&kept.to_dtype(self.weight.dtype())?)?)
    }
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.detach().flatten_all()?.to_vec1()?)
}

impl From<PruneSchedule> for Pruning {
    fn from(schedule: PruneSchedule) -> Self {
        Self::new(schedule.sparsity, schedule.ramp).scope(schedule.scope)
    }
}

impl From<&PruneSchedule> for Pruning {
    fn from(schedule: &PruneSchedule) -> Self {
        Self::from(*schedule)
    }
}

impl From<&Pruning> for Pruning {
    fn from(pruning: &Pruning) -> Self {
        pruning.clone()
    }
}

impl fmt::Display for Pruning {
    /// Criterion, granularity, scope and schedule, such as `magnitude, single weights, per layer, linear`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (criterion, granularity) = (self.criterion.description(), self.granularity.description());
        write!(f, "{criterion}, {granularity}, {}, {}", self.scope, self.schedule.description())
    }
}

impl fmt::Debug for Pruning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pruning({self} to {} in {} epochs)", self.sparsity, self.ramp)
    }
}
