//! Which weights go together.

use base::{Error, Result};

/// Tells which weights go together, or which have to stay, by the scores of the weights.
///
/// ```
/// use kernel_helpers::prelude::*;
/// /// The K x K weights from one channel to another go together, by the largest score.
/// struct Kernel;
///
/// impl Granularity for Kernel {
///     fn scores(&self, scores: Vec<f32>, shape: &[usize]) -> Result<Vec<f32>> {
///         let size = shape[2..].iter().product();
///         let largest = |kernel: &[f32]| vec![kernel.iter().copied().fold(0.0, f32::max); size];
///         Ok(scores.chunks(size).flat_map(largest).collect())
///     }
///     fn description(&self) -> String {
///         "kernels".to_owned()
///     }
/// }
///
/// let scores = Kernel.scores(vec![0.1, 0.3, 0.2, 0.0], &[1, 2, 1, 2])?;
/// assert_eq!(scores, [0.3, 0.3, 0.2, 0.2]);
/// # Ok::<(), Error>(())
/// ```
pub trait Granularity: Send + Sync {
    /// The scores by which a layer's weights are ranked in the end, from those of the criterion. Both are in the order
    /// of the weight, `[out, in, …]`. Weights that go together get the same score, such as their mean.
    ///
    /// # Errors
    /// If the weight's shape or the settings do not allow it.
    fn scores(&self, scores: Vec<f32>, shape: &[usize]) -> Result<Vec<f32>>;

    /// The granularity and its settings in words. It is a part of a run's identity.
    fn description(&self) -> String;
}

/// Every weight for itself.
///
/// ```
/// use kernel_helpers::prelude::*;
/// assert_eq!(Element.scores(vec![0.1, 0.3], &[2, 1])?, [0.1, 0.3]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Element;

impl Granularity for Element {
    fn scores(&self, scores: Vec<f32>, _shape: &[usize]) -> Result<Vec<f32>> {
        Ok(scores)
    }

    fn description(&self) -> String {
        "single weights".to_owned()
    }
}

/// All weights of an output channel, by their mean score (Li et al., 2017): what is left is a smaller dense layer.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// Pruning::new(0.5, 1).granularity(Filter).prune(&net, 1, None)?;
/// let weights = net.layer_weights("conv2")?; // [16, 6, 5, 5]
/// let left = weights.chunks(6 * 5 * 5).filter(|filter| filter.iter().all(|w| *w != 0.0)).count();
/// assert_eq!(left, 8);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter;

impl Granularity for Filter {
    fn scores(&self, scores: Vec<f32>, shape: &[usize]) -> Result<Vec<f32>> {
        let size = shape[1..].iter().product::<usize>().max(1);
        Ok(means(&scores, |index| index / size))
    }

    fn description(&self) -> String {
        "filters".to_owned()
    }
}

/// The weights of a rectangle in the matrix `[out, in · K · K]`, by their mean score. At the edges the rectangles are
/// cut.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let block = Block { rows: 1, columns: 2 };
/// assert_eq!(block.scores(vec![1.0, 3.0, 5.0, 7.0], &[2, 2])?, [2.0, 2.0, 6.0, 6.0]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// How many output channels.
    pub rows: usize,
    /// How many weights of each.
    pub columns: usize,
}

impl Granularity for Block {
    fn scores(&self, scores: Vec<f32>, shape: &[usize]) -> Result<Vec<f32>> {
        if self.rows == 0 || self.columns == 0 {
            return Err(Error::argument("block", "at least one row and one column", self.description()));
        }
        let width = shape[1..].iter().product::<usize>().max(1);
        let across = width.div_ceil(self.columns);
        let block = |index| index / width / self.rows * across + index % width / self.columns;
        Ok(means(&scores, block))
    }

    fn description(&self) -> String {
        format!("blocks of {} x {}", self.rows, self.columns)
    }
}

/// N:M sparsity: of every m weights that follow each other along the input channels, equally many go, as hardware with
/// sparse matrix units wants it. With m = 4, a sparsity of 0.5 is 2:4. Where fewer than m channels are left over,
/// fewer go in proportion.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// Pruning::new(0.5, 1).granularity(NOfM { m: 4 }).prune(&net, 1, None)?;
/// let weights = net.layer_weights("linear1")?; // [120, 400]
/// assert!(weights.chunks(4).all(|group| group.iter().filter(|w| **w == 0.0).count() == 2));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NOfM {
    /// The weights in a group.
    pub m: usize,
}

impl Granularity for NOfM {
    /// A weight's place in its group, from 0 for the lowest, and between weights of the same place their scores.
    fn scores(&self, scores: Vec<f32>, shape: &[usize]) -> Result<Vec<f32>> {
        if self.m == 0 {
            return Err(Error::argument("m", "at least 1", 0));
        }
        let (inputs, kernel) = (shape[1], shape[2..].iter().product::<usize>());
        let low = scores.iter().copied().fold(f32::INFINITY, f32::min);
        let high = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let within = |score: f32| 0.5 * (score - low) / (high - low).max(f32::MIN_POSITIVE);
        let mut places = vec![0.0; scores.len()];
        for output in 0..shape[0] {
            for (start, tap) in
                (0..inputs).step_by(self.m).flat_map(|start| (0..kernel).map(move |tap| (start, tap)))
            {
                let channels = start..inputs.min(start + self.m);
                let mut group: Vec<usize> =
                    channels.map(|input| (output * inputs + input) * kernel + tap).collect();
                group.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
                for (place, index) in group.iter().enumerate() {
                    let place = (place + 1) as f32 * self.m as f32 / group.len() as f32 - 1.0;
                    places[*index] = place + within(scores[*index]);
                }
            }
        }
        Ok(places)
    }

    fn description(&self) -> String {
        format!("equally many of {} along the input channels", self.m)
    }
}

/// For each score the mean of all scores of the same unit.
fn means(scores: &[f32], unit: impl Fn(usize) -> usize) -> Vec<f32> {
    let units = (0..scores.len()).map(&unit).max().map_or(0, |last| last + 1);
    let mut sums = vec![(0f64, 0usize); units];
    for (index, score) in scores.iter().enumerate() {
        let (sum, count) = &mut sums[unit(index)];
        (*sum, *count) = (*sum + f64::from(*score), *count + 1);
    }
    let mean = |index| sums[unit(index)].0 / sums[unit(index)].1 as f64;
    (0..scores.len()).map(|index| mean(index) as f32).collect()
}
