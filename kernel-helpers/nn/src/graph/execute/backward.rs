//! The backward pass: for each stage one pass over the batch, which computes the gradients by its weight and by its input
//! and, while that is in the cache, the sums that the batch norm before it needs.

use super::Step;
use super::batch::image;
use super::classify::ClassifierGradient;
use super::forward::Forward;
use super::gate::{Arrival, add};
use super::load::Reader;
use super::norm::{GradientSums, NormCoefficients};
use super::parts::Parts;
use super::pass::ByInput;
use super::stage::reads_images;
use super::workspace::{Buffers, Values};
use crate::graph::plan::{Origin, Plan, Work};
use base::Result;
use cpu_kernels::conv::Pixels;
use cpu_kernels::layout::{from_channels_last, to_channels_last};
use cpu_kernels::{AlignedVec, Arena};
use rayon::prelude::*;
use std::ops::{Deref, DerefMut};

/// The gradients by the parameters and, if wanted, by the images.
pub struct Gradients {
    pub parameters: Vec<Vec<f32>>,
    pub images: Option<Vec<f32>>,
}

/// What the backward pass carries from stage to stage.
pub struct Carried {
    /// By the parameters.
    pub gradient: Parts<Vec<f32>>,
    /// What has arrived at each activation; once all has, the gradient at its sum.
    pub arrived: Vec<Option<AlignedVec>>,
    /// How many gradients are still to arrive at each activation.
    outstanding: Vec<usize>,
    /// How many stages still wait for the gradient at each activation's sum.
    awaited: Vec<usize>,
    /// Of each affine, once the gradient at its activation's sum is there.
    pub coefficients: Vec<NormCoefficients>,
}

/// The backward pass on its way through a stage.
pub struct Way<'a> {
    pub step: Step<'a>,
    pub reader: Reader<'a>,
    arena: &'a Arena,
    pub images_wanted: bool,
    /// Of each stage.
    pub by_input: &'a [ByInput],
    carried: Carried,
}

impl Deref for Way<'_> {
    type Target = Carried;

    fn deref(&self) -> &Carried {
        &self.carried
    }
}

impl DerefMut for Way<'_> {
    fn deref_mut(&mut self) -> &mut Carried {
        &mut self.carried
    }
}

impl Step<'_> {
    /// The gradients. The values are given up on the way, each when nothing needs it any more, for the gradients to have the memory.
    pub fn backward(
        self,
        forward: &Forward,
        buffers: &mut Buffers,
        output_gradient: &[f32],
        images_wanted: bool,
    ) -> Result<Gradients> {
        let plan = self.plan;
        let mut values = std::mem::take(&mut buffers.values);
        let prepare = |at| ByInput::new(&self, at, images_wanted);
        let by_input: Vec<ByInput> = (0..plan.stages.len()).into_par_iter().map(prepare).collect();
        let backward = Backward { step: self, forward, arena: &buffers.arena, images_wanted, by_input };
        let mut way = backward.way(&values, Carried::new(plan));
        way.begin(output_gradient);
        let mut carried = way.carried;
        for at in (0..plan.stages.len()).rev() {
            let mut way = backward.way(&values, carried);
            way.stage(at)?;
            carried = way.carried;
            values.stages[at] = AlignedVec::default();
            let complete = carried.outstanding.iter().zip(&mut values.kept).filter(|(count, _)| **count == 0);
            complete.for_each(|(_, kept)| *kept = AlignedVec::default());
        }
        let images = images_wanted.then(|| self.images_gradient(&mut carried));
        Ok(Gradients { parameters: carried.gradient.into_parts(), images })
    }

    /// The gradient by the images, as a tensor has it.
    fn images_gradient(&self, carried: &mut Carried) -> Vec<f32> {
        let plan = self.plan;
        let of_images =
            plan.activations.iter().position(|activation| activation.terms[0].origin == Origin::Images);
        let arrived =
            of_images.and_then(|at| Some((plan.activations[at].extent, carried.arrived[at].take()?)));
        let mut planes = vec![0.0; self.images.len()];
        let Some((extent, gradient)) = arrived else { return planes };
        let pixels = Pixels::dense(extent.size, extent.lanes());
        let images = planes.chunks_exact_mut(extent.elements()).zip(gradient.chunks_exact(extent.values()));
        for (planes, from) in images {
            from_channels_last(from, pixels, planes, extent.channels, extent.size[1]);
        }
        planes
    }
}

/// What the whole backward pass has.
struct Backward<'a> {
    step: Step<'a>,
    forward: &'a Forward,
    arena: &'a Arena,
    images_wanted: bool,
    by_input: Vec<ByInput>,
}

