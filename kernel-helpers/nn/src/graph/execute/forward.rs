//! The forward pass in training. Each stage is one pass over the batch, since a batch norm needs all of its output.

use super::Step;
use super::batch::{Groups, image};
use super::load::{Kept, Reader, Target};
use super::norm::{GroupMoments, Scaling};
use super::stage::{Prepared, input_room};
use super::workspace::{Buffers, Values};
use crate::graph::plan::Work;
use crate::ops::Moments;
use base::Result;
use cpu_kernels::AlignedVec;
use cpu_kernels::conv::Pixels;
use cpu_kernels::layout::from_channels_last;
use rayon::prelude::*;

/// What the backward pass needs beside the buffers.
#[derive(Debug)]
pub struct Forward {
    /// Without padding, as a tensor has it.
    pub output: Vec<f32>,
    /// One for each of the plan's affines.
    pub scalings: Vec<Scaling>,
    pub unit: Scaling,
}

impl<'a> Step<'a> {
    pub fn forward(self, buffers: &mut Buffers) -> Result<Forward> {
        let plan = self.plan;
        let mut scalings: Vec<Scaling> = plan
            .affines
            .iter()
            .map(|affine| match affine.norm {
                Some(_) => Scaling::default(),
                None => Scaling::bias(affine, self.parameters),
            })
            .collect();
        let unit = Scaling::unit(self.most_lanes());
        buffers.begin(plan, self.batch);
        let prepare = |at| Prepared::new(plan, at, self.parameters, self.groups(at).images);
        let prepared: Vec<Prepared> = (0..plan.stages.len()).into_par_iter().map(prepare).collect();
        for (stage, prepared) in plan.stages.iter().zip(&prepared) {
            let moments = self.stage(prepared, &scalings, &unit, buffers)?;
            if let Some(affine) = stage.moments {
                scalings[affine] = Scaling::of_batch(&plan.affines[affine], self.parameters, moments);
            }
        }
        let output = self.output(&self.reader(&scalings, &unit, &buffers.values), self.batch);
        Ok(Forward { output, scalings, unit })
    }

    pub fn reader<'b>(&self, scalings: &'b [Scaling], unit: &'b Scaling, values: &'b Values) -> Reader<'b>
    where
        'a: 'b,
    {
        Reader { plan: self.plan, isa: self.isa, images: self.images, scalings, unit, values }
    }

    /// How the batch is split for a stage.
    pub fn groups(&self, stage: usize) -> Groups {
        let output = self.plan.stages[stage].output;
        let sum = match &self.plan.stages[stage].work {
            Work::Conv(convolution, _) => convolution.weight_sum_size(output.size),
            Work::Linear(..) => {
                return match self.plan.stages[stage].moments {
                    Some(_) => Groups::of_rows(self.batch),
                    None => Groups::of_free_rows(self.batch),
                };
            }
            // Candle's layers see the whole batch.
            Work::Candle => return Groups { images: self.batch, count: 1 },
            _ => 0,
        };
        Groups::of(self.batch, sum)
    }

    /// Computes a stage, and the moments of its output by group.
    fn stage(
        &self,
        prepared: &Prepared,
        scalings: &[Scaling],
        unit: &Scaling,
        Buffers { values, arena }: &mut Buffers,
    ) -> Result<Vec<Vec<Moments>>> {
        let (at, stage) = (prepared.stage, &self.plan.stages[prepared.stage]);
        let read = stage.inputs[0];
        let activation = &self.plan.activations[read];
        let writes = activation.kept && activation.consumers[0] == at;
        let groups = self.groups(at);
        let candle = self.candle_layer(at);
        let (z_image, kept_image) = (stage.output.values(), activation.extent.values());
        let mut z = arena.take(self.batch * z_image);
        let mut kept = arena.take(if writes { self.batch * kept_image } else { 0 });
        let parts = groups.split(&mut z, z_image).into_iter().zip(groups.split(&mut kept, kept_image));
        let reader = self.reader(scalings, unit, values);
        let run_group = |(group, (z, kept)): (usize, (&mut [f32], &mut [f32]))| {
            let mut input = input_room(self.plan, at, prepared.together);
            let mut moments = stage.moments.map(|_| GroupMoments::new(&stage.output));
            let mut kept = kept.chunks_mut(prepared.together * kept_image);
            for (bunch, z) in z.chunks_mut(prepared.together * z_image).enumerate() {
                let first = group * groups.images + bunch * prepared.together;
                reader.run(prepared, candle.as_ref(), first, &mut input, kept.next(), z)?;
                if let Some(moments) = &mut moments {
                    moments.add(self.isa, z);
                }
            }
            Ok(moments.map(GroupMoments::finish).unwrap_or_default())
        };
        let moments = parts.collect::<Vec<_>>().into_par_iter().enumerate().map(run_group).collect();
        values.stages[at] = z;
        if writes {
            values.kept[read] = kept;
        }
        moments
    }

    /// The network's output for the first `count` images, without padding.
    pub fn output(&self, reader: &Reader, count: usize) -> Vec<f32> {
        let extent = self.plan.activations[self.plan.output].extent;
        let pixels = Pixels::dense(extent.size, extent.lanes());
        let mut room = AlignedVec::zeros(extent.values());
        let mut output = vec![0.0; count * extent.elements()];
        for (at, planes) in output.chunks_exact_mut(extent.elements()).enumerate() {
            reader.load(self.plan.output, at, Target { kept: Kept::Before, values: &mut room, pixels });
            from_channels_last(
                image(&room, 0, extent.values()),
                pixels,
                planes,
                extent.channels,
                extent.size[1],
            );
        }
        output
    }
}
