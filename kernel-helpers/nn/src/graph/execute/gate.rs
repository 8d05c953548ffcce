//! Gradients that arrive at an activation: they are added up, and the last one passes the function on to the sum before it.

use super::batch::Groups;
use super::load::{Reader, between_borders};
use super::norm::GradientSums;
use crate::graph::plan::Plan;
use cpu_kernels::AlignedVec;
use cpu_kernels::channels::{Addend, Function, Gate, GatedNorm};
use cpu_kernels::conv::{BorderedImages, Pixels};
use rayon::prelude::*;

/// How a gradient arrives at an activation.
#[derive(Clone, Copy)]
pub struct Arrival {
    pub activation: usize,
    /// Whether others have arrived.
    pub adds: bool,
    /// Whether no other is to come.
    pub last: bool,
}

impl Arrival {
    /// Whether the gradient can be written to its place as it is.
    pub fn is_plain(&self, plan: &Plan) -> bool {
        !(self.adds || self.last && self.is_gated(plan))
    }

    /// Whether the way to the sum does more than pass the gradient on.
    pub fn is_gated(&self, plan: &Plan) -> bool {
        let activation = &plan.activations[self.activation];
        activation.function != Function::Identity || activation.terms.iter().any(|term| term.affine.is_some())
    }

    /// Whether the activation's values are needed.
    pub fn needs_values(&self, plan: &Plan) -> bool {
        self.last && plan.activations[self.activation].function != Function::Identity
    }
}

impl Reader<'_> {
    /// Lets the gradient `dx` of image `at` arrive in `dy`. `values` are the activation's, if they are needed.
    pub fn arrive(
        &self,
        arrival: Arrival,
        at: usize,
        dx: &[f32],
        values: (&[f32], Pixels),
        dy: &mut [f32],
        sums: &mut GradientSums,
    ) {
        let activation = &self.plan.activations[arrival.activation];
        let [first, second] = &mut sums.products;
        let mut norms = [None, None];
        for ((norm, products), term) in norms.iter_mut().zip([first, second]).zip(&activation.terms) {
            let scaling = self.scaling(term).filter(|scaling| arrival.last && !scaling.mean.is_empty());
            *norm = scaling.map(|scaling| GatedNorm {
                z: self.values_of(term.origin, at),
                mean: &scaling.mean,
                products,
            });
        }
        self.isa.run(Gate {
            gradient: dx,
            addend: if arrival.adds { Addend::Output } else { Addend::None },
            function: if arrival.last { activation.function } else { Function::Identity },
            gate: values.0,
            gate_pixels: values.1,
            columns: activation.extent.size[1],
            dy,
            sums: &mut sums.gradients,
            norms,
        });
    }

    /// Passes what has arrived at an activation, over the whole batch, on to its sum.
    pub fn gate(&self, activation: usize, batch: usize, dy: &mut AlignedVec) -> GradientSums {
        let extent = self.plan.activations[activation].extent;
        let arrival = Arrival { activation, adds: true, last: true };
        let (groups, values) = (Groups::of(batch, 0), extent.values());
        let gate_group = |(group, dy): (usize, &mut [f32])| {
            let mut sums = GradientSums::zeros(extent.lanes());
            let mut room = BorderedImages::new(1, extent.size, extent.lanes(), 0);
            let nothing = vec![0.0; values];
            for (index, dy) in dy.chunks_exact_mut(values).enumerate() {
                let at = group * groups.images + index;
                if arrival.needs_values(self.plan) {
                    self.load(activation, at, between_borders(&mut room, 0, None));
                }
                self.arrive(arrival, at, &nothing, (&room.values, room.inner()), dy, &mut sums);
            }
            sums
        };
        let sums: Vec<_> = groups.split(dy, values).into_par_iter().enumerate().map(gate_group).collect();
        GradientSums::total(&sums)
    }
}

/// Adds a gradient over the whole batch to another.
pub fn add(from: &[f32], to: &mut [f32]) {
    const TOGETHER: usize = 1 << 14;
    to.par_chunks_mut(TOGETHER).zip(from.par_chunks(TOGETHER)).for_each(|(to, from)| {
        to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
    });
}
