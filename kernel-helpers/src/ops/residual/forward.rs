//! The forward pass in training. Each unit is one pass over the batch, since its batch norm needs all of its output.

use super::norm::Norm;
use super::pass::*;
use super::plan::{Plan, Unit};
use super::workspace::Buffers;
use crate::kernels::Isa;
use crate::kernels::channels::{Activate, Function, ShiftedSums, Skip};
use crate::kernels::conv::{BorderedImages, Filter};
use crate::kernels::layout::to_channels_last;
use crate::ops::statistics::Moments;
use rayon::prelude::*;
use std::mem::take;

/// What the backward pass needs beside the buffers.
#[derive(Debug)]
pub struct Forward {
    pub logits: Vec<f32>,
    /// The pooled features, `[N, C]`.
    pub features: Vec<f32>,
    /// One per unit.
    pub norms: Vec<Norm>,
}

/// The arguments of the forward pass.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    pub plan: &'a Plan,
    pub isa: Isa,
    pub batch: usize,
    /// `[N, C, H, W]`.
    pub images: &'a [f32],
    pub parameters: &'a [f32],
    pub eps: f64,
}

impl Step<'_> {
    pub fn forward(self, buffers: &mut Buffers) -> Forward {
        let plan = self.plan;
        let filters = filters(plan, self.parameters);
        let mut norms = vec![Norm::default(); plan.units.len()];
        let moments = self.head(&filters[0], &mut buffers.z[0]);
        norms[0] = self.norm(0, moments);
        for (at, block) in plan.blocks.iter().enumerate() {
            let (first, mapping) = self.block_input(at, &filters, &norms, buffers);
            norms[block.first] = self.norm(block.first, first);
            if let Some(unit) = block.mapping {
                norms[unit] = self.norm(unit, mapping);
            }
            let second = self.block_second(at, &filters[block.second], &norms[block.first], buffers);
            norms[block.second] = self.norm(block.second, second);
        }
        let features = self.features(&norms, buffers);
        Forward { logits: classify(plan, self.parameters, &features), features, norms }
    }

    fn norm(&self, unit: usize, groups: Vec<Vec<Moments>>) -> Norm {
        Norm::of_batch(&self.plan.units[unit], self.parameters, groups, self.eps)
    }

    /// The head's convolution of the images into `z`, and the moments of each group.
    fn head(&self, filter: &Filter, z: &mut [f32]) -> Vec<Vec<Moments>> {
        let head = &self.plan.units[0];
        let groups = Groups::of(self.batch);
        let image = self.images.len() / self.batch;
        let convolve_group = |(z, images): (&mut [f32], &[f32])| {
            let mut input = bordered_input(head, None);
            let pixels = input.inner();
            let mut sums = GroupMoments::new(head);
            for (z, planes) in z.chunks_exact_mut(head.values()).zip(images.chunks_exact(image)) {
                to_channels_last(planes, head.convolution.inputs, head.input[1], &mut input.values, pixels);
                convolve(self.isa, head, filter, &input, z);
                sums.add(self.isa, z);
            }
            sums.finish()
        };
        let images = self.images.par_chunks(groups.images * image);
        z.par_chunks_mut(groups.images * head.values()).zip(images).map(convolve_group).collect()
    }

    /// The skip of image `at` into the input of block `block`.
    fn skip<'a>(&self, block: usize, at: usize, norms: &'a [Norm], buffers: &'a Buffers) -> Skip<'a> {
        let (source, mapping) = self.plan.source(block);
        let values = self.plan.units[source].values();
        match mapping {
            Some(unit) => Skip::Mapped(image(&buffers.z[unit], at, values), norms[unit].affine()),
            None if block > 0 => Skip::Identity(image(&buffers.x[block - 1], at, values)),
            None => Skip::None,
        }
    }

    /// Ends the block before (its normalization, sum and ReLU) in this block's input, and convolves that with the first
    /// unit and with the skip's. Returns the moments of both.
    fn block_input(
        &self,
        at: usize,
        filters: &[Filter],
        norms: &[Norm],
        buffers: &mut Buffers,
    ) -> (Vec<Vec<Moments>>, Vec<Vec<Moments>>) {
        let plan = self.plan;
        let block = plan.blocks[at];
        let (source, first) = (plan.source(at).0, &plan.units[block.first]);
        let mapping = block.mapping.map(|unit| (&plan.units[unit], &filters[unit]));
        let values = plan.units[source].values();
        let groups = Groups::of(self.batch);
        let (mut x, mut z) = (take(&mut buffers.x[at]), take(&mut buffers.z[block.first]));
        let mut mapped = block.mapping.map(|unit| take(&mut buffers.z[unit])).unwrap_or_default();
        let parts: Vec<_> = groups
            .split(&mut x, values)
            .into_iter()
            .zip(groups.split(&mut z, first.values()))
            .zip(groups.split(&mut mapped, mapping.map_or(1, |(unit, _)| unit.values())))
            .collect();
        let moments = parts.into_par_iter().enumerate().map(|(group, ((x, z), mapped))| {
            let mut input = bordered_input(first, mapping.map(|(unit, _)| unit));
            let pixels = input.inner();
            let mut sums = (GroupMoments::new(first), mapping.map(|(unit, _)| GroupMoments::new(unit)));
            for (index, (x, z)) in
                x.chunks_exact_mut(values).zip(z.chunks_exact_mut(first.values())).enumerate()
            {
                let image_at = group * groups.images + index;
                self.isa.run(Activate {
                    z: image(&buffers.z[source], image_at, values),
                    norm: norms[source].affine(),
                    skip: self.skip(at, image_at, norms, buffers),
                    function: Function::Relu,
                    columns: first.input[1],
                    dense: Some(x),
                    padded: Some((&mut input.values, pixels)),
                });
                convolve(self.isa, first, &filters[block.first], &input, z);
                sums.0.add(self.isa, z);
                if let (Some((unit, filter)), Some(sums)) = (mapping, &mut sums.1) {
                    let mapped = &mut mapped[index * unit.values()..][..unit.values()];
                    convolve(self.isa, unit, filter, &input, mapped);
                    sums.add(self.isa, mapped);
                }
            }
            (sums.0.finish(), sums.1.map(GroupMoments::finish).unwrap_or_default())
        });
        let moments = moments.unzip();
        (buffers.x[at], buffers.z[block.first]) = (x, z);
        if let Some(unit) = block.mapping {
            buffers.z[unit] = mapped;
        }
        moments
    }

    /// The block's second convolution, of its first one's output normalized and rectified on the way.
    fn block_second(
        &self,
        at: usize,
        filter: &Filter,
        norm: &Norm,
        buffers: &mut Buffers,
    ) -> Vec<Vec<Moments>> {
        let block = self.plan.blocks[at];
        let (first, second) = (&self.plan.units[block.first], &self.plan.units[block.second]);
        let groups = Groups::of(self.batch);
        let mut z = take(&mut buffers.z[block.second]);
        let before = buffers.z[block.first].par_chunks(groups.images * first.values());
        let convolve_group = |(z, before): (&mut [f32], &[f32])| {
            let mut input = bordered_input(second, None);
            let mut sums = GroupMoments::new(second);
            for (z, before) in z.chunks_exact_mut(second.values()).zip(before.chunks_exact(first.values())) {
                self.activate(norm, before, second.input[1], &mut input);
                convolve(self.isa, second, filter, &input, z);
                sums.add(self.isa, z);
            }
            sums.finish()
        };
        let moments =
            z.par_chunks_mut(groups.images * second.values()).zip(before).map(convolve_group).collect();
        buffers.z[block.second] = z;
        moments
    }

    /// `max(norm(z), 0)` of an image, between the borders of `output`.
    pub fn activate(&self, norm: &Norm, z: &[f32], columns: usize, output: &mut BorderedImages) {
        let pixels = output.inner();
        let padded = Some((&mut *output.values, pixels));
        self.isa.run(Activate {
            z,
            norm: norm.affine(),
            skip: Skip::None,
            function: Function::Relu,
            columns,
            dense: None,
            padded,
        });
    }

    /// The last block's output and its mean over the pixels.
    fn features(&self, norms: &[Norm], buffers: &mut Buffers) -> Vec<f32> {
        let blocks = self.plan.blocks.len();
        let (source, last) = (self.plan.source(blocks).0, self.plan.last());
        let mut x = take(&mut buffers.x[blocks]);
        let mut features = vec![0.0; self.batch * last.channels()];
        x.par_chunks_mut(last.values()).zip(features.par_chunks_mut(last.channels())).enumerate().for_each(
            |(at, (x, features))| {
                self.isa.run(Activate {
                    z: image(&buffers.z[source], at, last.values()),
                    norm: norms[source].affine(),
                    skip: self.skip(blocks, at, norms, buffers),
                    function: Function::Relu,
                    columns: last.output[1],
                    dense: Some(x),
                    padded: None,
                });
                pool(x, features);
            },
        );
        buffers.x[blocks] = x;
        features
    }
}

/// Sums a unit's output over a group of images, around the first pixel of the first image.
struct GroupMoments {
    center: Vec<f32>,
    sums: [Vec<f64>; 2],
    count: usize,
}

impl GroupMoments {
    fn new(unit: &Unit) -> Self {
        let zeros = vec![0.0; unit.channels()];
        GroupMoments { center: Vec::new(), sums: [zeros.clone(), zeros], count: 0 }
    }

    fn add(&mut self, isa: Isa, z: &[f32]) {
        let channels = self.sums[0].len();
        if self.count == 0 {
            self.center = z[..channels].to_vec();
        }
        let [sums, squares] = &mut self.sums;
        isa.run(ShiftedSums { z, center: &self.center, sums: [sums, squares] });
        self.count += z.len() / channels;
    }

    fn finish(self) -> Vec<Moments> {
        let [sums, squares] = self.sums;
        let of_channel = |((center, sum), squares): ((f32, f64), f64)| {
            let (count, offset) = (self.count as f64, sum / self.count as f64);
            Moments { count, mean: f64::from(center) + offset, deviations: (squares - sum * offset).max(0.0) }
        };
        self.center.into_iter().zip(sums).zip(squares).map(of_channel).collect()
    }
}