impl Backward<'_> {
    fn way<'a>(&'a self, values: &'a Values, carried: Carried) -> Way<'a> {
        let Backward { step, forward, arena, images_wanted, ref by_input } = *self;
        let reader = step.reader(&forward.scalings, &forward.unit, values);
        Way { step, reader, arena, images_wanted, by_input, carried }
    }
}

impl Carried {
    fn new(plan: &Plan) -> Self {
        let outstanding = |(at, activation): (usize, &crate::graph::plan::Activation)| {
            activation.consumers.len() + activation.readers.len() + usize::from(at == plan.output)
        };
        Carried {
            gradient: Parts::zeros(plan),
            arrived: vec![None; plan.activations.len()],
            outstanding: plan.activations.iter().enumerate().map(outstanding).collect(),
            awaited: (0..plan.activations.len()).map(|at| plan.sources(at).count()).collect(),
            coefficients: vec![NormCoefficients::default(); plan.affines.len()],
        }
    }
}

impl<'a> Way<'a> {
    pub fn plan(&self) -> &'a Plan {
        self.step.plan
    }

    /// Room for so many values, which are arbitrary.
    pub fn room(&self, length: usize) -> AlignedVec {
        self.arena.take(length)
    }

    fn begin(&mut self, output_gradient: &[f32]) {
        let extent = self.plan().activations[self.plan().output].extent;
        let mut gradient = self.room(self.step.batch * extent.values());
        gradient.fill(0.0);
        let pixels = Pixels::dense(extent.size, extent.lanes());
        let images =
            gradient.chunks_exact_mut(extent.values()).zip(output_gradient.chunks_exact(extent.elements()));
        for (to, planes) in images {
            to_channels_last(planes, extent.channels, extent.size[1], to, pixels);
        }
        self.arrive(self.plan().output, gradient);
    }

    fn stage(&mut self, at: usize) -> Result<()> {
        let stage = &self.plan().stages[at];
        match &stage.work {
            Work::Candle => self.candle(at)?,
            Work::Classify { .. } => self.classifier(at),
            Work::Linear(..) => self.linear(at),
            _ => self.pass(at),
        }
        self.awaited[stage.reader] -= 1;
        if self.awaited[stage.reader] == 0 {
            self.release(stage.reader);
        }
        Ok(())
    }

    /// How a gradient of a stage's input arrives; none if nobody wants it.
    pub fn arrival(&self, stage: usize) -> Option<Arrival> {
        let activation = self.plan().stages[stage].inputs[0];
        let wanted = self.images_wanted || !reads_images(self.plan(), stage);
        wanted.then(|| Arrival {
            activation,
            adds: self.arrived[activation].is_some(),
            last: self.outstanding[activation] == 1,
        })
    }

    /// Keeps a gradient that has arrived as [`Arrival`] said, with the sums of the last one.
    pub fn arrived(&mut self, arrival: Arrival, gradient: AlignedVec, sums: &GradientSums) {
        let activation = arrival.activation;
        self.arrived[activation] = Some(gradient);
        self.outstanding[activation] -= 1;
        if arrival.last {
            self.complete(activation, sums);
        }
    }

    /// Lets a gradient over the whole batch arrive.
    fn arrive(&mut self, activation: usize, mut gradient: AlignedVec) {
        if let Some(before) = self.arrived[activation].take() {
            add(&before, &mut gradient);
        }
        let arrival = Arrival { activation, adds: true, last: self.outstanding[activation] == 1 };
        let sums = match arrival.last && arrival.is_gated(self.plan()) {
            true => self.reader.gate(activation, self.step.batch, &mut gradient),
            false => GradientSums::zeros(self.plan().activations[activation].extent.lanes()),
        };
        self.arrived(arrival, gradient, &sums);
    }

    /// Goes on from the gradient at an activation's sum.
    fn complete(&mut self, at: usize, sums: &GradientSums) {
        let activation = &self.plan().activations[at];
        let count = self.step.batch * activation.extent.pixels();
        for (term, products) in activation.terms.iter().zip(&sums.products) {
            let Some(place) = term.affine else { continue };
            let affine = &self.plan().affines[place];
            if affine.norm.is_some() {
                let norm = &self.reader.scalings[place];
                let gradient = &mut self.gradient;
                let coefficients =
                    NormCoefficients::new(affine, norm, &sums.gradients, products, count, gradient);
                self.coefficients[place] = coefficients;
            } else {
                let bias = self.gradient[affine.shift.clone()].iter_mut();
                bias.zip(&sums.gradients).for_each(|(to, from)| *to += *from as f32);
            }
        }
        if self.awaited[at] == 0 {
            self.release(at);
        } else if !self.can_wait(at) {
            self.pass_on(at, false);
        }
    }

    /// Whether what an activation passes on to others is not wanted before its stages are done with it.
    fn can_wait(&self, at: usize) -> bool {
        let first = self.plan().sources(at).min();
        let wanted = self.kept(at).filter_map(|kept| self.plan().last_source(kept)).max();
        wanted < first
    }

    /// The activations whose values an activation adds.
    fn kept(&self, at: usize) -> impl Iterator<Item = usize> + 'a {
        self.plan().activations[at].terms.iter().filter_map(|term| match term.origin {
            Origin::Kept(kept) => Some(kept),
            _ => None,
        })
    }

    /// Gives up the gradient at an activation's sum, which its stages have read.
    fn release(&mut self, at: usize) {
        let passed_on = !self.can_wait(at) && self.plan().sources(at).count() > 0;
        if !passed_on {
            self.pass_on(at, true);
        }
        let images = self.plan().activations[at].terms[0].origin == Origin::Images;
        if !images {
            self.arrived[at] = None;
        }
    }

    /// Lets the gradient at an activation's sum arrive at the activations that it adds, the last of which can have it.
    fn pass_on(&mut self, at: usize, give_away: bool) {
        let kept: Vec<usize> = self.kept(at).collect();
        for (index, &activation) in kept.iter().enumerate() {
            let gradient = match give_away && index + 1 == kept.len() {
                true => self.arrived[at].take(),
                false => self.arrived[at].as_ref().map(|gradient| {
                    let mut copy = self.room(gradient.len());
                    copy.copy_from_slice(gradient);
                    copy
                }),
            };
            self.arrive(activation, gradient.expect("the gradient at a sum that is complete"));
        }
    }

    /// Back through a layer that candle computes.
    fn candle(&mut self, at: usize) -> Result<()> {
        let stage = &self.plan().stages[at];
        let layer = self.step.candle_layer(at).expect("a layer that candle computes");
        let dz = self.output_gradient(at);
        let (reader, batch) = (self.reader, self.step.batch);
        let by_inputs = layer.backward(&reader, batch, &dz, &mut self.gradient)?;
        for (&activation, gradient) in stage.inputs.iter().zip(by_inputs) {
            let length = self.step.batch * self.plan().activations[activation].extent.values();
            self.arrive(activation, gradient.unwrap_or_else(|| AlignedVec::zeros(length)));
        }
        Ok(())
    }

    /// Back through a linear layer with few outputs, on one thread: image after image.
    fn classifier(&mut self, at: usize) {
        let stage = &self.plan().stages[at];
        let Work::Classify { weight, bias } = &stage.work else { unreachable!("a classifier") };
        let input = self.plan().activations[stage.inputs[0]].extent;
        let (batch, values, lanes) = (self.step.batch, input.values(), stage.output.lanes());
        let dz = self.output_gradient(at);
        let mut by_input = self.room(batch * values);
        by_input.fill(0.0);
        let classifier = ClassifierGradient {
            inputs: input.channels,
            outputs: stage.output.channels,
            weight: &self.step.parameters[weight.clone()],
        };
        let mut by_weight = std::mem::take(self.gradient.part_mut(weight));
        let mut by_bias = vec![0.0; bias.as_ref().map_or(0, std::ops::Range::len)];
        let mut room = cpu_kernels::conv::BorderedImages::new(1, input.size, input.lanes(), 0);
        for (image_at, dx) in by_input.chunks_exact_mut(values).enumerate() {
            self.reader.load(stage.inputs[0], image_at, super::load::between_borders(&mut room, 0, None));
            let (x, dz) = (&room.values[..input.channels], image(&dz, image_at, lanes));
            let by_bias = bias.as_ref().map(|_| &mut by_bias[..]);
            classifier.add(x, dz, &mut by_weight, by_bias, &mut dx[..input.channels]);
        }
        if let Some(bias) = bias {
            self.gradient[bias.clone()].copy_from_slice(&by_bias);
        }
        *self.gradient.part_mut(weight) = by_weight;
        self.arrive(stage.inputs[0], by_input);
    }

    /// The gradient at a stage's output, over the whole batch.
    fn output_gradient(&mut self, at: usize) -> AlignedVec {
        let output = self.plan().stages[at].output;
        let mut dz = self.room(self.step.batch * output.values());
        let pixels = Pixels::dense(output.size, output.lanes());
        for (image_at, dz) in dz.chunks_exact_mut(output.values()).enumerate() {
            self.norm_gradient(at, image_at, dz, pixels);
        }
        dz
    }
}
