//! The memory of training steps, kept from one to the next: touching fresh memory costs more than computing into it.

use super::plan::Plan;
use crate::kernels::AlignedVec;
use std::sync::{Arc, Mutex};

/// Memory that a network's training steps reuse. A clone shares it. It holds as many steps' activations as were alive at
/// the same time, usually one's.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    free: Arc<Mutex<Vec<Buffers>>>,
}

/// The activations of one step, without gaps, channels last; and room for its gradients.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// Each unit's convolution output, before the batch norm.
    pub z: Vec<AlignedVec>,
    /// Each block's input, and the features before pooling.
    pub x: Vec<AlignedVec>,
    /// The gradient at a block's sum, and another of the next shape.
    pub sum_gradient: AlignedVec,
    pub next_sum_gradient: AlignedVec,
    /// The gradient at the output of a block's first batch norm.
    pub inner_gradient: AlignedVec,
}

/// Buffers on loan, given back when dropped.
#[derive(Debug)]
pub(super) struct Loan {
    pub buffers: Buffers,
    workspace: Workspace,
}

impl Workspace {
    /// Buffers for a step over `batch` images.
    pub(super) fn borrow(&self, plan: &Plan, batch: usize) -> Loan {
        let free = self.free.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop();
        let mut buffers = free.unwrap_or_default();
        buffers.fit(plan, batch);
        Loan { buffers, workspace: self.clone() }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut free = self.workspace.free.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        free.push(std::mem::take(&mut self.buffers));
    }
}

impl Buffers {
    /// Brings every buffer to the size that `batch` images need; what they hold is of no matter.
    fn fit(&mut self, plan: &Plan, batch: usize) {
        self.z.resize_with(plan.units.len(), AlignedVec::default);
        for (z, unit) in self.z.iter_mut().zip(&plan.units) {
            z.resize(batch * unit.values());
        }
        self.x.resize_with(plan.blocks.len() + 1, AlignedVec::default);
        for (block, x) in self.x.iter_mut().enumerate() {
            x.resize(batch * plan.units[plan.source(block).0].values());
        }
        let largest = plan.units.iter().map(|unit| unit.values()).max().unwrap_or(0);
        for gradient in [&mut self.sum_gradient, &mut self.next_sum_gradient, &mut self.inner_gradient] {
            gradient.resize(batch * largest);
        }
    }
}
