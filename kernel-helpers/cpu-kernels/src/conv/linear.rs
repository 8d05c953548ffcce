//! A linear layer's products over the rows of a batch, each row an image's features, padded to a multiple of 16.

use super::{BlockProduct, PackedWeight};
use crate::simd::{Kernel, Simd};
use crate::{Isa, LANES_MAX};
use std::ops::Range;

/// A matrix that rows are multiplied with.
#[derive(Clone, Debug)]
pub struct Matrix(PackedWeight);

impl Matrix {
    /// From rows of inputs to rows of outputs, to be packed.
    pub fn zeros(outputs: usize, inputs: usize) -> Self {
        Self(PackedWeight::of_matrix(outputs, inputs))
    }

    /// The panels of a matrix, and the rows of `weight [O, I]` that belong into each.
    pub fn panels<'a>(&'a mut self, weight: &'a [f32]) -> impl Iterator<Item = (&'a mut [f32], &'a [f32])> {
        let size = self.0.panel * self.0.inputs;
        self.0.data.chunks_exact_mut(size).zip(weight.chunks(size))
    }

    /// Packs the rows that belong into a panel.
    pub fn pack_rows(panel: &mut [f32], rows: &[f32], inputs: usize) {
        /// Inputs whose lines of the panel stay in the cache from output to output.
        const TOGETHER: usize = 32;
        let width = panel.len() / inputs;
        for (part, panel) in panel.chunks_mut(TOGETHER * width).enumerate() {
            for (output, row) in rows.chunks_exact(inputs).enumerate() {
                let to = panel[output..].iter_mut().step_by(width);
                to.zip(&row[part * TOGETHER..]).for_each(|(to, from)| *to = *from);
            }
        }
    }

    /// From rows of outputs' gradients to rows of inputs' gradients, of `weight [O, I]`.
    pub fn transposed(weight: &[f32], inputs: usize) -> Self {
        Self(PackedWeight::of_columns(weight, inputs))
    }

    /// Multiplies `rows` rows, their padding zero. That of the output is zero too.
    pub fn run(&self, isa: Isa, rows: usize, input: &[f32], output: &mut [f32]) {
        isa.run(RowsProduct { rows, input, weight: &self.0, output });
    }
}

/// `output[row][o] = Σ input[row][i] · weight[i][o]`.
struct RowsProduct<'a> {
    rows: usize,
    input: &'a [f32],
    weight: &'a PackedWeight,
    output: &'a mut [f32],
}

/// Inputs whose weights of a panel stay in L1 from row to row. The sums go on where those of the inputs before have ended.
const TOGETHER: usize = 192;

impl RowsProduct<'_> {
    fn lanes(&self) -> usize {
        self.weight.inputs.next_multiple_of(LANES_MAX)
    }
}

impl Kernel for RowsProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let PackedWeight { data, inputs, outputs, panel, .. } = self.weight;
        assert!(data.len() == inputs * outputs && outputs.is_multiple_of(*panel), "weight incomplete");
        assert!(self.input.len() >= self.rows * self.lanes(), "input too short");
        assert!(self.output.len() >= self.rows * outputs, "output too short");
        // SAFETY: just checked.
        unsafe {
            match (S::REGISTERS >= 32, self.weight.panel / S::LANES) {
                (true, 1) => panels::<S, 12, 1>(simd, &mut self),
                (true, _) => panels::<S, 8, 2>(simd, &mut self),
                (false, _) => panels::<S, 4, 2>(simd, &mut self),
            }
        }
    }
}

/// All outputs, `VECTORS` vectors at a time, in tiles of `ROWS` rows.
///
/// # Safety
/// As [`RowsProduct`]'s run checks.
#[inline(always)]
unsafe fn panels<S: Simd, const ROWS: usize, const VECTORS: usize>(simd: S, job: &mut RowsProduct) {
    for output in (0..job.weight.outputs).step_by(VECTORS * S::LANES) {
        for first in (0..job.weight.inputs).step_by(TOGETHER) {
            let inputs = first..job.weight.inputs.min(first + TOGETHER);
            let mut row = 0;
            // SAFETY: the caller's promise; a tile ends at or before the last row.
            unsafe {
                while row + ROWS <= job.rows {
                    tile::<S, ROWS, VECTORS>(simd, job, row, output, inputs.clone());
                    row += ROWS;
                }
                while row + 4 <= job.rows {
                    tile::<S, 4, VECTORS>(simd, job, row, output, inputs.clone());
                    row += 4;
                }
                while row < job.rows {
                    tile::<S, 1, VECTORS>(simd, job, row, output, inputs.clone());
                    row += 1;
                }
            }
        }
    }
}

