//! How the network's one operation is joined to any number of parameters in candle's graph, whose operations have three
//! arguments at most.
//!
//! One tensor of all parameters would cost candle a copy of them on the way forth, and three on the way back, with zeros to add
//! each to. So no values pass through the graph: a chain of scalars leads from parameter to parameter, and the operation reads
//! and writes those where they are.

use super::parts::Parts;
use crate::graph::plan::Plan;
use crate::ops::{Values, hand_over};
use base::Result;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};
use std::sync::{Arc, Mutex, PoisonError};

/// The parameters of an operation, and room for their gradients until candle asks for them.
#[derive(Clone, Debug)]
pub struct Joined {
    pub parameters: Vec<Tensor>,
    gradients: Arc<Gradients>,
}

/// One for each parameter.
type Gradients = Mutex<Vec<Option<Tensor>>>;

impl Joined {
    /// Joins parameters. The operation is to have the scalar as an argument, and to give it any gradient.
    ///
    /// # Errors
    /// If a tensor cannot be made.
    pub fn new(parameters: &[Tensor]) -> Result<(Self, Tensor)> {
        let gradients = Arc::new(Mutex::new(vec![None; parameters.len()]));
        let mut chain = Tensor::zeros((), candle_core::DType::F32, &candle_core::Device::Cpu)?;
        for (at, parameter) in parameters.iter().enumerate().filter(|(_, parameter)| parameter.track_op()) {
            chain = chain.apply_op2(parameter, Link { gradients: gradients.clone(), at })?;
        }
        Ok((Self { parameters: parameters.to_vec(), gradients }, chain))
    }

    /// Reads the parameters.
    ///
    /// # Errors
    /// If one is not f32 on the CPU, or `work` fails.
    pub fn read<R>(&self, plan: &Plan, work: impl FnOnce(&Parts<&[f32]>) -> Result<R>) -> Result<R> {
        let values = self.parameters.iter().map(Values::of).collect::<candle_core::Result<Vec<_>>>()?;
        work(&Parts::new(plan, values.iter().map(|values| &**values)))
    }

    /// The gradient that the operation gives the scalar.
    ///
    /// # Errors
    /// If a tensor cannot be made.
    pub fn by_chain(&self, chain: &Tensor) -> candle_core::Result<Option<Tensor>> {
        chain.track_op().then(|| chain.zeros_like()).transpose()
    }

    /// Gives all parameters their gradients.
    pub fn give(&self, gradients: Vec<Tensor>) {
        let tracked = self.parameters.iter().zip(gradients);
        let left = tracked.map(|(parameter, gradient)| match parameter.track_op() {
            true => hand_over(parameter, gradient),
            false => None,
        });
        *self.gradients.lock().unwrap_or_else(PoisonError::into_inner) = left.collect();
    }
}

/// A link of the chain.
struct Link {
    gradients: Arc<Gradients>,
    at: usize,
}

impl CustomOp2 for Link {
    fn name(&self) -> &'static str {
        "parameter of a network"
    }

    fn cpu_fwd(
        &self,
        _chain: &CpuStorage,
        _: &Layout,
        _parameter: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(())))
    }

    fn bwd(
        &self,
        chain: &Tensor,
        _parameter: &Tensor,
        _output: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let by_parameter = self.gradients.lock().unwrap_or_else(PoisonError::into_inner)[self.at].take();
        Ok((chain.track_op().then(|| gradient.clone()), by_parameter))
    }
}
