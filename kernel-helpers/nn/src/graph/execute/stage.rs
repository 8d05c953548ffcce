//! One stage on some images, in training and in evaluation.

use super::batch::image;
use super::candle::CandleLayer;
use super::classify::Classifier;
use super::load::{Reader, between_borders};
use super::parts::Parts;
use crate::graph::plan::{Extent, Plan, Stage, Work};
use base::Result;
use cpu_kernels::conv::{BorderedImages, Convolution, Filter, Matrix, Pixels};
use rayon::prelude::*;

/// A stage with its weight prepared.
pub struct Prepared {
    pub stage: usize,
    /// How many images are taken at a time.
    pub together: usize,
    pub weight: Weight,
}

pub enum Weight {
    None,
    Filter(Filter),
    Rows(Matrix),
    Classifier(Classifier),
}

impl Prepared {
    /// Prepares a stage for at most so many images at a time.
    pub fn new(plan: &Plan, stage: usize, parameters: &Parts<&[f32]>, most: usize) -> Self {
        Self::with(plan, stage, parameters, most, Convolution::filter)
    }

    /// The same for weights that stay, from one image at a time on: blocks of zeros are left out where that is faster.
    pub fn to_stay(plan: &Plan, stage: usize, parameters: &Parts<&[f32]>) -> Self {
        Self::with(plan, stage, parameters, 1, Convolution::filter_of_blocks)
    }

    fn with(
        plan: &Plan,
        stage: usize,
        parameters: &Parts<&[f32]>,
        most: usize,
        filter: fn(&Convolution, &[f32], [usize; 2]) -> Filter,
    ) -> Self {
        let Stage { work, inputs, .. } = &plan.stages[stage];
        let input = plan.activations[inputs[0]].extent;
        let weight = match work {
            Work::Conv(convolution, weight) => {
                Weight::Filter(filter(convolution, &parameters[weight.clone()], input.size))
            }
            Work::Linear(weight) => Weight::Rows(matrix(&parameters[weight.clone()], input.channels)),
            Work::Classify { weight, bias } => Weight::Classifier(Classifier::new(
                &parameters[weight.clone()],
                bias.clone().map(|bias| &parameters[bias]),
                input.channels,
            )),
            _ => Weight::None,
        };
        Self { stage, together: together(plan, stage, most), weight }
    }
}

/// A linear layer's weight `[O, I]`, packed by all threads.
fn matrix(weight: &[f32], inputs: usize) -> Matrix {
    let mut matrix = Matrix::zeros(weight.len() / inputs, inputs);
    let panels: Vec<_> = matrix.panels(weight).collect();
    panels.into_par_iter().for_each(|(panel, rows)| Matrix::pack_rows(panel, rows, inputs));
    matrix
}

/// How many images a stage best takes at a time, of at most so many.
pub fn together(plan: &Plan, stage: usize, most: usize) -> usize {
    let Stage { work, inputs, .. } = &plan.stages[stage];
    match work {
        Work::Conv(convolution, _) => {
            convolution.images_together(plan.activations[inputs[0]].extent.size).min(most)
        }
        Work::Linear(..) | Work::Candle => most,
        _ => 1,
    }
}

/// Room for a stage's input.
pub fn input_room(plan: &Plan, stage: usize, images: usize) -> BorderedImages {
    let Stage { work, inputs, .. } = &plan.stages[stage];
    let input = &plan.activations[inputs[0]];
    let (extent, of_images) = (input.extent, reads_images(plan, stage));
    match work {
        Work::Conv(convolution, _) => {
            // The kernels take images of any number of channels; what a stage has written has its padding.
            let channels = if of_images { convolution.pixel_channels() } else { extent.lanes() };
            BorderedImages::new(images, convolution.padded_size(extent.size), channels, convolution.padding)
        }
        _ => BorderedImages::new(images, extent.size, extent.lanes(), 0),
    }
}

/// Whether a stage reads the network's images.
pub fn reads_images(plan: &Plan, stage: usize) -> bool {
    let input = &plan.activations[plan.stages[stage].inputs[0]];
    input.terms[0].origin == crate::graph::plan::Origin::Images
}

/// The convolution's layout of its input, from the zeros around it on.
pub fn with_padding(convolution: &Convolution, input: &BorderedImages) -> Pixels {
    input.with_border(convolution.padding)
}

impl Reader<'_> {
    /// Computes a stage for the images from `first` on, as many as `z` has room for. `kept` is room for the values of its input,
    /// if it is the one to write them.
    ///
    /// # Errors
    /// If a layer that candle computes fails.
    pub fn run(
        &self,
        prepared: &Prepared,
        candle: Option<&CandleLayer>,
        first: usize,
        input: &mut BorderedImages,
        mut kept: Option<&mut [f32]>,
        z: &mut [f32],
    ) -> Result<()> {
        let stage = &self.plan.stages[prepared.stage];
        let count = z.len() / stage.output.values();
        if let Some(layer) = candle {
            return layer.forward(self, first, count, kept, z);
        }
        let read = stage.inputs[0];
        let values = self.plan.activations[read].extent.values();
        for at in 0..count {
            let kept = kept.as_deref_mut().map(|kept| &mut kept[at * values..][..values]);
            self.load(read, first + at, between_borders(input, at, kept));
        }
        match (&stage.work, &prepared.weight) {
            (Work::Conv(convolution, _), Weight::Filter(filter)) => {
                let pixels = with_padding(convolution, input);
                let output = Pixels::dense(stage.output.size, stage.output.lanes());
                filter.run(self.isa, count, &input.values, pixels, z, output);
            }
            (Work::Linear(..), Weight::Rows(matrix)) => matrix.run(self.isa, count, &input.values, z),
            (Work::Classify { .. }, Weight::Classifier(classifier)) => {
                classifier.run(&input.values, values, z);
            }
            _ => {
                let outputs = z.chunks_exact_mut(stage.output.values()).enumerate();
                outputs.for_each(|(at, z)| self.pass(stage, image(&input.values, at, values), z));
            }
        }
        Ok(())
    }

    /// A stage without a weight, for one image.
    fn pass(&self, stage: &Stage, x: &[f32], z: &mut [f32]) {
        let extent = self.plan.activations[stage.inputs[0]].extent;
        match &stage.work {
            Work::Pool(kind, pool) => pool.forward(self.isa, *kind, x, extent.size, extent.lanes(), z),
            Work::GlobalAveragePool => average(x, z),
            Work::Flatten => flatten(&extent, x, z),
            _ => z.copy_from_slice(x),
        }
    }
}

/// The mean over each channel's pixels.
pub fn average(x: &[f32], features: &mut [f32]) {
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

/// Channels last to channel after channel.
fn flatten(extent: &Extent, x: &[f32], z: &mut [f32]) {
    let pixels = extent.pixels();
    for (pixel, x) in x.chunks_exact(extent.lanes()).enumerate() {
        for (channel, value) in x[..extent.channels].iter().enumerate() {
            z[channel * pixels + pixel] = *value;
        }
    }
    z[extent.elements()..].fill(0.0);
}
