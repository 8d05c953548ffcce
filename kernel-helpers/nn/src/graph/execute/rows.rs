//! One image whose rows are shared among the threads: nothing else is there to share where a user waits for one answer.

use super::load::{Kept, Reader, Target};
use super::stage::{Prepared, Weight, with_padding};
use crate::graph::plan::{Plan, Stage, Work};
use cpu_kernels::conv::{BorderedImages, Convolution, Pixels};
use rayon::prelude::*;
use std::ops::Range;

/// The fewest multiplications that are worth waking a thread for.
const MULTIPLICATIONS: usize = 500_000;

/// How many threads share the rows of a stage's only image.
pub fn parts(plan: &Plan, stage: usize) -> usize {
    let stage = &plan.stages[stage];
    let Work::Conv(_, weight) = &stage.work else { return 1 };
    let worth = weight.len() * stage.output.pixels() / MULTIPLICATIONS;
    let parts = rayon::current_num_threads().min(worth).max(1);
    // All of them have rows.
    stage.output.size[0].div_ceil(share(stage.output.size[0], parts))
}

/// How many rows a part has: an even number, as two rows of outputs are computed together.
fn share(rows: usize, parts: usize) -> usize {
    rows.div_ceil(parts).next_multiple_of(2)
}

/// What a part computes.
struct Part<'a> {
    rows: Range<usize>,
    /// Room for the whole input; the part fills what it reads.
    input: &'a mut [f32],
    /// The rows of the input that are this part's to write down, and where, if they are to be written.
    own: Range<usize>,
    kept: Option<&'a mut [f32]>,
    z: &'a mut [f32],
}

impl Reader<'_> {
    /// Computes a convolution for the only image, in as many parts as `input` has room for, with the bits of
    /// [`Reader::run`]; says whether it did.
    pub fn run_in_rows(
        &self,
        prepared: &Prepared,
        input: &mut BorderedImages,
        kept: Option<&mut [f32]>,
        z: &mut [f32],
    ) -> bool {
        let stage = &self.plan.stages[prepared.stage];
        let (Work::Conv(convolution, _), Weight::Filter(filter)) = (&stage.work, &prepared.weight) else {
            return false;
        };
        let (inner, padded) = (input.inner(), with_padding(convolution, input));
        if input.values.len() < 2 * inner.image {
            return false;
        }
        let output = Pixels::dense(stage.output.size, stage.output.lanes());
        let read = stage.inputs[0];
        self.split(stage, convolution, input, kept, z).into_par_iter().for_each(|mut part| {
            self.load_part(read, convolution, inner, &mut part);
            filter.run_rows(self.isa, part.rows, (part.input, padded), (part.z, output));
        });
        true
    }

    fn split<'a>(
        &self,
        stage: &Stage,
        convolution: &Convolution,
        input: &'a mut BorderedImages,
        mut kept: Option<&'a mut [f32]>,
        z: &'a mut [f32],
    ) -> Vec<Part<'a>> {
        let image = input.inner().image;
        let inputs = input.values.chunks_exact_mut(image);
        let count = inputs.len();
        let [rows, columns] = stage.output.size;
        let share = share(rows, count);
        let read = self.plan.activations[stage.inputs[0]].extent;
        let zs = z.chunks_mut(share * columns * stage.output.lanes());
        let mut parts = Vec::with_capacity(count);
        for (at, (input, z)) in inputs.zip(zs).enumerate() {
            let rows = at * share..rows.min((at + 1) * share);
            let end = if at + 1 == count { read.size[0] } else { rows.end * convolution.stride };
            let own = rows.start * convolution.stride..end;
            let (mine, others) =
                kept.take().map(|all| all.split_at_mut(own.len() * read.size[1] * read.lanes())).unzip();
            kept = others;
            parts.push(Part { rows, input, own, kept: mine, z });
        }
        parts
    }

    /// Brings the rows that a part reads to its room; `inner` is the layout of an image there.
    fn load_part(&self, activation: usize, convolution: &Convolution, inner: Pixels, part: &mut Part) {
        let values = &mut *part.input;
        if self.reads_images(activation) {
            return self.load(activation, 0, Target { kept: Kept::Before, values, pixels: inner });
        }
        let Convolution { kernel, stride, padding, .. } = *convolution;
        let rows = self.plan.activations[activation].extent.size[0];
        let reads = (part.rows.start * stride).saturating_sub(padding)
            ..rows.min(((part.rows.end - 1) * stride + kernel).saturating_sub(padding));
        let mut load = |rows: Range<usize>, kept: Kept| {
            let pixels = inner.shifted(rows.start, 0);
            self.load_rows(activation, 0, rows, Target { kept, values: &mut *values, pixels });
        };
        let own = part.own.clone();
        match part.kept.take() {
            None => load(reads, Kept::Before),
            Some(kept) => {
                load(reads.start..own.start, Kept::Elsewhere);
                load(own.clone(), Kept::Here(kept));
                load(own.end..reads.end.max(own.end), Kept::Elsewhere);
            }
        }
    }
}
