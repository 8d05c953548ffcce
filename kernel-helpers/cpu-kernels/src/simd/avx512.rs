//! AVX-512: 32 registers of 16 values.

use super::{Kernel, Simd};
use std::arch::x86_64::*;

/// Proof that the processor has AVX-512 F, DQ and VL, and FMA.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

impl Avx512 {
    pub fn new() -> Option<Self> {
        let present = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("fma");
        present.then_some(Avx512(()))
    }

    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
        fn enter<K: Kernel>(simd: Avx512, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` exists, so the processor has these features.
        unsafe { enter(self, kernel) }
    }
}

// SAFETY of every intrinsic below: `self` exists, so the processor has AVX-512 F; pointers are the caller's promise.
impl Simd for Avx512 {
    type Vector = __m512;
    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m512) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(to, value) }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    // Of two values that cannot be compared, minimum and maximum give the second.
    #[inline(always)]
    fn at_least(self, a: __m512, low: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_max_ps(low, a) }
    }
    #[inline(always)]
    fn at_most(self, a: __m512, high: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_min_ps(high, a) }
    }
    #[inline(always)]
    fn keep_above(self, a: __m512, gate: __m512, low: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe {
            let kept = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(gate, low);
            _mm512_maskz_mov_ps(kept, a)
        }
    }
    #[inline(always)]
    fn choose_larger(self, value: __m512, largest: __m512, [first, second]: [__m512; 2]) -> __m512 {
        // SAFETY: see above.
        unsafe {
            let larger = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(value, largest);
            let none = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(value, value);
            _mm512_mask_blend_ps(larger | none, second, first)
        }
    }
}
