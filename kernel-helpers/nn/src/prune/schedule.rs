//! How the sparsity grows.

use super::linear_schedule;

/// Tells how the sparsity of iterative pruning grows.
///
/// ```
/// use kernel_helpers::prelude::*;
/// /// Grows in every second epoch, so that the network recovers in the others.
/// struct EverySecond;
///
/// impl SparsitySchedule for EverySecond {
///     fn sparsity(&self, epoch: usize, ramp: usize, target: f64) -> f64 {
///         linear_schedule(epoch.div_ceil(2) * 2, ramp, target)
///     }
///     fn description(&self) -> String {
///         "linear, every second epoch".to_owned()
///     }
/// }
///
/// assert_eq!([1, 2, 3].map(|epoch| EverySecond.sparsity(epoch, 8, 0.8)), [0.2, 0.2, 0.4]);
/// ```
pub trait SparsitySchedule: Send + Sync {
    /// The sparsity to prune to before an epoch, counted from 1. It is `target` from epoch `ramp` on.
    fn sparsity(&self, epoch: usize, ramp: usize, target: f64) -> f64;

    /// The schedule and its settings in words. It is a part of a run's identity.
    fn description(&self) -> String;
}

/// By the same amount before every epoch of the ramp: [`linear_schedule`].
///
/// ```
/// use kernel_helpers::prelude::*;
/// assert_eq!([5, 10, 11].map(|epoch| LinearRamp.sparsity(epoch, 10, 0.8)), [0.4, 0.8, 0.8]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinearRamp;

impl SparsitySchedule for LinearRamp {
    fn sparsity(&self, epoch: usize, ramp: usize, target: f64) -> f64 {
        linear_schedule(epoch, ramp, target)
    }

    fn description(&self) -> String {
        "linear".to_owned()
    }
}

/// Fast at first, when there is much to spare, and ever slower: `target · (1 - (1 - epoch / ramp)³)` (Zhu and Gupta,
/// 2017).
///
/// ```
/// use kernel_helpers::prelude::*;
/// assert!((CubicRamp.sparsity(5, 10, 0.8) - 0.7).abs() < 1e-12);
/// assert_eq!([10, 11].map(|epoch| CubicRamp.sparsity(epoch, 10, 0.8)), [0.8, 0.8]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CubicRamp;

impl SparsitySchedule for CubicRamp {
    fn sparsity(&self, epoch: usize, ramp: usize, target: f64) -> f64 {
        let left = 1.0 - epoch.min(ramp) as f64 / ramp.max(1) as f64;
        target * (1.0 - left.powi(3))
    }

    fn description(&self) -> String {
        "cubic".to_owned()
    }
}

/// The whole sparsity before the first epoch. Until the ramp ends, weights may still change places.
///
/// ```
/// use kernel_helpers::prelude::*;
/// assert_eq!(AtOnce.sparsity(1, 10, 0.8), 0.8);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AtOnce;

impl SparsitySchedule for AtOnce {
    fn sparsity(&self, _epoch: usize, _ramp: usize, target: f64) -> f64 {
        target
    }

    fn description(&self) -> String {
        "at once".to_owned()
    }
}
