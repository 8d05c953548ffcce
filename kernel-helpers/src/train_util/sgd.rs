//! Stochastic gradient descent.

use crate::Network;
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use candle_nn::Optimizer;

/// The settings of [`Sgd`].
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
#[derive(Clone, Debug)]
pub struct Sgd {
    config: SgdConfig,
    parameters: Vec<Parameter>,
}

#[derive(Clone, Debug)]
struct Parameter {
    var: Var,
    velocity: Option<Tensor>,
}

impl Sgd {
    /// An optimizer of all parameters of a network.
    pub fn of<N: Network>(net: &N, config: SgdConfig) -> Self {
        let vars = net.named_parameters().into_iter().map(|(_, var)| var);
        Self { config, parameters: vars.map(|var| Parameter { var, velocity: None }).collect() }
    }

    /// The velocity `v` of each parameter, in their order; `None` before the first step.
    pub fn velocities(&self) -> Vec<Option<Tensor>> {
        self.parameters.iter().map(|parameter| parameter.velocity.clone()).collect()
    }

    /// Continues with these velocities, which [`Self::velocities`] gave.
    pub fn set_velocities(&mut self, velocities: Vec<Option<Tensor>>) {
        for (parameter, velocity) in self.parameters.iter_mut().zip(velocities) {
            parameter.velocity = velocity;
        }
    }
}

impl Optimizer for Sgd {
    type Config = SgdConfig;

    fn new(vars: Vec<Var>, config: SgdConfig) -> Result<Self> {
        let parameters = vars.into_iter().map(|var| Parameter { var, velocity: None }).collect();
        Ok(Self { config, parameters })
    }

    fn step(&mut self, grads: &GradStore) -> Result<()> {
        let SgdConfig { learning_rate, momentum, weight_decay } = self.config;
        for Parameter { var, velocity } in &mut self.parameters {
            let Some(grad) = grads.get(var) else { continue };
            let direction = (grad.detach() + (var.as_detached_tensor() * weight_decay)?)?;
            let next = match velocity {
                Some(velocity) => ((&*velocity * momentum)? + direction)?,
                None => direction,
            };
            var.set(&(var.as_detached_tensor() - (&next * learning_rate)?)?)?;
            *velocity = Some(next);
        }
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.config.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.config.learning_rate = learning_rate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn three_steps_are_pytorchs() {
        // torch.optim.SGD([w], lr=0.1, momentum=0.5, weight_decay=0.2) on the loss (w * [3, 1]).sum()
        let w = Var::new(&[1f64, -2.0], &Device::Cpu).unwrap();
        let x = Tensor::new(&[3f64, 1.0], &Device::Cpu).unwrap();
        let config = SgdConfig { learning_rate: 0.1, momentum: 0.5, weight_decay: 0.2 };
        let mut sgd = Sgd::new(vec![w.clone()], config).unwrap();
        for expected in [[0.68, -2.06], [0.2064, -2.1488], [-0.334528, -2.250224]] {
            sgd.backward_step(&(w.as_tensor() * &x).unwrap().sum_all().unwrap()).unwrap();
            let found = w.to_vec1::<f64>().unwrap();
            assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-12), "{found:?}");
        }
    }
}
