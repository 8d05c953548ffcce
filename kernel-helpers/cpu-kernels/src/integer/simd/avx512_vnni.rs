//! AVX-512 with VNNI: 64 products in an instruction.

use super::super::instructions::IntegerKernel;
use super::{IntegerSimd, Requantization};
use std::arch::x86_64::*;

/// Proof that the processor has AVX-512 F, BW, VL and VNNI.
#[derive(Clone, Copy, Debug)]
pub struct Avx512Vnni(());

impl Avx512Vnni {
    pub fn new() -> Option<Self> {
        let present = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        present.then_some(Self(()))
    }

    pub fn run<K: IntegerKernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2")]
        fn enter<K: IntegerKernel>(simd: Avx512Vnni, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` exists, so the processor has these features.
        unsafe { enter(self, kernel) }
    }
}

// SAFETY of every intrinsic below: `self` exists, so the processor has these instructions; pointers are the caller's promise.
impl IntegerSimd for Avx512Vnni {
    type Inputs = __m512i;
    type Weights = __m512i;
    type Sums = __m512i;
    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn zero(self) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    unsafe fn inputs(self, from: *const u8) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn weights(self, from: *const u8) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn sums(self, from: *const i32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    fn dot(self, sums: __m512i, inputs: __m512i, weights: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_dpbusd_epi32(sums, inputs, weights) }
    }
    #[inline(always)]
    unsafe fn add_values(self, sums: __m512i, from: *const u8) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_add_epi32(sums, _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()))) }
    }
    #[inline(always)]
    unsafe fn add_products(self, sums: __m512i, inputs: *const u8, weights: *const u8) -> __m512i {
        // SAFETY: see above.
        unsafe {
            let inputs = _mm512_cvtepu8_epi32(_mm_loadu_si128(inputs.cast()));
            let weights = _mm512_cvtepi8_epi32(_mm_loadu_si128(weights.cast()));
            // A product fits 16 bits, and the upper half of each input is 0.
            _mm512_add_epi32(sums, _mm512_madd_epi16(inputs, weights))
        }
    }
    #[inline(always)]
    unsafe fn finish(
        self,
        sums: __m512i,
        rule: &Requantization,
        channel: usize,
        residual: Option<*const u8>,
        to: *mut u8,
    ) {
        // SAFETY: see above.
        unsafe {
            let [scale, shift] =
                [&rule.scale, &rule.shift].map(|values| _mm512_loadu_ps(values.as_ptr().add(channel)));
            let mut values = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums), scale), shift);
            if let Some(residual) = residual {
                let residual = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(residual.cast())));
                values = _mm512_add_ps(values, _mm512_mul_ps(residual, _mm512_set1_ps(rule.factor)));
            }
            let values = _mm512_max_ps(values, _mm512_set1_ps(rule.low));
            let values = _mm512_min_ps(values, _mm512_set1_ps(rule.high));
            _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(values)));
        }
    }
}
