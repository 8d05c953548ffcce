//! Stochastic gradient descent.

use super::Optimizer;
use super::in_place::{CHUNK, change, is_in_place, read, readable};
use crate::Network;
use crate::checkpoint::StateDict;
use crate::ops::among_threads;
use base::Result;
use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use rayon::prelude::*;

/// The settings of [`Sgd`], which are those that every run keeps.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let config = SgdConfig { momentum: 0.9, ..Default::default() };
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// assert_eq!(Sgd::of(&net, config).learning_rate(), 0.002);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// The learning rate.
    pub learning_rate: f64,
    /// How much of the last step's direction is kept.
    pub momentum: f64,
    /// The factor of the L2 penalty; it reaches every parameter, batch norm's included.
    pub weight_decay: f64,
}

impl Default for SgdConfig {
    /// The course's fine-tuning: learning rate 0.002, momentum 0.875, weight decay 1e-4.
    fn default() -> Self {
        Self { learning_rate: 0.002, momentum: 0.875, weight_decay: 1e-4 }
    }
}

/// SGD with momentum and weight decay as PyTorch's `torch.optim.SGD` has it, without Nesterov:
/// `g = grad + weight_decay · w`, `v = momentum · v + g` (`v = g` on the first step), `w = w - learning_rate · v`.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let w = Var::new(&[1f32, 2.0], &Device::Cpu)?;
/// let config = SgdConfig { learning_rate: 0.25, momentum: 0.0, weight_decay: 0.0 };
/// let mut sgd = Sgd::new(vec![("w".to_owned(), w.clone())], config);
/// sgd.backward_step(&w.sqr()?.sum_all()?)?; // w - 0.25 · 2w
/// assert_eq!(w.to_vec1::<f32>()?, [0.5, 1.0]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Sgd {
    config: SgdConfig,
    parameters: Vec<Parameter>,
}

#[derive(Debug)]
struct Parameter {
    name: String,
    var: Var,
    velocity: Option<Tensor>,
}

impl Sgd {
    /// An optimizer of all parameters of a network.
    pub fn of<N: Network + ?Sized>(net: &N, config: SgdConfig) -> Self {
        Self::new(net.named_parameters(), config)
    }

    /// An optimizer of these parameters.
    pub fn new(parameters: Vec<(String, Var)>, config: SgdConfig) -> Self {
        let parameter = |(name, var)| Parameter { name, var, velocity: None };
        Self { config, parameters: parameters.into_iter().map(parameter).collect() }
    }
}

impl Parameter {
    fn state_name(&self) -> String {
        format!("velocity/{}", self.name)
    }

    fn step(&mut self, gradient: &Tensor, config: SgdConfig) -> candle_core::Result<()> {
        match is_in_place(&self.var) {
            true => self.step_in_place(gradient, config),
            false => self.step_by_tensors(gradient, config),
        }
    }

    /// One pass over the values. Each of them takes the operations of [`Self::step_by_tensors`] in their order, among
    /// which a multiplication by a number adds zero.
    fn step_in_place(&mut self, gradient: &Tensor, config: SgdConfig) -> candle_core::Result<()> {
        let rates = [config.learning_rate, config.momentum, config.weight_decay];
        let [learning_rate, momentum, weight_decay] = rates.map(|rate| rate as f32);
        let is_first = self.velocity.is_none();
        if is_first {
            self.velocity = Some(self.var.zeros_like()?);
        }
        let step = move |w: &mut f32, v: &mut f32, g: f32, kept: f32| {
            *v = kept + (g + (*w * weight_decay + 0.0));
            *w -= *v * learning_rate + 0.0;
        };
        let pass = move |weights: &mut [f32], velocities: &mut [f32], gradients: &[f32]| {
            let values = weights.iter_mut().zip(velocities).zip(gradients);
            match is_first {
                // Nothing is kept, not even the sign of a zero.
                true => values.for_each(|((w, v), g)| step(w, v, *g, -0.0)),
                false => values.for_each(|((w, v), g)| step(w, v, *g, *v * momentum + 0.0)),
            }
        };
        let velocity = self.velocity.as_ref().expect("it has been made");
        let gradient = readable(gradient, &self.var)?;
        change(&self.var, |weights| {
            change(velocity, |velocities| {
                read(&gradient, |gradients| {
                    let chunks = weights.par_chunks_mut(CHUNK).zip(velocities.par_chunks_mut(CHUNK));
                    let chunks = chunks.zip(gradients.par_chunks(CHUNK));
                    chunks
                        .for_each(|((weights, velocities), gradients)| pass(weights, velocities, gradients));
                    Ok(())
                })
            })
        })
    }

    /// On the GPU, and in other types.
    fn step_by_tensors(&mut self, gradient: &Tensor, config: SgdConfig) -> candle_core::Result<()> {
        let SgdConfig { learning_rate, momentum, weight_decay } = config;
        let direction = (gradient.detach() + (self.var.as_detached_tensor() * weight_decay)?)?;
        let next = match &self.velocity {
            Some(velocity) => ((velocity * momentum)? + direction)?,
            None => direction,
        };
        self.var.set(&(self.var.as_detached_tensor() - (&next * learning_rate)?)?)?;
        self.velocity = Some(next);
        Ok(())
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        among_threads(|| {
            for parameter in &mut self.parameters {
                if let Some(gradient) = gradients.get(&parameter.var) {
                    parameter.step(gradient, self.config)?;
                }
            }
            Ok(())
        })
    }

    fn learning_rate(&self) -> f64 {
        self.config.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.config.learning_rate = learning_rate;
    }

    fn state(&self) -> Result<StateDict> {
        let velocities = self.parameters.iter().filter_map(|parameter| {
            let velocity = parameter.velocity.as_ref()?;
            Some(velocity.copy().map(|velocity| (parameter.state_name(), velocity)))
        });
        Ok(velocities.collect::<candle_core::Result<_>>()?)
    }

    fn set_state(&mut self, state: &StateDict) -> Result<()> {
        for parameter in &mut self.parameters {
            let velocity = state.get(&parameter.state_name());
            let copy = |velocity: &Tensor| velocity.to_device(parameter.var.device())?.copy();
            parameter.velocity = velocity.map(copy).transpose()?;
        }
        Ok(())
    }

    fn description(&self) -> String {
        "SGD".to_owned()
    }
}
