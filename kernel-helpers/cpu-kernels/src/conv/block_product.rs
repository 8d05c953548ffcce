//! The matrix product of wide layers' weight gradients.

use crate::LANES_MAX;
use crate::simd::Simd;
use std::ops::Range;

/// `sum[i][o] += Σ input[term][i] · gradient[term][o]`. Both lie in blocks of 16 channels, `[block][term][channel]`, and
/// from one block to the next there are `input_block` and `block` values.
pub struct BlockProduct {
    /// How many are summed.
    pub terms: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub input: *const f32,
    pub input_block: usize,
    pub gradient: *const f32,
    pub block: usize,
    pub sum: *mut f32,
}

impl BlockProduct {
    /// # Safety
    /// The pointers hold as many values as the counts say.
    #[inline(always)]
    pub unsafe fn add<S: Simd>(&self, simd: S) {
        // SAFETY: the caller's promise.
        unsafe {
            if S::REGISTERS >= 32 {
                let pairs = self.outputs / (2 * S::LANES) * (2 * S::LANES);
                self.blocks::<S, 8, 2>(simd, 0..pairs);
                self.blocks::<S, 16, 1>(simd, pairs..self.outputs);
            } else {
                self.blocks::<S, 4, 2>(simd, 0..self.outputs);
            }
        }
    }

    /// # Safety
    /// As for [`BlockProduct::add`].
    #[inline(always)]
    unsafe fn blocks<S: Simd, const INPUTS: usize, const VECTORS: usize>(
        &self,
        simd: S,
        outputs: Range<usize>,
    ) {
        for output in outputs.step_by(VECTORS * S::LANES) {
            for input in (0..self.inputs).step_by(INPUTS) {
                // SAFETY: the caller's promise; both numbers of channels are multiples of the block's.
                unsafe { self.block::<S, INPUTS, VECTORS>(simd, input, output) };
            }
        }
    }

    /// `INPUTS` input channels by `VECTORS` vectors of output channels, summed in registers over the terms.
    ///
    /// # Safety
    /// As for [`BlockProduct::add`].
    #[inline(always)]
    unsafe fn block<S: Simd, const INPUTS: usize, const VECTORS: usize>(
        &self,
        simd: S,
        input: usize,
        output: usize,
    ) {
        let at = |channel: usize, block: usize| channel / LANES_MAX * block + channel % LANES_MAX;
        let mut sums = [[simd.splat(0.0); VECTORS]; INPUTS];
        let mut values = self.input.wrapping_add(at(input, self.input_block));
        let mut gradients = [self.gradient; VECTORS];
        for (v, gradients) in gradients.iter_mut().enumerate() {
            *gradients = gradients.wrapping_add(at(output + v * S::LANES, self.block));
        }
        // SAFETY: the caller's promise.
        unsafe {
            for term in 0..self.terms {
                let mut loaded = [simd.splat(0.0); VECTORS];
                for (loaded, gradients) in loaded.iter_mut().zip(gradients) {
                    *loaded = simd.load(gradients.add(term * LANES_MAX));
                }
                for (i, sums) in sums.iter_mut().enumerate() {
                    let value = simd.splat(*values.add(i));
                    for (sum, loaded) in sums.iter_mut().zip(loaded) {
                        *sum = simd.mul_add(value, loaded, *sum);
                    }
                }
                values = values.wrapping_add(LANES_MAX);
            }
            for (i, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    let to = self.sum.add((input + i) * self.outputs + output + v * S::LANES);
                    simd.store(to, simd.add(simd.load(to), *sum));
                }
            }
        }
    }
}
