//! One stage's pass back over the batch.

use super::Step;
use super::backward::Way;
use super::batch::{Groups, image};
use super::gate::Arrival;
use super::load::between_borders;
use super::norm::GradientSums;
use super::stage::{input_room, reads_images, together, with_padding};
use crate::graph::plan::{Extent, Origin, Plan, Stage, Work};
use cpu_kernels::AlignedVec;
use cpu_kernels::channels::NormGradient;
use cpu_kernels::conv::{BorderedImages, Convolution, ImagesAndGradients, InputGradient, Matrix, Pixels};
use cpu_kernels::pool::Pooling;
use rayon::prelude::*;
use std::ops::Range;

/// A stage with what its gradients need prepared.
struct Prepared<'a> {
    at: usize,
    stage: &'a Stage,
    input: Extent,
    together: usize,
    weighted: Option<Weighted<'a>>,
    arrival: Option<Arrival>,
    reads_values: bool,
}

/// A convolution.
struct Weighted<'a> {
    convolution: &'a Convolution,
    weight: Range<usize>,
}

/// What a stage's gradient by its input needs of its weight.
pub enum ByInput {
    /// Nothing, or the gradient is not wanted.
    None,
    Conv(InputGradient),
    Linear(Matrix),
}

impl ByInput {
    /// Prepares a stage's weight.
    pub fn new(step: &Step, at: usize, images_wanted: bool) -> Self {
        let stage = &step.plan.stages[at];
        if !images_wanted && reads_images(step.plan, at) {
            return ByInput::None;
        }
        let input = step.plan.activations[stage.inputs[0]].extent;
        match &stage.work {
            Work::Conv(convolution, weight) => {
                ByInput::Conv(InputGradient::new(*convolution, &step.parameters[weight.clone()], input.size))
            }
            Work::Linear(weight) => {
                ByInput::Linear(Matrix::transposed(&step.parameters[weight.clone()], input.channels))
            }
            _ => ByInput::None,
        }
    }
}

/// A group's room.
struct Rooms {
    input: BorderedImages,
    dz: BorderedImages,
    weight_sum: AlignedVec,
    sums: GradientSums,
}

impl Prepared<'_> {
    fn rooms(&self, plan: &Plan) -> Rooms {
        let (images, output) = (self.together, self.stage.output);
        let dz = match &self.weighted {
            Some(Weighted { convolution, .. }) => BorderedImages::new(
                images,
                convolution.gradient_size(self.input.size),
                output.lanes(),
                convolution.gradient_border(),
            ),
            None => BorderedImages::new(images, output.size, output.lanes(), 0),
        };
        let sum = |weighted: &Weighted| weighted.convolution.weight_sum_size(output.size);
        Rooms {
            input: input_room(plan, self.at, images),
            dz,
            weight_sum: AlignedVec::zeros(self.weighted.as_ref().map_or(0, sum)),
            sums: GradientSums::zeros(self.input.lanes()),
        }
    }
}

