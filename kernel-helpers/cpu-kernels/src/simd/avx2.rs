//! AVX2 with FMA: 16 registers of 8 values.

use super::{Kernel, Simd};
use std::arch::x86_64::*;

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Avx2 {
    pub fn new() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Avx2(()))
    }

    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma")]
        fn enter<K: Kernel>(simd: Avx2, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` exists, so the processor has these features.
        unsafe { enter(self, kernel) }
    }
}

// SAFETY of every intrinsic below: `self` exists, so the processor has AVX2 and FMA; pointers are the caller's promise.
impl Simd for Avx2 {
    type Vector = __m256;
    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m256) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(to, value) }
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    // Of two values that cannot be compared, minimum and maximum give the second.
    #[inline(always)]
    fn at_least(self, a: __m256, low: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_max_ps(low, a) }
    }
    #[inline(always)]
    fn at_most(self, a: __m256, high: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_min_ps(high, a) }
    }
    #[inline(always)]
    fn keep_above(self, a: __m256, gate: __m256, low: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_and_ps(a, _mm256_cmp_ps::<_CMP_GT_OQ>(gate, low)) }
    }
    #[inline(always)]
    fn choose_larger(self, value: __m256, largest: __m256, [first, second]: [__m256; 2]) -> __m256 {
        // SAFETY: see above.
        unsafe {
            let larger = _mm256_cmp_ps::<_CMP_GT_OQ>(value, largest);
            let none = _mm256_cmp_ps::<_CMP_UNORD_Q>(value, value);
            _mm256_blendv_ps(second, first, _mm256_or_ps(larger, none))
        }
    }
}
