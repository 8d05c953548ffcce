//! The measure of all kernels: multiplications in registers, with nothing to wait for.

use super::simd::{Kernel, Simd};

/// Multiplies and adds `rounds` times in as many registers as hide the instruction's latency; returns the number of
/// operations, a multiplication and an addition counted as two.
pub struct Peak {
    /// How often each register is multiplied and added to.
    pub rounds: usize,
}

/// Independent sums: two multipliers times a latency of four, and some more.
const SUMS: usize = 12;

impl Kernel for Peak {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> usize {
        let (factor, step) = (simd.splat(std::hint::black_box(0.999)), simd.splat(std::hint::black_box(0.1)));
        let mut sums = [step; SUMS];
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = simd.mul_add(*sum, factor, step);
            }
        }
        let mut lanes = [0.0; super::LANES_MAX];
        for sum in sums {
            // SAFETY: a vector has at most `LANES_MAX` lanes.
            unsafe { simd.store(lanes.as_mut_ptr(), sum) };
            std::hint::black_box(&lanes);
        }
        2 * self.rounds * SUMS * S::LANES
    }
}
