//! NEON with the dot product of bytes: 16 products in an instruction.

use super::super::instructions::IntegerKernel;
use super::{IntegerSimd, Requantization};
use std::arch::aarch64::*;
use std::arch::asm;

/// Proof that the processor has the dot product of signed bytes (`dotprod`) and, if `MIXED`, that of unsigned with signed ones
/// (`i8mm`).
#[derive(Clone, Copy, Debug)]
pub struct Neon<const MIXED: bool>(());

impl Neon<false> {
    pub fn new() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("dotprod").then_some(Self(()))
    }
}

impl Neon<true> {
    pub fn new() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("i8mm").then_some(Self(()))
    }
}

impl<const MIXED: bool> Neon<MIXED> {
    pub fn run<K: IntegerKernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
}

/// Four weights in each lane, and 128 times their sum: what inputs that are less by 128 lack.
#[derive(Clone, Copy)]
pub struct Weights {
    bytes: int8x16_t,
    correction: int32x4_t,
}

/// `sums + Σ a · b` over four signed bytes in each lane.
///
/// # Safety
/// The processor must have `dotprod`.
#[inline(always)]
unsafe fn signed_dot(mut sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the caller's promise; the instruction only changes this register. Its intrinsic is not stable.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {sums:v}.4s, {a:v}.16b, {b:v}.16b",
            sums = inout(vreg) sums, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}

/// The same of unsigned bytes `a` and signed bytes `b`.
///
/// # Safety
/// The processor must have `i8mm`.
#[inline(always)]
unsafe fn mixed_dot(mut sums: int32x4_t, a: uint8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: as for `signed_dot`.
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "usdot {sums:v}.4s, {a:v}.16b, {b:v}.16b",
            sums = inout(vreg) sums, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}

/// Four bytes in the low half of a vector.
///
/// # Safety
/// `from` must be valid for reading 4 bytes.
#[inline(always)]
unsafe fn four(from: *const u8) -> uint8x8_t {
    // SAFETY: the caller's promise; every 64-bit Arm has NEON.
    unsafe { vreinterpret_u8_u32(vdup_n_u32(from.cast::<u32>().read_unaligned())) }
}

// SAFETY of every intrinsic below: `self` exists, so the processor has NEON and the dot products; pointers are the caller's
// promise.
impl<const MIXED: bool> IntegerSimd for Neon<MIXED> {
    type Inputs = uint8x16_t;
    type Weights = Weights;
    type Sums = int32x4_t;
    const LANES: usize = 4;
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn zero(self) -> int32x4_t {
        // SAFETY: see above.
        unsafe { vdupq_n_s32(0) }
    }
    #[inline(always)]
    unsafe fn inputs(self, from: *const u8) -> uint8x16_t {
        // SAFETY: see above.
        unsafe {
            let inputs = vreinterpretq_u8_u32(vdupq_n_u32(from.cast::<u32>().read_unaligned()));
            if MIXED { inputs } else { veorq_u8(inputs, vdupq_n_u8(128)) }
        }
    }
    #[inline(always)]
    unsafe fn weights(self, from: *const u8) -> Weights {
        // SAFETY: see above.
        unsafe {
            let bytes = vld1q_s8(from.cast());
            let correction = match MIXED {
                true => self.zero(),
                false => vshlq_n_s32::<1>(signed_dot(self.zero(), vdupq_n_s8(64), bytes)),
            };
            Weights { bytes, correction }
        }
    }
    #[inline(always)]
    unsafe fn sums(self, from: *const i32) -> int32x4_t {
        // SAFETY: see above.
        unsafe { vld1q_s32(from) }
    }
    #[inline(always)]
    fn dot(self, sums: int32x4_t, inputs: uint8x16_t, weights: Weights) -> int32x4_t {
        // SAFETY: see above.
        unsafe {
            match MIXED {
                true => mixed_dot(sums, inputs, weights.bytes),
                false => {
                    let sums = vaddq_s32(sums, weights.correction);
                    signed_dot(sums, vreinterpretq_s8_u8(inputs), weights.bytes)
                }
            }
        }
    }
    #[inline(always)]
    unsafe fn add_values(self, sums: int32x4_t, from: *const u8) -> int32x4_t {
        // SAFETY: see above.
        unsafe { vaddq_s32(sums, vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(four(from)))))) }
    }
    #[inline(always)]
    unsafe fn add_products(self, sums: int32x4_t, inputs: *const u8, weights: *const u8) -> int32x4_t {
        // SAFETY: see above.
        unsafe {
            let inputs = vreinterpret_s16_u16(vget_low_u16(vmovl_u8(four(inputs))));
            let weights = vget_low_s16(vmovl_s8(vreinterpret_s8_u8(four(weights))));
            vmlal_s16(sums, inputs, weights)
        }
    }
    #[inline(always)]
    unsafe fn finish(
        self,
        sums: int32x4_t,
        rule: &Requantization,
        channel: usize,
        residual: Option<*const u8>,
        to: *mut u8,
    ) {
        // SAFETY: see above, and the caller's promise.
        unsafe {
            let [scale, shift] =
                [&rule.scale, &rule.shift].map(|values| vld1q_f32(values.as_ptr().add(channel)));
            let mut values = vaddq_f32(vmulq_f32(vcvtq_f32_s32(sums), scale), shift);
            if let Some(residual) = residual {
                let residual = vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(four(residual)))));
                values = vaddq_f32(values, vmulq_f32(residual, vdupq_n_f32(rule.factor)));
            }
            let values = vmaxq_f32(values, vdupq_n_f32(rule.low));
            let values = vcvtnq_s32_f32(vminq_f32(values, vdupq_n_f32(rule.high)));
            let words = vqmovun_s32(values);
            let bytes = vqmovn_u16(vcombine_u16(words, words));
            to.cast::<u32>().write_unaligned(vget_lane_u32::<0>(vreinterpret_u32_u8(bytes)));
        }
    }
}
