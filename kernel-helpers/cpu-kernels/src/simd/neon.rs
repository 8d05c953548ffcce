//! NEON: 32 registers of 4 values, on every 64-bit Arm.

use super::{Kernel, Simd};
use std::arch::aarch64::*;

/// Proof that the processor is a 64-bit Arm, all of which have NEON.
#[derive(Clone, Copy, Debug)]
pub struct Neon(());

impl Neon {
    pub fn new() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Neon(()))
    }

    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "neon")]
        fn enter<K: Kernel>(simd: Neon, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` exists, so the processor has this feature.
        unsafe { enter(self, kernel) }
    }
}

// SAFETY of every intrinsic below: `self` exists, so the processor has NEON; pointers are the caller's promise.
impl Simd for Neon {
    type Vector = float32x4_t;
    const LANES: usize = 4;
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn splat(self, value: f32) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vdupq_n_f32(value) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: float32x4_t) {
        // SAFETY: see above.
        unsafe { vst1q_f32(to, value) }
    }
    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vdivq_f32(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vfmaq_f32(c, a, b) }
    }
    // Minimum and maximum of a number and not-a-number are not-a-number.
    #[inline(always)]
    fn at_least(self, a: float32x4_t, low: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vmaxq_f32(low, a) }
    }
    #[inline(always)]
    fn at_most(self, a: float32x4_t, high: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vminq_f32(high, a) }
    }
    #[inline(always)]
    fn keep_above(self, a: float32x4_t, gate: float32x4_t, low: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vbslq_f32(vcgtq_f32(gate, low), a, vdupq_n_f32(0.0)) }
    }
    #[inline(always)]
    fn choose_larger(
        self,
        value: float32x4_t,
        largest: float32x4_t,
        [first, second]: [float32x4_t; 2],
    ) -> float32x4_t {
        // SAFETY: see above.
        unsafe {
            let chosen = vbslq_f32(vcgtq_f32(value, largest), first, second);
            // Only what is not a number differs from itself.
            vbslq_f32(vceqq_f32(value, value), chosen, first)
        }
    }
}
