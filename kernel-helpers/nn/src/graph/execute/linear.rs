//! A linear layer's way back. Its weight is large beside its images, so the work is split by outputs and by rows of images, and
//! no sums are kept by group.

use super::backward::Way;
use super::batch::{Groups, image};
use super::gate::Arrival;
use super::load::{Kept, Target};
use super::norm::GradientSums;
use super::pass::ByInput;
use crate::graph::plan::{Extent, Origin, Work};
use cpu_kernels::conv::{BlockedRows, Pixels, RowsWeightGradient};
use cpu_kernels::{AlignedVec, LANES_MAX};
use rayon::prelude::*;

/// Outputs whose weights one task takes: their sums stay in the cache.
const OUTPUTS: usize = 32;

/// The input's rows, `[N, I]` with padding, and the gradients at the output's.
struct Rows<'a> {
    input: &'a [f32],
    lanes: usize,
    gradient: &'a [f32],
    gradient_lanes: usize,
    count: usize,
}

impl Way<'_> {
    /// Back through a linear layer.
    pub fn linear(&mut self, at: usize) {
        let plan = self.plan();
        let stage = &plan.stages[at];
        let Work::Linear(weight) = &stage.work else { unreachable!("a linear layer") };
        let (read, batch) = (stage.inputs[0], self.step.batch);
        let (input, output) = (plan.activations[read].extent, stage.output);
        let loaded = self.load_rows(read, &input);
        let mut dz = self.room(batch * output.values());
        let pixels = Pixels::dense([1, 1], output.lanes());
        dz.par_chunks_mut(output.values())
            .enumerate()
            .for_each(|(row, dz)| self.norm_gradient(at, row, dz, pixels));
        let written = self.reader.written(read);
        let rows = Rows {
            input: loaded.as_deref().unwrap_or(written),
            lanes: input.lanes(),
            gradient: &dz,
            gradient_lanes: output.lanes(),
            count: batch,
        };
        let mut gradient = std::mem::take(self.gradient.part_mut(weight));
        self.add_rows_weight_gradient(&rows, input.channels, &mut gradient);
        *self.gradient.part_mut(weight) = gradient;
        if let Some(arrival) = self.arrival(at) {
            let before = self.arrived[read].take();
            let mut dy = before.unwrap_or_else(|| self.room(batch * input.values()));
            let sums = self.rows_input_gradient(at, &input, &rows, arrival, &mut dy);
            self.arrived(arrival, dy, &sums);
        }
    }

    /// The rows of an activation that has to be computed.
    fn load_rows(&mut self, activation: usize, input: &Extent) -> Option<AlignedVec> {
        let read = &self.plan().activations[activation];
        if (read.plain().is_some() || read.kept) && read.terms[0].origin != Origin::Images {
            return None;
        }
        let (values, pixels) = (input.values(), Pixels::dense(input.size, input.lanes()));
        let mut rows = self.room(self.step.batch * values);
        rows.fill(0.0);
        let reader = self.reader;
        rows.par_chunks_mut(values).enumerate().for_each(|(row, values)| {
            reader.load(activation, row, Target { kept: Kept::Before, values, pixels });
        });
        Some(rows)
    }

    /// Adds the gradient by the weight, `[O, I]`.
    fn add_rows_weight_gradient(&mut self, rows: &Rows, inputs: usize, gradient: &mut [f32]) {
        let input = self.blocked(rows.input, rows.lanes, rows.count);
        let output = self.blocked(rows.gradient, rows.gradient_lanes, rows.count);
        let blocked = |values| BlockedRows { values, rows: rows.count };
        gradient.par_chunks_mut(OUTPUTS * inputs).enumerate().for_each(|(part, gradient)| {
            let outputs = (gradient.len() / inputs).next_multiple_of(LANES_MAX);
            let add = |sum: &mut [f32]| {
                self.reader.isa.run(RowsWeightGradient {
                    input: blocked(&input),
                    gradient: blocked(&output),
                    first: part * OUTPUTS,
                    outputs,
                    inputs: rows.lanes,
                    sum,
                });
            };
            if gradient.len() == outputs * rows.lanes {
                return add(gradient);
            }
            let mut sum = AlignedVec::zeros(outputs * rows.lanes);
            add(&mut sum);
            for (gradient, sum) in gradient.chunks_exact_mut(inputs).zip(sum.chunks_exact(rows.lanes)) {
                gradient.iter_mut().zip(sum).for_each(|(gradient, sum)| *gradient += sum);
            }
        });
    }

    /// Rows in blocks.
    fn blocked(&mut self, rows: &[f32], lanes: usize, count: usize) -> AlignedVec {
        let block = BlockedRows::block(count);
        let mut blocked = self.room(lanes / LANES_MAX * block);
        let blocks = blocked.par_chunks_mut(block).enumerate();
        blocks.for_each(|(at, block)| BlockedRows::copy_block(rows, lanes, at, block));
        blocked
    }

    /// Lets the gradients by the input arrive.
    fn rows_input_gradient(
        &self,
        at: usize,
        input: &Extent,
        rows: &Rows,
        arrival: Arrival,
        dy: &mut AlignedVec,
    ) -> GradientSums {
        let (groups, values, isa) = (Groups::of_rows(rows.count), input.values(), self.reader.isa);
        let ByInput::Linear(by_input) = &self.by_input[at] else { unreachable!("a linear layer") };
        let plain = arrival.is_plain(self.plan());
        let run_group = |(group, dy): (usize, &mut [f32])| {
            let (first, count) = (group * groups.images, groups.images_of(group, rows.count));
            let dz = &rows.gradient[first * rows.gradient_lanes..][..count * rows.gradient_lanes];
            let mut sums = GradientSums::zeros(input.lanes());
            if plain {
                by_input.run(isa, count, dz, dy);
                return sums;
            }
            let mut dx = AlignedVec::zeros(count * values);
            by_input.run(isa, count, dz, &mut dx);
            let pixels = Pixels::dense(input.size, input.lanes());
            for (slot, dy) in dy.chunks_exact_mut(values).enumerate() {
                let x = image(rows.input, first + slot, values);
                self.reader.arrive(
                    arrival,
                    first + slot,
                    image(&dx, slot, values),
                    (x, pixels),
                    dy,
                    &mut sums,
                );
            }
            sums
        };
        let sums: Vec<_> = groups.split(dy, values).into_par_iter().enumerate().map(run_group).collect();
        GradientSums::total(&sums)
    }
}