/// Adds what some inputs give to `ROWS` rows and `VECTORS` vectors of outputs, which begin with the first inputs.
///
/// # Safety
/// As [`RowsProduct`]'s run checks; the tile lies within the rows and outputs.
#[inline(always)]
unsafe fn tile<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    job: &mut RowsProduct,
    row: usize,
    output: usize,
    inputs: Range<usize>,
) {
    let (panel, lanes) = (job.weight.panel, job.lanes());
    let place = output / panel * panel * job.weight.inputs + output % panel + inputs.start * panel;
    let mut weights = job.weight.data.as_ptr().wrapping_add(place);
    let mut from = [job.input.as_ptr(); ROWS];
    for (r, from) in from.iter_mut().enumerate() {
        *from = from.wrapping_add((row + r) * lanes + inputs.start);
    }
    let to = job.output.as_mut_ptr().wrapping_add(row * job.weight.outputs + output);
    let mut sums = [[simd.splat(0.0); VECTORS]; ROWS];
    // SAFETY: every address that is read or written lies in its slice by the caller's promise.
    unsafe {
        if inputs.start > 0 {
            for (r, sums) in sums.iter_mut().enumerate() {
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = simd.load(to.add(r * job.weight.outputs + v * S::LANES));
                }
            }
        }
        for at in 0..inputs.len() {
            let mut loaded = [simd.splat(0.0); VECTORS];
            for (v, loaded) in loaded.iter_mut().enumerate() {
                *loaded = simd.load(weights.add(v * S::LANES));
            }
            weights = weights.wrapping_add(panel);
            for (sums, from) in sums.iter_mut().zip(from) {
                let value = simd.splat(*from.add(at));
                for (sum, loaded) in sums.iter_mut().zip(loaded) {
                    *sum = simd.mul_add(value, loaded, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                simd.store(to.add(r * job.weight.outputs + v * S::LANES), *sum);
            }
        }
    }
}

/// Rows in blocks of 16 features, `[block][row][feature]`: at their own distance from row to row they would compete for the same
/// few places in the cache.
#[derive(Clone, Copy, Debug)]
pub struct BlockedRows<'a> {
    /// All blocks.
    pub values: &'a [f32],
    /// How many rows there are.
    pub rows: usize,
}

impl BlockedRows<'_> {
    /// From a block to the next; a cache line more than the rows need, so that the blocks do not compete for the same places
    /// either.
    pub fn block(rows: usize) -> usize {
        (rows + 1) * LANES_MAX
    }

    /// Copies block `at` of dense rows.
    pub fn copy_block(rows: &[f32], lanes: usize, at: usize, block: &mut [f32]) {
        for (row, to) in rows.chunks_exact(lanes).zip(block.chunks_exact_mut(LANES_MAX)) {
            to.copy_from_slice(&row[at * LANES_MAX..][..LANES_MAX]);
        }
    }

    /// The rows' features from block `at` on.
    fn after(&self, at: usize) -> &[f32] {
        &self.values[at * Self::block(self.rows)..]
    }
}

/// `sum[o][i] += Σ gradient[row][o] · input[row][i]`: the gradient by a linear layer's weight, for some of the outputs.
pub struct RowsWeightGradient<'a> {
    /// The rows that the layer read.
    pub input: BlockedRows<'a>,
    /// The gradients at its outputs.
    pub gradient: BlockedRows<'a>,
    /// The first output, a multiple of 16.
    pub first: usize,
    /// How many outputs from there, a multiple of 16.
    pub outputs: usize,
    /// All inputs, padded.
    pub inputs: usize,
    /// `[outputs, inputs]`, added to.
    pub sum: &'a mut [f32],
}

