//! One image whose rows are shared among the threads: nothing else is there to share where a user waits for one answer.

use super::load::{Reader, Target};
use super::stage::{Prepared, Weight, with_padding};
use crate::graph::plan::Work;
use cpu_kernels::conv::{BorderedImages, Pixels};
use rayon::prelude::*;

/// The fewest multiplications that are worth waking a thread for.
const MULTIPLICATIONS: usize = 500_000;

impl Reader<'_> {
    /// Computes a convolution for the only image, by all threads, with the bits of [`Reader::run`]; says whether it did.
    pub fn run_in_rows(
        &self,
        prepared: &Prepared,
        input: &mut BorderedImages,
        kept: Option<&mut [f32]>,
        z: &mut [f32],
    ) -> bool {
        let stage = &self.plan.stages[prepared.stage];
        let (Work::Conv(convolution, weight), Weight::Filter(filter)) = (&stage.work, &prepared.weight)
        else {
            return false;
        };
        let parts = rayon::current_num_threads().min(weight.len() * stage.output.pixels() / MULTIPLICATIONS);
        if parts < 2 {
            return false;
        }
        let [rows, columns] = stage.output.size;
        let lanes = stage.output.lanes();
        let output = Pixels::dense([rows, columns], lanes);
        self.load_in_rows(stage.inputs[0], parts, input, kept);
        let (share, pixels) = (share(rows, parts), with_padding(convolution, input));
        let (input, isa) = (&*input.values, self.isa);
        z.par_chunks_mut(share * columns * lanes).enumerate().for_each(|(part, z)| {
            let rows = part * share..rows.min((part + 1) * share);
            filter.run_rows(isa, rows, (input, pixels), (z, output));
        });
        true
    }

    fn load_in_rows(
        &self,
        activation: usize,
        parts: usize,
        input: &mut BorderedImages,
        kept: Option<&mut [f32]>,
    ) {
        let extent = self.plan.activations[activation].extent;
        let [rows, columns] = extent.size;
        if self.reads_images(activation) {
            let pixels = input.inner();
            return self.load(activation, 0, Target { kept, values: &mut input.values, pixels });
        }
        let share = share(rows, parts);
        let count = rows.div_ceil(share);
        let kept: Vec<Option<&mut [f32]>> = match kept {
            Some(kept) => kept.chunks_mut(share * columns * extent.lanes()).map(Some).collect(),
            None => (0..count).map(|_| None).collect(),
        };
        let parts: Vec<_> = input.parts(share).zip(kept).collect();
        parts.into_par_iter().enumerate().for_each(|(part, ((values, pixels), kept))| {
            let rows = part * share..rows.min((part + 1) * share);
            self.load_rows(activation, 0, rows, Target { kept, values, pixels });
        });
    }
}

/// How many rows a part has: an even number, as two rows of outputs are computed together.
fn share(rows: usize, parts: usize) -> usize {
    rows.div_ceil(parts).next_multiple_of(2)
}
