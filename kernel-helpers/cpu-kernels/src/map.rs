//! Passes over a slice that compilers vectorize by themselves, once they may use the instruction set.

use super::LANES_MAX;
use super::simd::{Kernel, Simd};

/// `function` of every value.
pub struct Map<'a, F> {
    /// What it is applied to.
    pub values: &'a [f32],
    /// The function.
    pub function: F,
}

impl<F: Fn(f32) -> f32> Kernel for Map<'_, F> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> Vec<f32> {
        let mut mapped = vec![0.0; self.values.len()];
        for (mapped, &value) in mapped.iter_mut().zip(self.values) {
            *mapped = (self.function)(value);
        }
        mapped
    }
}

/// The smallest and the largest value other than zero; infinity and minus infinity if there is none.
pub struct NonzeroRange<'a>(pub &'a [f32]);

impl Kernel for NonzeroRange<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> (f32, f32) {
        // Lane by lane, for a single minimum would be one long chain of comparisons.
        let (mut low, mut high) = ([f32::INFINITY; LANES_MAX], [f32::NEG_INFINITY; LANES_MAX]);
        let chunks = self.0.chunks_exact(LANES_MAX);
        let rest = chunks.remainder();
        let mut add = |chunk: &[f32]| {
            for ((low, high), &value) in low.iter_mut().zip(&mut high).zip(chunk) {
                let (below, above) = if value == 0.0 { (*low, *high) } else { (value, value) };
                *low = if below < *low { below } else { *low };
                *high = if above > *high { above } else { *high };
            }
        };
        chunks.for_each(&mut add);
        add(rest);
        (low.into_iter().fold(f32::INFINITY, f32::min), high.into_iter().fold(f32::NEG_INFINITY, f32::max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    #[test]
    fn every_instruction_set_finds_the_same_range_and_values() {
        for length in [0, 1, 15, 16, 17, 50] {
            let values: Vec<f32> = (0..length).map(|at| ((at * 7) % 11) as f32 - 5.0).collect();
            let kept = || values.iter().copied().filter(|&value| value != 0.0);
            let range = (kept().fold(f32::INFINITY, f32::min), kept().fold(f32::NEG_INFINITY, f32::max));
            let halves: Vec<f32> = values.iter().map(|value| (value / 2.0).round_ties_even()).collect();
            for isa in Isa::available() {
                assert_eq!(isa.run(NonzeroRange(&values)), range, "{isa:?}, {length} values");
                let mapped = isa.run(Map { values: &values, function: |v: f32| (v / 2.0).round_ties_even() });
                assert_eq!(mapped, halves, "{isa:?}, {length} values");
            }
        }
    }
}
