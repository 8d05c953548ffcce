//! The backward pass: for each unit one pass over the batch, which computes the gradients by its weight and by its input
//! and, while that is in the cache, the sums that the batch norm before it needs.

use super::forward::{Forward, Step};
use super::norm::{GradientSums, Norm, NormCoefficients};
use super::pass::*;
use super::plan::Unit;
use super::workspace::Buffers;
use crate::kernels::channels::{Addend, Function, Gate, GatedNorm, NormGradient};
use crate::kernels::conv::{BorderedImages, InputGradient, Pixels};
use crate::kernels::layout::{from_channels_last, to_channels_last};
use crate::kernels::{AlignedVec, LANES_MAX};
use rayon::prelude::*;
use std::mem::{swap, take};

/// The gradients by the packed parameters and, if wanted, by the images.
pub struct Gradients {
    pub parameters: Vec<f32>,
    pub images: Option<Vec<f32>>,
}

impl Step<'_> {
    pub fn backward(
        self,
        forward: &Forward,
        buffers: &mut Buffers,
        logits_gradient: &[f32],
        images_wanted: bool,
    ) -> Gradients {
        let mut gradient = vec![0.0; self.plan.parameters];
        let features = self.classifier_gradients(forward, logits_gradient, &mut gradient);
        let mut sums = self.pool_gradient(forward, buffers, &features);
        for at in (0..self.plan.blocks.len()).rev() {
            let inner = self.second_gradients(at, forward, buffers, &sums, &mut gradient);
            sums = self.first_gradients(at, forward, buffers, &sums, &inner, &mut gradient);
        }
        let images = self.head_gradients(forward, buffers, &sums, images_wanted, &mut gradient);
        Gradients { parameters: gradient, images }
    }

    /// The gradients by the classifier, written, and by the features, returned.
    fn classifier_gradients(&self, forward: &Forward, dlogits: &[f32], gradient: &mut [f32]) -> Vec<f32> {
        let plan = self.plan;
        let inputs = plan.last().channels();
        let weight = &self.parameters[plan.fc_weight.clone()];
        let mut dfeatures = vec![0.0; forward.features.len()];
        for (at, dlogits) in dlogits.chunks_exact(plan.classes).enumerate() {
            let features = &forward.features[at * inputs..][..inputs];
            let dfeatures = &mut dfeatures[at * inputs..][..inputs];
            for (class, dlogit) in dlogits.iter().enumerate() {
                gradient[plan.fc_bias.start + class] += dlogit;
                let row = class * inputs..(class + 1) * inputs;
                let dweight = &mut gradient[plan.fc_weight.clone()][row.clone()];
                for (dweight, feature) in dweight.iter_mut().zip(features) {
                    *dweight += dlogit * feature;
                }
                for (dfeature, weight) in dfeatures.iter_mut().zip(&weight[row]) {
                    *dfeature += dlogit * weight;
                }
            }
        }
        dfeatures
    }

    /// The gate into the sum of block `block - 1` (the head, for the first): its norms, ready to collect sums.
    fn gated<'a>(
        &self,
        block: usize,
        at: usize,
        forward: &'a Forward,
        buffers: &'a Buffers,
        sums: &'a mut GradientSums,
    ) -> (&'a mut [f64], GatedNorm<'a>, Option<GatedNorm<'a>>) {
        let (source, mapping) = self.plan.source(block);
        let values = self.plan.units[source].values();
        let norm = |unit: usize, products: &'a mut Vec<f64>| GatedNorm {
            z: image(&buffers.z[unit], at, values),
            mean: &forward.norms[unit].mean,
            products,
        };
        let mapping = mapping.map(|unit| norm(unit, &mut sums.mapping_products));
        (&mut sums.gradients, norm(source, &mut sums.products), mapping)
    }

    /// The gradient at the last block's sum, into `sum_gradient`.
    fn pool_gradient(&self, forward: &Forward, buffers: &mut Buffers, dfeatures: &[f32]) -> GradientSums {
        let blocks = self.plan.blocks.len();
        let last = self.plan.last();
        let groups = Groups::of(self.batch);
        let mut output = take(&mut buffers.sum_gradient);
        let parts = groups.split(&mut output[..self.batch * last.values()], last.values());
        let gate_group = |(group, dy): (usize, &mut [f32])| {
            let mut sums = GradientSums::zeros(last.channels());
            let mut spread = vec![0.0; last.values()];
            for (index, dy) in dy.chunks_exact_mut(last.values()).enumerate() {
                let at = group * groups.images + index;
                let dfeatures = image(dfeatures, at, last.channels());
                for pixel in spread.chunks_exact_mut(last.channels()) {
                    for (value, dfeature) in pixel.iter_mut().zip(dfeatures) {
                        *value = dfeature / last.pixels() as f32;
                    }
                }
                let (gradients, norm, mapping_norm) = self.gated(blocks, at, forward, buffers, &mut sums);
                self.isa.run(Gate {
                    gradient: &spread,
                    addend: Addend::None,
                    function: Function::Relu,
                    gate: image(&buffers.x[blocks], at, last.values()),
                    gate_pixels: Pixels::dense(last.output, last.channels()),
                    columns: last.output[1],
                    dy,
                    sums: gradients,
                    norms: [Some(norm), mapping_norm],
                });
            }
            sums
        };
        let sums: Vec<_> = parts.into_par_iter().enumerate().map(gate_group).collect();
        buffers.sum_gradient = output;
        GradientSums::total(&sums)
    }

    /// A unit's way back: its norm's coefficients (γ's and β's gradients go to `gradient`) and its flipped weight.
    fn way_back<'a>(
        &self,
        unit: usize,
        forward: &'a Forward,
        gradients: &[f64],
        products: &[f64],
        gradient: &mut [f32],
    ) -> WayBack<'a>
    where
        Self: 'a,
    {
        let norm = &forward.norms[unit];
        let unit = &self.plan.units[unit];
        let count = self.batch * unit.pixels();
        WayBack {
            norm,
            coefficients: NormCoefficients::new(unit, norm, gradients, products, count, gradient),
            input: InputGradient::new(unit.convolution, &self.parameters[unit.weight.clone()], unit.input),
        }
    }

    /// The gradient at a unit's convolution of one image, into the bordered `dz`.
    fn norm_gradient(&self, unit: &Unit, back: &WayBack, dy: &[f32], z: &[f32], dz: &mut BorderedImages) {
        let dz_pixels = dz.inner();
        self.isa.run(NormGradient {
            dy,
            z,
            mean: &back.norm.mean,
            by_gradient: &back.coefficients.by_gradient,
            by_input: &back.coefficients.by_input,
            constant: &back.coefficients.constant,
            columns: unit.output[1],
            dz: &mut dz.values,
            dz_pixels,
        });
    }

    /// The gradient by a unit's input, into the dense `dx`.
    fn input_gradient(&self, unit: &Unit, back: &WayBack, dz: &BorderedImages, dx: &mut [f32]) {
        let channels = unit.convolution.inputs.next_multiple_of(LANES_MAX);
        let border = unit.convolution.gradient_border();
        let pixels = Pixels::dense(unit.input, channels);
        back.input.run(self.isa, 1, &dz.values, dz.with_border(border), dx, pixels);
    }

    /// Back through the block's second unit, from `sum_gradient` to `inner_gradient`.
    fn second_gradients(
        &self,
        at: usize,
        forward: &Forward,
        buffers: &mut Buffers,
        sums: &GradientSums,
        gradient: &mut [f32],
    ) -> GradientSums {
        let block = self.plan.blocks[at];
        let (first, second) = (&self.plan.units[block.first], &self.plan.units[block.second]);
        let back = self.way_back(block.second, forward, &sums.gradients, &sums.products, gradient);
        let first_norm = &forward.norms[block.first];
        let groups = Groups::of(self.batch);
        let mut output = take(&mut buffers.inner_gradient);
        let parts = groups.split(&mut output[..self.batch * first.values()], first.values());
        let run_group = |(group, dy_first): (usize, &mut [f32])| {
            let mut total = weight_sum(second);
            let mut sums = GradientSums::zeros(first.channels());
            let (mut input, mut dz) = (bordered_input(second, None), bordered_gradient(second));
            let mut dx = AlignedVec::zeros(first.values());
            for (index, dy_first) in dy_first.chunks_exact_mut(first.values()).enumerate() {
                let at = group * groups.images + index;
                let z_first = image(&buffers.z[block.first], at, first.values());
                self.activate(first_norm, z_first, second.input[1], &mut input);
                let dy = image(&buffers.sum_gradient, at, second.values());
                let z = image(&buffers.z[block.second], at, second.values());
                self.norm_gradient(second, &back, dy, z, &mut dz);
                add_weight_gradient(self.isa, second, &input, &dz, &mut total);
                self.input_gradient(second, &back, &dz, &mut dx);
                self.isa.run(Gate {
                    gradient: &dx,
                    addend: Addend::None,
                    function: Function::Relu,
                    gate: &input.values,
                    gate_pixels: input.inner(),
                    columns: first.output[1],
                    dy: dy_first,
                    sums: &mut sums.gradients,
                    norms: [
                        Some(GatedNorm { z: z_first, mean: &first_norm.mean, products: &mut sums.products }),
                        None,
                    ],
                });
            }
            (total, sums)
        };
        let (weights, sums): (Vec<_>, Vec<_>) = parts.into_par_iter().enumerate().map(run_group).unzip();
        buffers.inner_gradient = output;
        finish_weight_gradient(second, &weights, gradient);
        GradientSums::total(&sums)
    }

    /// Back through the block's first unit and its skip, from `inner_gradient` and `sum_gradient` to the `sum_gradient`
    /// of the block before.
    fn first_gradients(
        &self,
        at: usize,
        forward: &Forward,
        buffers: &mut Buffers,
        sums: &GradientSums,
        inner_sums: &GradientSums,
        gradient: &mut [f32],
    ) -> GradientSums {
        let block = self.plan.blocks[at];
        let first = &self.plan.units[block.first];
        let back = self.way_back(block.first, forward, &inner_sums.gradients, &inner_sums.products, gradient);
        let mapping = block.mapping.map(|unit| {
            let back = self.way_back(unit, forward, &sums.gradients, &sums.mapping_products, gradient);
            (unit, &self.plan.units[unit], back)
        });
        let source = &self.plan.units[self.plan.source(at).0];
        let values = source.values();
        let groups = Groups::of(self.batch);
        // With an identity skip the gradient at the sum is added to in place.
        let mut output =
            take(if mapping.is_some() { &mut buffers.next_sum_gradient } else { &mut buffers.sum_gradient });
        let parts = groups.split(&mut output[..self.batch * values], values);
        let run_group = |(group, dx_group): (usize, &mut [f32])| {
            let mut total = weight_sum(first);
            let mut sums = GradientSums::zeros(source.channels());
            let mut input = bordered_input(first, mapping.as_ref().map(|(_, unit, _)| *unit));
            let mut dz = bordered_gradient(first);
            let mut dx = AlignedVec::zeros(values);
            let mut skip =
                mapping.as_ref().map(|(place, unit, back)| SkipScratch::new(*place, unit, back, values));
            for (index, output) in dx_group.chunks_exact_mut(values).enumerate() {
                let at_image = group * groups.images + index;
                let x = image(&buffers.x[at], at_image, values);
                copy_into(x, first.input[1], &mut input);
                let dy = image(&buffers.inner_gradient, at_image, first.values());
                let z = image(&buffers.z[block.first], at_image, first.values());
                self.norm_gradient(first, &back, dy, z, &mut dz);
                add_weight_gradient(self.isa, first, &input, &dz, &mut total);
                self.input_gradient(first, &back, &dz, &mut dx);
                let addend = match &mut skip {
                    None => Addend::Output,
                    Some(skip) => {
                        let dy = image(&buffers.sum_gradient, at_image, skip.unit.values());
                        let z = image(&buffers.z[skip.place], at_image, skip.unit.values());
                        self.norm_gradient(skip.unit, skip.back, dy, z, &mut skip.dz);
                        add_weight_gradient(self.isa, skip.unit, &input, &skip.dz, &mut skip.weight_sum);
                        self.input_gradient(skip.unit, skip.back, &skip.dz, &mut skip.dx);
                        Addend::Other(&skip.dx)
                    }
                };
                let (gradients, norm, mapping_norm) = self.gated(at, at_image, forward, buffers, &mut sums);
                self.isa.run(Gate {
                    gradient: &dx,
                    addend,
                    function: Function::Relu,
                    gate: x,
                    gate_pixels: Pixels::dense(first.input, source.channels()),
                    columns: first.input[1],
                    dy: output,
                    sums: gradients,
                    norms: [Some(norm), mapping_norm],
                });
            }
            ((total, skip.map(|skip| skip.weight_sum).unwrap_or_default()), sums)
        };
        let (weights, sums): (Vec<_>, Vec<_>) = parts.into_par_iter().enumerate().map(run_group).unzip();
        let (weights, mapping_weights): (Vec<_>, Vec<_>) = weights.into_iter().unzip();
        finish_weight_gradient(first, &weights, gradient);
        match &mapping {
            Some((_, unit, _)) => {
                finish_weight_gradient(unit, &mapping_weights, gradient);
                buffers.next_sum_gradient = output;
                swap(&mut buffers.sum_gradient, &mut buffers.next_sum_gradient);
            }
            None => buffers.sum_gradient = output,
        }
        GradientSums::total(&sums)
    }

    /// Back through the head, from `sum_gradient` to the images.
    fn head_gradients(
        &self,
        forward: &Forward,
        buffers: &Buffers,
        sums: &GradientSums,
        images_wanted: bool,
        gradient: &mut [f32],
    ) -> Option<Vec<f32>> {
        let head = &self.plan.units[0];
        let back = self.way_back(0, forward, &sums.gradients, &sums.products, gradient);
        let groups = Groups::of(self.batch);
        let planes = self.images.len() / self.batch;
        let (inputs, columns) = (head.convolution.inputs, head.input[1]);
        let mut output = vec![0.0; if images_wanted { self.images.len() } else { 0 }];
        let parts = groups.split(&mut output, planes);
        let run_group = |(group, (dimages, images)): (usize, (&mut [f32], &[f32]))| {
            let mut total = weight_sum(head);
            let (mut input, mut dz) = (bordered_input(head, None), bordered_gradient(head));
            let channels = inputs.next_multiple_of(LANES_MAX);
            let mut dx = vec![0.0; if images_wanted { head.input[0] * columns * channels } else { 0 }];
            let mut dimages = dimages.chunks_exact_mut(planes);
            for (index, images) in images.chunks_exact(planes).enumerate() {
                let at = group * groups.images + index;
                let pixels = input.inner();
                to_channels_last(images, inputs, columns, &mut input.values, pixels);
                let dy = image(&buffers.sum_gradient, at, head.values());
                self.norm_gradient(head, &back, dy, image(&buffers.z[0], at, head.values()), &mut dz);
                add_weight_gradient(self.isa, head, &input, &dz, &mut total);
                if let Some(dimage) = dimages.next() {
                    self.input_gradient(head, &back, &dz, &mut dx);
                    from_channels_last(&dx, Pixels::dense(head.input, channels), dimage, inputs, columns);
                }
            }
            total
        };
        let images = self.images.par_chunks(groups.images * planes);
        let weights: Vec<_> = parts.into_par_iter().zip(images).enumerate().map(run_group).collect();
        finish_weight_gradient(head, &weights, gradient);
        images_wanted.then_some(output)
    }
}

/// What takes a gradient back through a unit.
struct WayBack<'a> {
    norm: &'a Norm,
    coefficients: NormCoefficients,
    input: InputGradient,
}

/// A group's room for the way back through a skip's unit.
struct SkipScratch<'a> {
    place: usize,
    unit: &'a Unit,
    back: &'a WayBack<'a>,
    weight_sum: AlignedVec,
    dz: BorderedImages,
    dx: AlignedVec,
}

impl<'a> SkipScratch<'a> {
    fn new(place: usize, unit: &'a Unit, back: &'a WayBack<'a>, input_values: usize) -> Self {
        SkipScratch {
            place,
            unit,
            back,
            weight_sum: weight_sum(unit),
            dz: bordered_gradient(unit),
            dx: AlignedVec::zeros(input_values),
        }
    }
}
