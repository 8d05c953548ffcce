//! The forward pass with given statistics: each image goes through the whole network while it is in the cache.

use super::norm::Norm;
use super::pass::*;
use super::plan::Plan;
use crate::kernels::channels::{Activate, Function, Skip};
use crate::kernels::conv::{BorderedImages, Filter};
use crate::kernels::layout::to_channels_last;
use crate::kernels::{AlignedVec, Isa};
use rayon::prelude::*;

/// The logits `[N, classes]` of `images [N, C, H, W]`.
pub fn evaluate(
    plan: &Plan,
    isa: Isa,
    images: &[f32],
    batch: usize,
    parameters: &[f32],
    norms: &[Norm],
) -> Vec<f32> {
    let filters = filters(plan, parameters);
    let (groups, channels, planes) = (Groups::of(batch), plan.last().channels(), images.len() / batch);
    let mut features = vec![0.0; batch * channels];
    features
        .par_chunks_mut(groups.images * channels)
        .zip(images.par_chunks(groups.images * planes))
        .for_each(|(features, images)| {
            let mut scratch = Scratch::new(plan);
            for (features, image) in features.chunks_exact_mut(channels).zip(images.chunks_exact(planes)) {
                scratch.features(plan, isa, &filters, norms, image, features);
            }
        });
    classify(plan, parameters, &features)
}

/// One image's room in each unit.
struct Scratch {
    /// A unit's bordered input; the skip's unit reads that of its block's first.
    inputs: Vec<BorderedImages>,
    z: Vec<AlignedVec>,
    /// Each block's input, and the features before pooling.
    x: Vec<AlignedVec>,
}

impl Scratch {
    fn new(plan: &Plan) -> Self {
        let mut inputs: Vec<_> = plan.units.iter().map(|unit| bordered_input(unit, None)).collect();
        for block in &plan.blocks {
            let mapping = block.mapping.map(|unit| &plan.units[unit]);
            inputs[block.first] = bordered_input(&plan.units[block.first], mapping);
        }
        let source = |block| &plan.units[plan.source(block).0];
        Scratch {
            inputs,
            z: plan.units.iter().map(|unit| AlignedVec::zeros(unit.values())).collect(),
            x: (0..=plan.blocks.len()).map(|block| AlignedVec::zeros(source(block).values())).collect(),
        }
    }

    fn features(
        &mut self,
        plan: &Plan,
        isa: Isa,
        filters: &[Filter],
        norms: &[Norm],
        planes: &[f32],
        features: &mut [f32],
    ) {
        let Scratch { inputs, z, x } = self;
        let head = &plan.units[0];
        let pixels = inputs[0].inner();
        to_channels_last(planes, head.convolution.inputs, head.input[1], &mut inputs[0].values, pixels);
        convolve(isa, head, &filters[0], &inputs[0], &mut z[0]);
        for block in 0..=plan.blocks.len() {
            let (source, mapping) = plan.source(block);
            let (before, after) = x.split_at_mut(block);
            let skip = match (mapping, before.last()) {
                (Some(unit), _) => Skip::Mapped(&z[unit], norms[unit].affine()),
                (None, Some(x)) => Skip::Identity(x),
                (None, None) => Skip::None,
            };
            let padded = plan.blocks.get(block).map(|block| {
                let pixels = inputs[block.first].inner();
                (&mut *inputs[block.first].values, pixels)
            });
            isa.run(Activate {
                z: &z[source],
                norm: norms[source].affine(),
                skip,
                function: Function::Relu,
                columns: plan.units[source].output[1],
                dense: Some(&mut after[0]),
                padded,
            });
            let Some(block) = plan.blocks.get(block) else { break };
            for unit in [Some(block.first), block.mapping].into_iter().flatten() {
                convolve(isa, &plan.units[unit], &filters[unit], &inputs[block.first], &mut z[unit]);
            }
            let second = &plan.units[block.second];
            let pixels = inputs[block.second].inner();
            isa.run(Activate {
                z: &z[block.first],
                norm: norms[block.first].affine(),
                skip: Skip::None,
                function: Function::Relu,
                columns: second.input[1],
                dense: None,
                padded: Some((&mut inputs[block.second].values, pixels)),
            });
            convolve(isa, second, &filters[block.second], &inputs[block.second], &mut z[block.second]);
        }
        pool(&x[plan.blocks.len()], features);
    }
}
