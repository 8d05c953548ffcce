//! The memory of training steps, kept from one to the next: touching fresh memory costs more than computing into it.

use crate::graph::plan::Plan;
use cpu_kernels::AlignedVec;
use std::sync::{Arc, Mutex};

/// Memory that a network's training steps reuse. A clone shares it. It holds as many steps' activations as were alive at
/// the same time, usually one's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workspace {
    free: Arc<Mutex<Vec<Buffers>>>,
}

/// What stages and kept activations have written, images without gaps, channels last.
#[derive(Debug, Default)]
pub struct Values {
    pub stages: Vec<AlignedVec>,
    /// Empty for activations that are not kept.
    pub kept: Vec<AlignedVec>,
}

/// The values of one step, and room for its gradients.
#[derive(Debug, Default)]
pub struct Buffers {
    pub values: Values,
    pub free: Free,
}

/// Buffers that are not in use.
#[derive(Debug, Default)]
pub struct Free(Vec<AlignedVec>);

/// Buffers on loan, given back when dropped.
#[derive(Debug)]
pub struct Loan {
    pub buffers: Buffers,
    workspace: Workspace,
}

impl Workspace {
    /// Buffers for a step over `batch` images.
    pub fn borrow(&self, plan: &Plan, batch: usize) -> Loan {
        let free = self.free.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop();
        let mut buffers = free.unwrap_or_default();
        buffers.values.fit(plan, batch);
        Loan { buffers, workspace: self.clone() }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut free = self.workspace.free.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        free.push(std::mem::take(&mut self.buffers));
    }
}

impl Values {
    /// Brings every buffer to the size that `batch` images need; what they hold is of no matter.
    pub fn fit(&mut self, plan: &Plan, batch: usize) {
        self.stages.resize_with(plan.stages.len(), AlignedVec::default);
        for (values, stage) in self.stages.iter_mut().zip(&plan.stages) {
            values.resize(batch * stage.output.values());
        }
        self.kept.resize_with(plan.activations.len(), AlignedVec::default);
        for (values, activation) in self.kept.iter_mut().zip(&plan.activations) {
            values.resize(if activation.kept { batch * activation.extent.values() } else { 0 });
        }
    }
}

impl Free {
    /// A buffer of this length, the smallest that has it; what it holds is of no matter.
    pub fn take(&mut self, length: usize) -> AlignedVec {
        let enough = |buffer: &&AlignedVec| buffer.capacity() >= length;
        let smallest = self.0.iter().filter(enough).map(AlignedVec::capacity).min();
        let found = self.0.iter().position(|buffer| Some(buffer.capacity()) == smallest);
        let mut buffer = found.map(|at| self.0.swap_remove(at)).unwrap_or_default();
        buffer.resize(length);
        buffer
    }

    pub fn give_back(&mut self, buffer: AlignedVec) {
        self.0.push(buffer);
    }
}
