//! AVX2: 16 products in an instruction, of 16-bit integers, for the sums of two products of bytes do not fit 16 bits.

use super::super::instructions::IntegerKernel;
use super::{IntegerSimd, Requantization};
use std::arch::x86_64::*;

/// Proof that the processor has AVX2.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Avx2 {
    pub fn new() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    pub fn run<K: IntegerKernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2")]
        fn enter<K: IntegerKernel>(simd: Avx2, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` exists, so the processor has these features.
        unsafe { enter(self, kernel) }
    }
}

/// Writes eight outputs.
///
/// # Safety
/// As for [`IntegerSimd::finish`], on a processor with AVX2.
#[inline(always)]
pub unsafe fn finish(
    sums: __m256i,
    rule: &Requantization,
    channel: usize,
    residual: Option<*const u8>,
    to: *mut u8,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let [scale, shift] =
            [&rule.scale, &rule.shift].map(|values| _mm256_loadu_ps(values.as_ptr().add(channel)));
        let mut values = _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums), scale), shift);
        if let Some(residual) = residual {
            let residual = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(residual.cast())));
            values = _mm256_add_ps(values, _mm256_mul_ps(residual, _mm256_set1_ps(rule.factor)));
        }
        let values = _mm256_max_ps(values, _mm256_set1_ps(rule.low));
        let values = _mm256_cvtps_epi32(_mm256_min_ps(values, _mm256_set1_ps(rule.high)));
        let [first, second] = [_mm256_castsi256_si128(values), _mm256_extracti128_si256::<1>(values)];
        let words = _mm_packus_epi32(first, second);
        _mm_storel_epi64(to.cast(), _mm_packus_epi16(words, words));
    }
}

// SAFETY of every intrinsic below: `self` exists, so the processor has AVX2; pointers are the caller's promise.
impl IntegerSimd for Avx2 {
    /// The even and the odd ones of the four, each as 16 bits.
    type Inputs = [__m256i; 2];
    /// As the inputs.
    type Weights = [__m256i; 2];
    type Sums = __m256i;
    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn zero(self) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_setzero_si256() }
    }
    #[inline(always)]
    unsafe fn inputs(self, from: *const u8) -> [__m256i; 2] {
        // SAFETY: see above.
        let four = unsafe { from.cast::<u32>().read_unaligned() };
        let parts = [four & 0x00ff_00ff, (four >> 8) & 0x00ff_00ff];
        // SAFETY: see above.
        parts.map(|part| unsafe { _mm256_set1_epi32(part.cast_signed()) })
    }
    #[inline(always)]
    unsafe fn weights(self, from: *const u8) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe {
            let bytes = _mm256_loadu_si256(from.cast());
            [_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(bytes)), _mm256_srai_epi16::<8>(bytes)]
        }
    }
    #[inline(always)]
    unsafe fn sums(self, from: *const i32) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    fn dot(self, sums: __m256i, inputs: [__m256i; 2], weights: [__m256i; 2]) -> __m256i {
        // SAFETY: see above.
        unsafe {
            let even = _mm256_madd_epi16(inputs[0], weights[0]);
            let odd = _mm256_madd_epi16(inputs[1], weights[1]);
            _mm256_add_epi32(sums, _mm256_add_epi32(even, odd))
        }
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
