//! The memory of training steps, kept from one to the next: touching fresh memory costs more than computing into it.

use crate::graph::plan::Plan;
use cpu_kernels::{AlignedVec, Arena};
use std::sync::{Arc, Mutex};

/// Memory that a network's training steps reuse. A clone shares it. It holds as many steps' activations as were alive at
/// the same time, usually one's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workspace {
    free: Arc<Mutex<Vec<Buffers>>>,
}

/// What stages and kept activations have written, images without gaps, channels last. What is not written yet, or not needed any
/// more, is empty.
#[derive(Debug, Default)]
pub struct Values {
    pub stages: Vec<AlignedVec>,
    /// Empty for activations that are not kept, too.
    pub kept: Vec<AlignedVec>,
}

/// The values of one step, and the memory of those and of its gradients.
#[derive(Debug)]
pub struct Buffers {
    pub values: Values,
    pub arena: Arena,
}

/// Buffers on loan, given back when dropped.
#[derive(Debug)]
pub struct Loan {
    pub buffers: Buffers,
    workspace: Workspace,
}

impl Workspace {
    /// Buffers for a step.
    pub fn borrow(&self) -> Loan {
        let free = self.free.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop();
        Loan { buffers: free.unwrap_or_default(), workspace: self.clone() }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut free = self.workspace.free.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        self.buffers.values = Values::default();
        free.push(std::mem::take(&mut self.buffers));
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Buffers { values: Values::default(), arena: Arena::new(0) }
    }
}

impl Buffers {
    /// Makes room for the values of a step over `batch` images.
    pub fn begin(&mut self, plan: &Plan, batch: usize) {
        self.values = Values::none(plan);
        let length = batch * values_of_step(plan);
        if self.arena.capacity() < length {
            // Before the new one is there, the old one has to go.
            self.arena = Arena::new(0);
            self.arena = Arena::new(length);
        }
    }

    /// Whether a backward pass has given up the values.
    pub fn are_spent(&self) -> bool {
        self.values.stages.is_empty()
    }
}

/// How many values an image takes in a training step, at most but for unusual graphs: all that is written on the way forward, and a
/// few gradients before any of that is given up.
fn values_of_step(plan: &Plan) -> usize {
    const GRADIENTS: usize = 4;
    let outputs = plan.stages.iter().map(|stage| stage.output);
    let kept = plan.activations.iter().filter(|activation| activation.kept);
    let written = outputs.chain(kept.map(|activation| activation.extent));
    let largest = plan.activations.iter().map(|activation| activation.extent.values()).max();
    written.map(|extent| extent.values()).sum::<usize>() + GRADIENTS * largest.unwrap_or(0)
}

impl Values {
    /// Nothing written yet.
    fn none(plan: &Plan) -> Self {
        let empty = |count| std::iter::repeat_with(AlignedVec::default).take(count).collect();
        Values { stages: empty(plan.stages.len()), kept: empty(plan.activations.len()) }
    }

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
