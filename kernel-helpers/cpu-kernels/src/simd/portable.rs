//! Arrays of four values, which compilers turn into whatever 128-bit vectors the target has (SSE2, NEON).

use super::{Kernel, Simd};

/// Every processor has this one.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

impl Portable {
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
}

#[inline(always)]
fn zip(a: [f32; 4], b: [f32; 4], f: impl Fn(f32, f32) -> f32) -> [f32; 4] {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

impl Simd for Portable {
    type Vector = [f32; 4];
    const LANES: usize = 4;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; 4] {
        [value; 4]
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> [f32; 4] {
        // SAFETY: the caller's promise; arrays of f32 need an f32's alignment only.
        unsafe { from.cast::<[f32; 4]>().read() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: [f32; 4]) {
        // SAFETY: as for `load`.
        unsafe { to.cast::<[f32; 4]>().write(value) }
    }
    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn mul_add(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        // Not f32::mul_add: where the target lacks the instruction that is a library call.
        self.add(self.mul(a, b), c)
    }
    #[inline(always)]
    fn at_least(self, a: [f32; 4], low: [f32; 4]) -> [f32; 4] {
        zip(a, low, |a, low| if a < low { low } else { a })
    }
    #[inline(always)]
    fn at_most(self, a: [f32; 4], high: [f32; 4]) -> [f32; 4] {
        zip(a, high, |a, high| if a > high { high } else { a })
    }
    #[inline(always)]
    fn keep_above(self, a: [f32; 4], gate: [f32; 4], low: [f32; 4]) -> [f32; 4] {
        let keep = |at: usize| if gate[at] > low[at] { a[at] } else { 0.0 };
        [keep(0), keep(1), keep(2), keep(3)]
    }
    #[inline(always)]
    fn choose_larger(self, value: [f32; 4], largest: [f32; 4], [first, second]: [[f32; 4]; 2]) -> [f32; 4] {
        let is_larger = |at: usize| value[at] > largest[at] || value[at].is_nan();
        let choose = |at: usize| if is_larger(at) { first[at] } else { second[at] };
        [choose(0), choose(1), choose(2), choose(3)]
    }
}
