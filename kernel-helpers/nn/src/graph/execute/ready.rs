//! A network whose weights are prepared once for all evaluations.

use super::evaluate::Evaluator;
use super::join::Joined;
use super::{Network, contiguous};
use crate::ops::{Values, among_threads};
use base::Result;
use candle_core::Tensor;

/// A network ready to be evaluated.
pub(crate) struct Ready {
    network: Network,
    /// Layers that candle computes read their parameters from here.
    joined: Joined,
    evaluator: Evaluator,
}

impl Ready {
    /// Prepares a network with its parameters, in the order of the plan, and the running statistics of its batch norms.
    ///
    /// # Errors
    /// If a parameter is not f32 on the CPU.
    pub fn new(network: Network, parameters: &[Tensor], running: &[Option<[Tensor; 2]>]) -> Result<Self> {
        let copies = parameters.iter().map(|parameter| Ok(parameter.detach().copy()?));
        let (joined, _) = Joined::new(&contiguous(&copies.collect::<Result<Vec<_>>>()?)?)?;
        let evaluator = joined.read(&network.plan, |parameters| {
            let scalings = network.scalings(parameters, running)?;
            Ok(Evaluator::to_stay(&network.step(0, false, &[], parameters), scalings))
        })?;
        Ok(Self { network, joined, evaluator })
    }

    /// The output for images `[N, C, H, W]`, f32 on the CPU.
    ///
    /// # Errors
    /// If a layer that candle computes fails.
    pub fn evaluate(&self, images: &Tensor) -> Result<Tensor> {
        let (images, batch) = (images.contiguous()?, images.dim(0)?);
        let output = self.joined.read(&self.network.plan, |parameters| {
            let images = Values::of(&images)?;
            let step = self.network.step(batch, false, &images, parameters);
            among_threads(|| step.evaluate(&self.evaluator))
        })?;
        Ok(Tensor::from_vec(output, self.network.output_shape(batch), images.device())?)
    }
}
