//! The forward pass with given statistics: a few images at a time go through the whole network while they are in the cache.

use super::Step;
use super::batch::Groups;
use super::norm::Scaling;
use super::rows::parts;
use super::stage::{Prepared, input_room, together};
use super::workspace::Values;
use crate::graph::plan::{Plan, Work};
use base::Result;
use cpu_kernels::conv::BorderedImages;
use rayon::prelude::*;
use std::mem::take;
use std::sync::{Mutex, PoisonError};

/// What evaluations have in common: prepared weights, scales, and memory.
pub struct Evaluator {
    prepared: Vec<Prepared>,
    scalings: Vec<Scaling>,
    unit: Scaling,
    rooms: Mutex<Vec<Rooms>>,
}

/// The memory in which a few images go through the network.
struct Rooms {
    images: usize,
    threads: usize,
    /// Whether the image is the only one.
    alone: bool,
    values: Values,
    inputs: Vec<BorderedImages>,
}

impl Evaluator {
    /// Prepares the weights of a step's network for one evaluation.
    pub fn new(step: &Step, scalings: Vec<Scaling>) -> Self {
        Self::with(step, scalings, |stage| Prepared::new(step.plan, stage, step.parameters, 1))
    }

    /// Prepares the weights of a network that stays as it is.
    pub fn to_stay(step: &Step, scalings: Vec<Scaling>) -> Self {
        Self::with(step, scalings, |stage| Prepared::to_stay(step.plan, stage, step.parameters))
    }

    fn with(step: &Step, scalings: Vec<Scaling>, prepare: impl Fn(usize) -> Prepared + Sync) -> Self {
        let plan = step.plan;
        let prepared = (0..plan.stages.len()).into_par_iter().map(&prepare).collect();
        let (unit, rooms) = (Scaling::unit(step.most_lanes()), Mutex::default());
        Self { prepared, scalings, unit, rooms }
    }

    fn rooms(&self, plan: &Plan, images: usize, alone: bool) -> Rooms {
        let threads = rayon::current_num_threads();
        let mut kept = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        match kept
            .iter()
            .position(|rooms| (rooms.images, rooms.threads, rooms.alone) == (images, threads, alone))
        {
            Some(at) => kept.swap_remove(at),
            None => {
                // The parts of a single image have room of their own.
                let room = |stage| input_room(plan, stage, if alone { parts(plan, stage) } else { images });
                let inputs = (0..plan.stages.len()).map(room).collect();
                Rooms { images, threads, alone, values: Values::default(), inputs }
            }
        }
    }
}

impl Step<'_> {
    /// The output without padding.
    pub fn evaluate(self, evaluator: &Evaluator) -> Result<Vec<f32>> {
        let (plan, groups) = (self.plan, self.evaluation_groups());
        let bunch = self.bunch(groups.images);
        let Evaluator { prepared, scalings, unit, .. } = evaluator;
        let (planes, outputs) = (plan.images.elements(), plan.activations[plan.output].extent.elements());
        let mut output = vec![0.0; self.batch * outputs];
        let images = self.images.par_chunks(groups.images * planes);
        output.par_chunks_mut(groups.images * outputs).zip(images).try_for_each(|(output, images)| {
            let mut rooms = evaluator.rooms(plan, bunch, self.batch == 1);
            let (values, alone) = (&mut rooms.values, rooms.alone);
            for (output, images) in output.chunks_mut(bunch * outputs).zip(images.chunks(bunch * planes)) {
                let count = images.len() / planes;
                let step = Step { images, batch: count, ..self };
                values.fit(plan, count);
                for (prepared, room) in prepared.iter().zip(&mut rooms.inputs) {
                    step.evaluate_stage(prepared, scalings, unit, room, values, alone)?;
                }
                output.copy_from_slice(&step.output(&step.reader(scalings, unit, values), count));
            }
            evaluator.rooms.lock().unwrap_or_else(PoisonError::into_inner).push(rooms);
            Ok::<(), base::Error>(())
        })?;
        Ok(output)
    }

    fn evaluate_stage(
        &self,
        prepared: &Prepared,
        scalings: &[Scaling],
        unit: &Scaling,
        room: &mut BorderedImages,
        values: &mut Values,
        alone: bool,
    ) -> Result<()> {
        let (plan, at) = (self.plan, prepared.stage);
        let read = plan.stages[at].inputs[0];
        let writes = plan.activations[read].kept && plan.activations[read].consumers[0] == at;
        let mut z = take(&mut values.stages[at]);
        let mut kept = writes.then(|| take(&mut values.kept[read]));
        let reader = self.reader(scalings, unit, values);
        if !alone || !reader.run_in_rows(prepared, room, kept.as_deref_mut(), &mut z) {
            reader.run(prepared, self.candle_layer(at).as_ref(), 0, room, kept.as_deref_mut(), &mut z)?;
        }
        values.stages[at] = z;
        if let Some(kept) = kept {
            values.kept[read] = kept;
        }
        Ok(())
    }

    /// Each group reads all weights and writes all activations: the larger, the more of the latter have to stay in the cache.
    fn evaluation_groups(&self) -> Groups {
        let rows = Groups::of_free_rows(self.batch);
        let weight = |work: &Work| if let Work::Linear(weight) = work { weight.len() } else { 0 };
        let stages = &self.plan.stages;
        let weights: usize = stages.iter().map(|stage| weight(&stage.work)).sum();
        let values: usize = stages.iter().map(|stage| stage.output.values()).sum();
        if weights > rows.images * values { rows } else { Groups::of(self.batch, 0) }
    }

    /// How many images go through the network together: as many as the stage that wants the most, and whole groups where rows of
    /// them make a matrix.
    fn bunch(&self, group: usize) -> usize {
        let plan = self.plan;
        let of_stage = |stage: usize| match plan.stages[stage].work {
            Work::Linear(..) | Work::Candle => group,
            _ => together(plan, stage, group),
        };
        (0..plan.stages.len()).map(of_stage).max().unwrap_or(1)
    }
}
