//! Vectors of f32 behind one interface, and the run-time choice of the instructions that carry them.
//!
//! A kernel is written once, as an implementation of [`Kernel`] that is generic over [`Simd`]. [`Isa::run`] enters it
//! through a function compiled with that instruction set's target features; everything the kernel calls must be
//! `#[inline(always)]` to be compiled with them too.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod isa;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

pub use isa::{Isa, UnknownIsa};

/// A vector instruction set. A value of an implementing type is the proof that this processor has it.
pub trait Simd: Copy {
    /// `LANES` values of f32.
    type Vector: Copy;
    /// Values in a vector; divides [`LANES_MAX`](super::LANES_MAX).
    const LANES: usize;
    /// Vector registers, which decide how large a tile of accumulators a kernel holds.
    const REGISTERS: usize;

    /// All lanes `value`.
    fn splat(self, value: f32) -> Self::Vector;
    /// Reads `LANES` values.
    ///
    /// # Safety
    /// `from` must be valid for reading `LANES` values.
    unsafe fn load(self, from: *const f32) -> Self::Vector;
    /// Writes `LANES` values.
    ///
    /// # Safety
    /// `to` must be valid for writing `LANES` values.
    unsafe fn store(self, to: *mut f32, value: Self::Vector);
    /// `a + b`.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a - b`.
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a b`.
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a / b`.
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a b + c`, rounded once where the processor can, twice in the portable set.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `max(a, low)`; not-a-number stays.
    fn at_least(self, a: Self::Vector, low: Self::Vector) -> Self::Vector;
    /// `min(a, high)`; not-a-number stays.
    fn at_most(self, a: Self::Vector, high: Self::Vector) -> Self::Vector;
    /// `a` where `gate > low`, 0 elsewhere.
    fn keep_above(self, a: Self::Vector, gate: Self::Vector, low: Self::Vector) -> Self::Vector;
    /// Of two vectors the first where `value > largest` or `value` is not a number, the second elsewhere.
    fn choose_larger(
        self,
        value: Self::Vector,
        largest: Self::Vector,
        choice: [Self::Vector; 2],
    ) -> Self::Vector;
}

/// A computation written once for all instruction sets.
pub trait Kernel {
    /// What it computes.
    type Output;

    /// Computes it. Implementations are `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}