impl<'a> Way<'a> {
    fn prepare(&self, at: usize, groups: &Groups) -> Prepared<'a> {
        let plan = self.plan();
        let stage = &plan.stages[at];
        let input = plan.activations[stage.inputs[0]].extent;
        let arrival = self.arrival(at);
        let weighted = match &stage.work {
            Work::Conv(convolution, weight) => Some(Weighted { convolution, weight: weight.clone() }),
            _ => None,
        };
        let finds_maximum = matches!(stage.work, Work::Pool(Pooling::Max, _));
        let gates = arrival.is_some_and(|arrival| arrival.needs_values(plan));
        let reads_values = weighted.is_some() || (finds_maximum && arrival.is_some()) || gates;
        let together = together(plan, at, groups.images);
        Prepared { at, stage, input, together, weighted, arrival, reads_values }
    }

    /// Back through a stage, in groups of images.
    pub fn pass(&mut self, at: usize) {
        let groups = self.step.groups(at);
        let prepared = self.prepare(at, &groups);
        if prepared.weighted.is_none() && prepared.arrival.is_none() {
            return;
        }
        let values = prepared.input.values();
        let mut gradient = match prepared.arrival {
            Some(arrival) if arrival.adds => self.arrived[arrival.activation].take().unwrap_or_default(),
            Some(_) => self.room(self.step.batch * values),
            None => AlignedVec::default(),
        };
        let run_group = |(group, dy): (usize, &mut [f32])| self.pass_group(&prepared, &groups, group, dy);
        let parts = groups.split(&mut gradient, values).into_par_iter().enumerate().map(run_group);
        let (weight_sums, sums): (Vec<_>, Vec<_>) = parts.unzip();
        if let Some(weighted) = &prepared.weighted {
            let size = prepared.stage.output.size;
            let gradient = &mut self.gradient[weighted.weight.clone()];
            finish_weight_gradient(weighted.convolution, size, &weight_sums, gradient);
        }
        if let Some(arrival) = prepared.arrival {
            self.arrived(arrival, gradient, &GradientSums::total(&sums));
        }
    }

    /// Back through a stage for a group of images, whose gradients by the input arrive in `dy`. Returns the sums of the gradients
    /// by the weight, and those of what arrived.
    fn pass_group(
        &self,
        prepared: &Prepared,
        groups: &Groups,
        group: usize,
        dy: &mut [f32],
    ) -> (AlignedVec, GradientSums) {
        let mut rooms = prepared.rooms(self.plan());
        let (images, values) = (groups.images_of(group, self.step.batch), prepared.input.values());
        let mut dx = match prepared.arrival {
            Some(arrival) if !arrival.is_plain(self.plan()) => self.room(prepared.together * values),
            _ => AlignedVec::default(),
        };
        for index in (0..images).step_by(prepared.together) {
            let (first, count) = (group * groups.images + index, prepared.together.min(images - index));
            for slot in 0..count {
                if prepared.reads_values {
                    let target = between_borders(&mut rooms.input, slot, None);
                    self.reader.load(prepared.stage.inputs[0], first + slot, target);
                }
                let pixels = rooms.dz.inner().of_image(slot);
                self.norm_gradient(prepared.at, first + slot, &mut rooms.dz.values, pixels);
            }
            if let Some(weighted) = &prepared.weighted {
                self.add_weight_gradient(prepared, weighted, count, &mut rooms);
            }
            let Some(arrival) = prepared.arrival else { continue };
            let dy = &mut dy[index * values..][..count * values];
            if arrival.is_plain(self.plan()) {
                self.input_gradient(prepared, count, &rooms.input, &rooms.dz, dy);
                continue;
            }
            let Rooms { input, dz, sums, .. } = &mut rooms;
            self.input_gradient(prepared, count, input, dz, &mut dx);
            for (slot, dy) in dy.chunks_exact_mut(values).enumerate() {
                let values_of = (&*input.values, input.inner().of_image(slot));
                self.reader.arrive(arrival, first + slot, image(&dx, slot, values), values_of, dy, sums);
            }
        }
        (rooms.weight_sum, rooms.sums)
    }

    /// The gradient at a stage's output of image `at`, from that at the sum which reads it.
    pub fn norm_gradient(&self, at: usize, image_at: usize, dz: &mut [f32], dz_pixels: Pixels) {
        let stage = &self.plan().stages[at];
        let (output, columns) = (stage.output, stage.output.size[1]);
        let arrived = self.arrived[stage.reader].as_ref().expect("the gradient at the sum, complete");
        let dy = image(arrived, image_at, output.values());
        let terms = &self.plan().activations[stage.reader].terms;
        let term = terms.iter().find(|term| term.origin == Origin::Stage(at)).expect("its reader's term");
        let norm = term.affine.filter(|&affine| self.plan().affines[affine].norm.is_some());
        let Some(affine) = norm else {
            let row = columns * output.lanes();
            for (y, from) in dy.chunks_exact(row).enumerate() {
                dz[dz_pixels.start + y * dz_pixels.row..][..row].copy_from_slice(from);
            }
            return;
        };
        let coefficients = &self.coefficients[affine];
        self.reader.isa.run(NormGradient {
            dy,
            z: self.reader.values_of(term.origin, image_at),
            mean: &self.reader.scalings[affine].mean,
            by_gradient: &coefficients.by_gradient,
            by_input: &coefficients.by_input,
            constant: &coefficients.constant,
            columns,
            dz,
            dz_pixels,
        });
    }

    fn add_weight_gradient(&self, prepared: &Prepared, weighted: &Weighted, count: usize, rooms: &mut Rooms) {
        let Rooms { input, dz, weight_sum, .. } = rooms;
        let images = ImagesAndGradients {
            count,
            input: &input.values,
            input_pixels: with_padding(weighted.convolution, input),
            gradient: &dz.values,
            gradient_pixels: dz.inner(),
        };
        weighted.convolution.add_weight_gradient(
            self.reader.isa,
            images,
            prepared.stage.output.size,
            weight_sum,
        );
    }

    /// The gradients by the inputs of `count` images, without gaps.
    fn input_gradient(
        &self,
        prepared: &Prepared,
        count: usize,
        input: &BorderedImages,
        dz: &BorderedImages,
        dx: &mut [f32],
    ) {
        let (isa, extent) = (self.reader.isa, prepared.input);
        if let (Some(Weighted { convolution, .. }), ByInput::Conv(by_input)) =
            (&prepared.weighted, &self.by_input[prepared.at])
        {
            let dz_pixels = dz.with_border(convolution.gradient_border());
            let pixels = Pixels::dense(extent.size, extent.lanes());
            return by_input.run(isa, count, &dz.values, dz_pixels, dx, pixels);
        }
        let output = prepared.stage.output;
        for (slot, dx) in dx.chunks_exact_mut(extent.values()).take(count).enumerate() {
            let dz = image(&dz.values, slot, output.values());
            match &prepared.stage.work {
                Work::Pool(kind, pool) => {
                    let x = image(&input.values, slot, extent.values());
                    pool.backward(isa, *kind, x, extent.size, extent.lanes(), dz, dx);
                }
                Work::GlobalAveragePool => spread(dz, extent.pixels(), dx),
                Work::Flatten => unflatten(&extent, dz, dx),
                _ => dx.copy_from_slice(dz),
            }
        }
    }
}

