//! A sparse matrix times a dense one.

use super::simd::{Kernel, Simd};

/// Columns of the result that are summed at a time: four registers of 16 lanes.
const WIDTH: usize = 64;

/// A matrix in compressed sparse rows times a dense one with `width` columns, row after row.
pub struct SparseProduct<'a> {
    /// Where each row begins in `columns` and `values`, and at last where they end.
    pub starts: &'a [u32],
    /// The column of each value.
    pub columns: &'a [u32],
    /// The values, row by row.
    pub values: &'a [f32],
    /// The right matrix, row after row.
    pub right: &'a [f32],
    /// Its columns.
    pub width: usize,
    /// The result, row after row.
    pub product: &'a mut [f32],
}

impl Kernel for SparseProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        for (row, product) in self.starts.windows(2).zip(self.product.chunks_exact_mut(self.width)) {
            let row = row[0] as usize..row[1] as usize;
            let (columns, values) = (&self.columns[row.clone()], &self.values[row]);
            for (block, product) in product.chunks_mut(WIDTH).enumerate() {
                let mut sums = [0.0_f32; WIDTH];
                for (&column, &value) in columns.iter().zip(values) {
                    let right = &self.right[column as usize * self.width + block * WIDTH..][..product.len()];
                    match <&[f32; WIDTH]>::try_from(right) {
                        Ok(right) => (0..WIDTH).for_each(|at| sums[at] += value * right[at]),
                        Err(_) => sums.iter_mut().zip(right).for_each(|(sum, &right)| *sum += value * right),
                    }
                }
                product.copy_from_slice(&sums[..product.len()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    /// [[0, 2, 0], [0, 0, 0], [3, 0, 4]] times rows of `width` small numbers, at widths around the block's.
    #[test]
    fn every_instruction_set_multiplies_as_plain_loops_do() {
        let (starts, columns, values) = ([0, 1, 1, 3], [1, 0, 2], [2.0, 3.0, 4.0]);
        for width in [1, 63, 64, 65, 130] {
            let right: Vec<f32> = (0..3 * width).map(|at| ((at * 7) % 11) as f32 - 5.0).collect();
            let row = |row: usize| &right[row * width..][..width];
            let third = row(0).iter().zip(row(2)).map(|(a, b)| 3.0 * a + 4.0 * b);
            let first = row(1).iter().map(|b| 2.0 * b);
            let expected: Vec<f32> = first.chain(vec![0.0; width]).chain(third).collect();
            for isa in Isa::available() {
                let mut product = vec![f32::NAN; 3 * width];
                let (starts, columns, values, right) = (&starts, &columns, &values, &right);
                isa.run(SparseProduct { starts, columns, values, right, width, product: &mut product });
                assert_eq!(product, expected, "{isa:?}, {width} columns");
            }
        }
    }
}
