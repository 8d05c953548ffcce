//! A linear layer's way back. Its weight is large beside its images, so the work is split by outputs and by rows of images, and
//! no sums are kept by group.

use super::backward::Way;
use super::batch::{Groups, image};
use super::gate::Arrival;
use super::load::Target;
use super::norm::GradientSums;
use super::pass::ByInput;
use crate::graph::plan::{Extent, Origin, Work};
use crate::kernels::AlignedVec;
use crate::kernels::conv::{Convolution, ImagesAndGradients, Pixels};
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
        let Work::Linear(convolution, weight) = &stage.work else { unreachable!("a linear layer") };
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
        let mut gradient = std::mem::take(&mut self.gradient);
        self.add_rows_weight_gradient(convolution, &rows, &mut gradient[weight.clone()]);
        self.gradient = gradient;
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
            reader.load(activation, row, Target { kept: None, values, pixels });
        });
        Some(rows)
    }

    /// Adds the gradient by the weight, `[O, I]`.
    fn add_rows_weight_gradient(&self, convolution: &Convolution, rows: &Rows, gradient: &mut [f32]) {
        let size = [1, rows.count];
        let parts = gradient.par_chunks_mut(OUTPUTS * convolution.inputs).enumerate();
        parts.for_each(|(part, gradient)| {
            let outputs = gradient.len() / convolution.inputs;
            let convolution = Convolution { outputs, ..*convolution };
            let mut sum = AlignedVec::zeros(convolution.weight_sum_size(size));
            let mut gradient_pixels = Pixels::dense(size, rows.gradient_lanes);
            gradient_pixels.start += part * OUTPUTS;
            let images = ImagesAndGradients {
                count: 1,
                input: rows.input,
                input_pixels: Pixels::dense(size, rows.lanes),
                gradient: rows.gradient,
                gradient_pixels,
            };
            convolution.add_weight_gradient(self.reader.isa, images, size, &mut sum);
            convolution.finish_weight_sum(&sum, size, gradient);
        });
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
            let (_, by_input) =
                by_input.iter().find(|(of, _)| *of == count).expect("prepared for this count");
            let mut sums = GradientSums::zeros(input.lanes());
            let run = |dx: &mut [f32]| {
                let row = |lanes| Pixels::dense([1, count], lanes);
                by_input.run(isa, 1, dz, row(rows.gradient_lanes), dx, row(input.lanes()));
            };
            if plain {
                run(dy);
                return sums;
            }
            let mut dx = AlignedVec::zeros(count * values);
            run(&mut dx);
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
