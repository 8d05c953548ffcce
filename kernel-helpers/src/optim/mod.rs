//! Optimizers and learning-rate schedules, built in and of one's own.
//!
//! A run takes them from its [`TrainConfig`](crate::train_util::TrainConfig):
//!
//! ```
//! use kernel_helpers::prelude::*;
//!
//! let config = TrainConfig {
//!     learning_rate: 1e-3,
//!     optimizer: AdamWConfig::default().into(),
//!     schedule: Cosine.into(),
//!     ..Default::default()
//! };
//! ```

mod adam_w;
mod choice;
mod in_place;
mod schedule;
mod sgd;

#[cfg(test)]
mod tests;

pub use adam_w::{AdamW, AdamWConfig};
pub use choice::{OptimizerChoice, ScheduleChoice};
pub use schedule::{Constant, Cosine, RateSchedule, StepDecay, StepEvery, step_decay};
pub use sgd::{Sgd, SgdConfig};

use crate::Result;
use crate::checkpoint::StateDict;
use candle_core::Tensor;
use candle_core::backprop::GradStore;

/// Changes parameters step by step, by the gradients of a loss.
pub trait Optimizer: Send {
    /// A step with these gradients. A parameter without a gradient stays as it is.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn step(&mut self, gradients: &GradStore) -> Result<()>;

    /// The learning rate.
    fn learning_rate(&self) -> f64;

    /// Changes the learning rate of the following steps.
    fn set_learning_rate(&mut self, learning_rate: f64);

    /// Copies of all tensors on which the following steps depend besides the parameters, such as velocities, under names of
    /// their own: an interrupted run continues with them. None for an optimizer that remembers nothing.
    ///
    /// # Errors
    /// If a tensor cannot be copied.
    fn state(&self) -> Result<StateDict> {
        Ok(StateDict::new())
    }

    /// Continues with what [`Self::state`] gave.
    ///
    /// # Errors
    /// If a tensor cannot be copied.
    fn set_state(&mut self, _state: &StateDict) -> Result<()> {
        Ok(())
    }

    /// The optimizer and those of its settings that a run does not keep by themselves, in words. It is a part of a run's
    /// identity.
    fn description(&self) -> String;

    /// [`Self::step`] with the gradients of a loss.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn backward_step(&mut self, loss: &Tensor) -> Result<()> {
        self.step(&crate::ops::backward(loss)?)
    }
}
