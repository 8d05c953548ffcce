//! Adam with decoupled weight decay.

use super::Optimizer;
use super::in_place::{CHUNK, change, is_in_place, read, readable};
use crate::Network;
use crate::checkpoint::StateDict;
use crate::ops::among_threads;
use base::Result;
use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use rayon::prelude::*;

/// The settings that [`AdamW`] has besides the learning rate and the weight decay.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let optimizer = AdamWConfig { betas: (0.9, 0.95), ..Default::default() }.into();
/// let config = TrainConfig { learning_rate: 1e-3, optimizer, ..Default::default() };
/// let chosen = format!("{:?}", config.optimizer);
/// assert_eq!(chosen, "OptimizerChoice(AdamW, betas 0.9 and 0.95, eps 1e-8)");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// How much of the mean of the gradients is kept in a step, and of the mean of their squares.
    pub betas: (f64, f64),
    /// Added to the root of the mean square.
    pub eps: f64,
}

impl Default for AdamWConfig {
    /// PyTorch's: betas 0.9 and 0.999, eps 1e-8.
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-8 }
    }
}

/// Adam with decoupled weight decay (Loshchilov and Hutter, 2019) as PyTorch's `torch.optim.AdamW` has it, without
/// AMSGrad: `w = w · (1 - learning_rate · weight_decay)`, `m = m + (1 - β₁) · (g - m)`, `v = β₂ · v + (1 - β₂) · g²`,
/// and in step t, `w = w - learning_rate / (1 - β₁ᵗ) · m / (sqrt(v) / sqrt(1 - β₂ᵗ) + eps)`.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let w = Var::new(&[1f32, -2.0], &Device::Cpu)?;
/// let parameters = vec![("w".to_owned(), w.clone())];
/// let mut adam = AdamW::new(parameters, AdamWConfig::default(), 0.5, 0.0);
/// adam.backward_step(&w.sqr()?.sum_all()?)?; // the first step is as long as the learning rate
/// assert!((w.to_vec1::<f32>()?[0] - 0.5).abs() < 1e-6);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    learning_rate: f64,
    weight_decay: f64,
    parameters: Vec<Parameter>,
}

#[derive(Debug)]
struct Parameter {
    name: String,
    var: Var,
    moments: Option<Moments>,
}

/// The means of the gradients and of their squares.
#[derive(Debug)]
struct Moments {
    steps: i64,
    first: Tensor,
    second: Tensor,
}

/// The numbers of one step.
#[derive(Clone, Copy)]
struct Step {
    /// The factor of the weight decay.
    keep: f64,
    betas: (f64, f64),
    eps: f64,
    /// The learning rate over the first moment's bias correction.
    size: f64,
    /// The root of the second moment's bias correction.
    correction: f64,
}

impl AdamW {
    /// An optimizer of all parameters of a network.
    pub fn of<N: Network + ?Sized>(
        net: &N,
        config: AdamWConfig,
        learning_rate: f64,
        weight_decay: f64,
    ) -> Self {
        Self::new(net.named_parameters(), config, learning_rate, weight_decay)
    }

    /// An optimizer of these parameters.
    pub fn new(
        parameters: Vec<(String, Var)>,
        config: AdamWConfig,
        learning_rate: f64,
        weight_decay: f64,
    ) -> Self {
        let parameter = |(name, var)| Parameter { name, var, moments: None };
        let parameters = parameters.into_iter().map(parameter).collect();
        Self { config, learning_rate, weight_decay, parameters }
    }
}

impl Parameter {
    /// The names of the state's tensors.
    fn state_names(&self) -> [String; 3] {
        ["first_moment", "second_moment", "steps"].map(|state| format!("{state}/{}", self.name))
    }
}

