//! A linear layer's products over the rows of a batch, each row an image's features, padded to a multiple of 16.

use super::{BlockProduct, Gathered, PackedWeight, Pixels};
use crate::kernels::simd::{Kernel, Simd};
use crate::kernels::{Isa, LANES_MAX};

/// A matrix that rows are multiplied with.
#[derive(Clone, Debug)]
pub struct Matrix(PackedWeight);

impl Matrix {
    /// From rows of inputs to rows of outputs, of `weight [O, I]`.
    pub fn new(weight: &[f32], inputs: usize) -> Self {
        Self(PackedWeight::of_rows(weight, inputs))
    }

    /// From rows of outputs' gradients to rows of inputs' gradients, of `weight [O, I]`.
    pub fn transposed(weight: &[f32], inputs: usize) -> Self {
        Self(PackedWeight::of_columns(weight, inputs))
    }

    /// Multiplies `rows` rows, their padding zero. That of the output is zero too.
    pub fn run(&self, isa: Isa, rows: usize, input: &[f32], output: &mut [f32]) {
        let size = [1, rows];
        isa.run(Gathered {
            images: 1,
            input,
            input_pixels: Pixels::dense(size, self.0.inputs.next_multiple_of(LANES_MAX)),
            weight: &self.0,
            stride: 1,
            output_pixels: Pixels::dense(size, self.0.outputs),
            output,
            size,
        });
    }
}

/// Rows in blocks of 16 features, `[block][row][feature]`: at their own distance from row to row they would compete for the same
/// few places in the cache.
#[derive(Clone, Copy, Debug)]
pub struct BlockedRows<'a> {
    pub values: &'a [f32],
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

    /// The rows' features from a block on.
    fn from_block(&self, at: usize) -> &[f32] {
        &self.values[at * Self::block(self.rows)..]
    }
}

/// `sum[o][i] += Σ gradient[row][o] · input[row][i]`: the gradient by a linear layer's weight, for some of the outputs.
pub struct RowsWeightGradient<'a> {
    pub input: BlockedRows<'a>,
    pub gradient: BlockedRows<'a>,
    /// Of the first output, and how many outputs there are: multiples of 16.
    pub first: usize,
    pub outputs: usize,
    /// All inputs, padded.
    pub inputs: usize,
    pub sum: &'a mut [f32],
}

impl Kernel for RowsWeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { input, gradient, first, outputs, inputs, sum } = self;
        let (rows, block) = (input.rows, BlockedRows::block(input.rows));
        assert!([first, outputs, inputs].iter().all(|count| count.is_multiple_of(LANES_MAX)), "not padded");
        let gradients = gradient.from_block(first / LANES_MAX);
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
    use crate::kernels::AlignedVec;
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
                Matrix::new(&weight, inputs).run(isa, rows, &x_rows, &mut z);
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
