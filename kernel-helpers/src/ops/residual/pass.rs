//! What the forward and the backward pass share: how the batch is split, and one image's convolutions.

use super::plan::{Plan, Unit};
use crate::kernels::conv::{BorderedImages, Filter, ImagesAndGradients, Pixels};
use crate::kernels::{AlignedVec, Isa, images_per_group};
use rayon::prelude::*;

/// How a batch is split into groups of images.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    pub images: usize,
    pub count: usize,
}

impl Groups {
    pub fn of(batch: usize) -> Self {
        let images = images_per_group(batch);
        Groups { images, count: batch.div_ceil(images) }
    }

    /// The groups' parts of a buffer with `image` values an image; empty parts of an empty buffer.
    pub fn split<'a>(&self, buffer: &'a mut [f32], image: usize) -> Vec<&'a mut [f32]> {
        let mut parts: Vec<_> = buffer.chunks_mut(self.images * image).collect();
        parts.resize_with(self.count, Default::default);
        parts
    }
}

/// The part of a dense batch that image `at` takes.
pub fn image(batch: &[f32], at: usize, values: usize) -> &[f32] {
    &batch[at * values..][..values]
}

/// A bordered image that the unit's convolution can read, and that of a skip beside it.
pub fn bordered_input(unit: &Unit, mapping: Option<&Unit>) -> BorderedImages {
    let padding = mapping.map_or(0, |unit| unit.convolution.padding).max(unit.convolution.padding);
    let size = unit.input.map(|extent| extent + 2 * padding);
    BorderedImages::new(1, size, unit.convolution.inputs, padding)
}

/// A bordered image for the gradient at the unit's output.
pub fn bordered_gradient(unit: &Unit) -> BorderedImages {
    let convolution = &unit.convolution;
    BorderedImages::new(
        1,
        convolution.gradient_size(unit.input),
        unit.channels(),
        convolution.gradient_border(),
    )
}

/// Copies a dense image between the borders.
pub fn copy_into(x: &[f32], columns: usize, bordered: &mut BorderedImages) {
    let pixels = bordered.inner();
    let row = columns * pixels.pixel;
    for (y, x) in x.chunks_exact(row).enumerate() {
        bordered.values[pixels.start + y * pixels.row..][..row].copy_from_slice(x);
    }
}

/// `z`, the unit's convolution of an image.
pub fn convolve(isa: Isa, unit: &Unit, filter: &Filter, input: &BorderedImages, z: &mut [f32]) {
    let output_pixels = Pixels::dense(unit.output, unit.channels());
    filter.run(isa, 1, &input.values, input.with_border(unit.convolution.padding), z, output_pixels);
}

/// Adds an image's gradient by the unit's weight to `sum`.
pub fn add_weight_gradient(
    isa: Isa,
    unit: &Unit,
    input: &BorderedImages,
    dz: &BorderedImages,
    sum: &mut [f32],
) {
    let image = ImagesAndGradients {
        count: 1,
        input: &input.values,
        input_pixels: input.with_border(unit.convolution.padding),
        gradient: &dz.values,
        gradient_pixels: dz.inner(),
    };
    unit.convolution.add_weight_gradient(isa, image, unit.output, sum);
}

/// Zeros for the sum of a group's gradients by the unit's weight.
pub fn weight_sum(unit: &Unit) -> AlignedVec {
    AlignedVec::zeros(unit.convolution.weight_sum_size(unit.output))
}

/// Adds the sum of the groups' weight gradients, in the groups' order, to the packed parameters' gradient.
pub fn finish_weight_gradient(unit: &Unit, partial_sums: &[AlignedVec], gradient: &mut [f32]) {
    let mut total = weight_sum(unit);
    total.par_chunks_mut(1024).enumerate().for_each(|(at, total)| {
        for partial in partial_sums {
            for (total, partial) in total.iter_mut().zip(&partial[at * 1024..]) {
                *total += partial;
            }
        }
    });
    unit.convolution.finish_weight_sum(&total, unit.output, &mut gradient[unit.weight.clone()]);
}

/// The weights of all units, prepared.
pub fn filters(plan: &Plan, parameters: &[f32]) -> Vec<Filter> {
    let filter = |unit: &Unit| unit.convolution.filter(&parameters[unit.weight.clone()], unit.input);
    plan.units.par_iter().map(filter).collect()
}

/// The mean over each channel's pixels: `x` of `pixels` pixels to `features`.
pub fn pool(x: &[f32], features: &mut [f32]) {
    let pixels = x.len() / features.len();
    features.fill(0.0);
    for pixel in x.chunks_exact(features.len()) {
        for (feature, value) in features.iter_mut().zip(pixel) {
            *feature += value;
        }
    }
    for feature in features {
        *feature /= pixels as f32;
    }
}

/// `features [N, I]` through the classifier: `[N, classes]`.
pub fn classify(plan: &Plan, parameters: &[f32], features: &[f32]) -> Vec<f32> {
    let (weight, bias) = (&parameters[plan.fc_weight.clone()], &parameters[plan.fc_bias.clone()]);
    let inputs = plan.last().channels();
    let logits = features.chunks_exact(inputs).flat_map(|features| {
        weight.chunks_exact(inputs).zip(bias).map(move |(weight, bias)| {
            bias + features.iter().zip(weight).map(|(feature, weight)| feature * weight).sum::<f32>()
        })
    });
    logits.collect()
}