/// The gradient of the mean over each channel's pixels.
fn spread(dz: &[f32], pixels: usize, dx: &mut [f32]) {
    for pixel in dx.chunks_exact_mut(dz.len()) {
        for (value, dz) in pixel.iter_mut().zip(dz) {
            *value = dz / pixels as f32;
        }
    }
}

/// Channel after channel to channels last.
fn unflatten(extent: &Extent, dz: &[f32], dx: &mut [f32]) {
    let pixels = extent.pixels();
    for (pixel, dx) in dx.chunks_exact_mut(extent.lanes()).enumerate() {
        dx.fill(0.0);
        for (channel, value) in dx[..extent.channels].iter_mut().enumerate() {
            *value = dz[channel * pixels + pixel];
        }
    }
}

/// Adds the sum of the groups' weight gradients, in the groups' order, to `gradient [O, I, K, K]`.
fn finish_weight_gradient(
    convolution: &Convolution,
    size: [usize; 2],
    partial_sums: &[AlignedVec],
    gradient: &mut [f32],
) {
    const TOGETHER: usize = 1024;
    let mut total = AlignedVec::zeros(convolution.weight_sum_size(size));
    total.par_chunks_mut(TOGETHER).enumerate().for_each(|(at, total)| {
        for partial in partial_sums {
            for (total, partial) in total.iter_mut().zip(&partial[at * TOGETHER..]) {
                *total += partial;
            }
        }
    });
    convolution.finish_weight_sum(&total, size, gradient);
}
