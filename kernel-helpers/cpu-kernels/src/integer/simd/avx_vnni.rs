//! AVX-VNNI: 32 products in an instruction.

use super::super::instructions::IntegerKernel;
use super::avx2::finish;
use super::{IntegerSimd, Requantization};
use std::arch::x86_64::*;

/// Proof that the processor has AVX2 and AVX-VNNI.
#[derive(Clone, Copy, Debug)]
pub struct AvxVnni(());

impl AvxVnni {
    pub fn new() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni")).then_some(Self(()))
    }

    pub fn run<K: IntegerKernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,avxvnni")]
        fn enter<K: IntegerKernel>(simd: AvxVnni, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` exists, so the processor has these features.
        unsafe { enter(self, kernel) }
    }
}

// SAFETY of every intrinsic below: `self` exists, so the processor has these instructions; pointers are the caller's promise.
impl IntegerSimd for AvxVnni {
    type Inputs = __m256i;
    type Weights = __m256i;
    type Sums = __m256i;
    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn zero(self) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_setzero_si256() }
    }
    #[inline(always)]
    unsafe fn inputs(self, from: *const u8) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn weights(self, from: *const u8) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    unsafe fn sums(self, from: *const i32) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    fn dot(self, sums: __m256i, inputs: __m256i, weights: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_dpbusd_avx_epi32(sums, inputs, weights) }
    }
    #[inline(always)]
    unsafe fn add_values(self, sums: __m256i, from: *const u8) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_add_epi32(sums, _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()))) }
    }
    #[inline(always)]
    unsafe fn add_products(self, sums: __m256i, inputs: *const u8, weights: *const u8) -> __m256i {
        // SAFETY: see above.
        unsafe {
            let inputs = _mm256_cvtepu8_epi32(_mm_loadl_epi64(inputs.cast()));
            let weights = _mm256_cvtepi8_epi32(_mm_loadl_epi64(weights.cast()));
            // A product fits 16 bits, and the upper half of each input is 0.
            _mm256_add_epi32(sums, _mm256_madd_epi16(inputs, weights))
        }
    }
    #[inline(always)]
    unsafe fn finish(
        self,
        sums: __m256i,
        rule: &Requantization,
        channel: usize,
        residual: Option<*const u8>,
        to: *mut u8,
    ) {
        // SAFETY: see above, and the caller's promise.
        unsafe { finish(sums, rule, channel, residual, to) }
    }
}
