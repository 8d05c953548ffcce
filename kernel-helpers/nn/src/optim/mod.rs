//! Optimizers and learning-rate schedules, built in and of one's own.
//!
//! A run takes them from its `TrainConfig`:
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
pub use schedule::{Constant, Cosine, RateSchedule, StepDecay, StepEvery};
pub use sgd::{Sgd, SgdConfig};

use crate::checkpoint::StateDict;
use base::Result;
use candle_core::Tensor;
use candle_core::backprop::GradStore;

/// Changes parameters step by step, by the gradients of a loss.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use candle_core::backprop::GradStore;
///
/// /// A step of one size in the direction of each sign.
/// struct SignDescent {
///     parameters: Vec<(String, Var)>,
///     learning_rate: f64,
/// }
///
/// impl Optimizer for SignDescent {
///     fn step(&mut self, gradients: &GradStore) -> Result<()> {
///         for (_, parameter) in &self.parameters {
///             if let Some(gradient) = gradients.get(parameter) {
///                 let change = (gradient.sign()? * self.learning_rate)?;
///                 parameter.set(&(parameter.as_tensor() - change)?)?;
///             }
///         }
///         Ok(())
///     }
///     fn learning_rate(&self) -> f64 {
///         self.learning_rate
///     }
///     fn set_learning_rate(&mut self, learning_rate: f64) {
///         self.learning_rate = learning_rate;
///     }
///     fn description(&self) -> String {
///         "sign descent".to_owned()
///     }
/// }
///
/// let w = Var::new(&[1f32, -2.0], &Device::Cpu)?;
/// let parameters = vec![("w".to_owned(), w.clone())];
/// SignDescent { parameters, learning_rate: 0.5 }.backward_step(&w.sqr()?.sum_all()?)?;
/// assert_eq!(w.to_vec1::<f32>()?, [0.5, -1.5]);
/// # Ok::<(), Error>(())
/// ```
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

    /// Copies of all tensors on which the following steps depend besides the parameters, such as velocities, under
    /// names of their own: an interrupted run continues with them. None for an optimizer that remembers nothing.
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

    /// The optimizer and those of its settings that a run does not keep by themselves, in words. It is a part of a
    /// run's identity.
    fn description(&self) -> String;

    /// [`Self::step`] with the gradients of a loss.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn backward_step(&mut self, loss: &Tensor) -> Result<()> {
        self.step(&crate::ops::backward(loss)?)
    }
}