impl Moments {
    fn step_in_place(&mut self, var: &Var, gradient: &Tensor, step: Step) -> candle_core::Result<()> {
        let numbers = [step.keep, 1.0 - step.betas.0, step.betas.1, 1.0 - step.betas.1];
        let [keep, new_first, old_second, new_second] = numbers.map(|number| number as f32);
        let [eps, size, correction] = [step.eps, step.size, step.correction].map(|number| number as f32);
        let one = |(((w, m), v), g): (((&mut f32, &mut f32), &mut f32), &f32)| {
            *m += (g - *m) * new_first;
            *v = *v * old_second + g * g * new_second;
            *w = *w * keep - size * (*m / (v.sqrt() / correction + eps));
        };
        let gradient = readable(gradient, var)?;
        change(var, |w| {
            change(&self.first, |m| {
                change(&self.second, |v| {
                    read(&gradient, |g| {
                        let chunks = w.par_chunks_mut(CHUNK).zip(m.par_chunks_mut(CHUNK));
                        let chunks = chunks.zip(v.par_chunks_mut(CHUNK)).zip(g.par_chunks(CHUNK));
                        chunks.for_each(|(((w, m), v), g)| w.iter_mut().zip(m).zip(v).zip(g).for_each(one));
                        Ok(())
                    })
                })
            })
        })
    }

    /// On the GPU, and in other types.
    fn step_by_tensors(&mut self, var: &Var, gradient: &Tensor, step: Step) -> candle_core::Result<()> {
        let (beta1, beta2) = step.betas;
        let gradient = gradient.detach();
        self.first = (&self.first + ((&gradient - &self.first)? * (1.0 - beta1))?)?;
        self.second = ((&self.second * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
        let denominator = ((self.second.sqrt()? / step.correction)? + step.eps)?;
        let change = ((&self.first / denominator)? * step.size)?;
        var.set(&((var.as_detached_tensor() * step.keep)? - change)?)
    }
}

impl Optimizer for AdamW {
    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        let AdamWConfig { betas, eps } = self.config;
        among_threads(|| {
            for Parameter { var, moments, .. } in &mut self.parameters {
                let Some(gradient) = gradients.get(var) else { continue };
                let fresh = || -> candle_core::Result<_> {
                    Ok(Moments { steps: 0, first: var.zeros_like()?, second: var.zeros_like()? })
                };
                let mut state = moments.take().map_or_else(fresh, Ok)?;
                state.steps += 1;
                let correction = |beta: f64| 1.0 - beta.powf(state.steps as f64);
                let step = Step {
                    keep: 1.0 - self.learning_rate * self.weight_decay,
                    betas,
                    eps,
                    size: self.learning_rate / correction(betas.0),
                    correction: correction(betas.1).sqrt(),
                };
                match is_in_place(var) {
                    true => state.step_in_place(var, gradient, step)?,
                    false => state.step_by_tensors(var, gradient, step)?,
                }
                *moments = Some(state);
            }
            Ok(())
        })
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.learning_rate = learning_rate;
    }

    fn state(&self) -> Result<StateDict> {
        let mut state = StateDict::new();
        for parameter in &self.parameters {
            if let Some(Moments { steps, first, second }) = &parameter.moments {
                let tensors = [first.copy()?, second.copy()?, Tensor::new(*steps, &Device::Cpu)?];
                state.extend(parameter.state_names().into_iter().zip(tensors));
            }
        }
        Ok(state)
    }

    fn set_state(&mut self, state: &StateDict) -> Result<()> {
        for parameter in &mut self.parameters {
            let [first, second, steps] = parameter.state_names().map(|name| state.get(&name));
            let copy = |tensor: &Tensor| tensor.to_device(parameter.var.device())?.copy();
            parameter.moments = match (first, second, steps) {
                (Some(first), Some(second), Some(steps)) => {
                    Some(Moments { steps: steps.to_scalar()?, first: copy(first)?, second: copy(second)? })
                }
                _ => None,
            };
        }
        Ok(())
    }

    fn description(&self) -> String {
        let AdamWConfig { betas: (first, second), eps } = self.config;
        format!("AdamW, betas {first} and {second}, eps {eps:e}")
    }
}