impl Kernel for RowsWeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { input, gradient, first, outputs, inputs, sum } = self;
        let (rows, block) = (input.rows, BlockedRows::block(input.rows));
        assert!([first, outputs, inputs].iter().all(|count| count.is_multiple_of(LANES_MAX)), "not padded");
        let gradients = gradient.after(first / LANES_MAX);
        assert!(
            gradient.rows == rows && gradients.len() >= outputs / LANES_MAX * block,
            "gradient too short"
        );
        assert!(input.values.len() >= inputs / LANES_MAX * block, "input too short");
        assert!(sum.len() == outputs * inputs, "sum of another size");
        // The product's inputs are those that are broadcast.
        let product = BlockProduct {
            terms: rows,
            inputs: outputs,
            outputs: inputs,
            input: gradients.as_ptr(),
            input_block: block,
            gradient: input.values.as_ptr(),
            block,
            sum: sum.as_mut_ptr(),
        };
        // SAFETY: just checked.
        unsafe { product.add(simd) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AlignedVec;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Rows, inputs and outputs.
    const CASES: [[usize; 3]; 5] = [[1, 16, 32], [5, 40, 24], [32, 784, 48], [9, 33, 17], [7, 48, 160]];

    fn random(length: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        (0..length).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    fn padded(rows: &[f32], features: usize) -> AlignedVec {
        let lanes = features.next_multiple_of(LANES_MAX);
        let mut padded = AlignedVec::zeros(rows.len() / features * lanes);
        for (to, from) in padded.chunks_exact_mut(lanes).zip(rows.chunks_exact(features)) {
            to[..features].copy_from_slice(from);
        }
        padded
    }

    fn blocked(rows: &[f32], lanes: usize) -> AlignedVec {
        let block = BlockedRows::block(rows.len() / lanes);
        let mut blocked = AlignedVec::zeros(lanes / LANES_MAX * block);
        for (at, block) in blocked.chunks_exact_mut(block).enumerate() {
            BlockedRows::copy_block(rows, lanes, at, block);
        }
        blocked
    }

    /// `Σ a(term) · b(term)` is near what was found.
    #[track_caller]
    fn assert_sum(found: f32, terms: usize, product: impl Fn(usize) -> f64) {
        let expected: f64 = (0..terms).map(product).sum();
        assert!((f64::from(found) - expected).abs() < 1e-4, "{found}, not {expected}");
    }

    #[test]
    fn products_agree_with_plain_loops_on_every_instruction_set() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for [rows, inputs, outputs] in CASES {
            let (weight, x) = (random(outputs * inputs, &mut rng), random(rows * inputs, &mut rng));
            let dz = random(rows * outputs, &mut rng);
            let [input_lanes, output_lanes] =
                [inputs, outputs].map(|count| count.next_multiple_of(LANES_MAX));
            let (x_rows, dz_rows) = (padded(&x, inputs), padded(&dz, outputs));
            let product = |a: f32, b: f32| f64::from(a) * f64::from(b);
            for isa in Isa::available() {
                let mut z = vec![f32::NAN; rows * output_lanes];
                let mut matrix = Matrix::zeros(outputs, inputs);
                matrix.panels(&weight).for_each(|(panel, rows)| Matrix::pack_rows(panel, rows, inputs));
                matrix.run(isa, rows, &x_rows, &mut z);
                let mut dx = vec![f32::NAN; rows * input_lanes];
                Matrix::transposed(&weight, inputs).run(isa, rows, &dz_rows, &mut dx);
                let (x_blocks, dz_blocks) = (blocked(&x_rows, input_lanes), blocked(&dz_rows, output_lanes));
                let mut sum = vec![0.0; output_lanes * input_lanes];
                isa.run(RowsWeightGradient {
                    input: BlockedRows { values: &x_blocks, rows },
                    gradient: BlockedRows { values: &dz_blocks, rows },
                    first: 0,
                    outputs: output_lanes,
                    inputs: input_lanes,
                    sum: &mut sum,
                });
                for (row, o) in (0..rows).flat_map(|row| (0..outputs).map(move |o| (row, o))) {
                    let term = |i: usize| product(x[row * inputs + i], weight[o * inputs + i]);
                    assert_sum(z[row * output_lanes + o], inputs, term);
                }
                for (row, i) in (0..rows).flat_map(|row| (0..inputs).map(move |i| (row, i))) {
                    let term = |o: usize| product(dz[row * outputs + o], weight[o * inputs + i]);
                    assert_sum(dx[row * input_lanes + i], outputs, term);
                }
                for (o, i) in (0..outputs).flat_map(|o| (0..inputs).map(move |i| (o, i))) {
                    let term = |row: usize| product(dz[row * outputs + o], x[row * inputs + i]);
                    assert_sum(sum[o * input_lanes + i], rows, term);
                }
                let padding = z.chunks_exact(output_lanes).flat_map(|row| &row[outputs..]);
                assert!(
                    padding
                        .chain(dx.chunks_exact(input_lanes).flat_map(|row| &row[inputs..]))
                        .all(|v| *v == 0.0)
                );
            }
        }
    }
}
