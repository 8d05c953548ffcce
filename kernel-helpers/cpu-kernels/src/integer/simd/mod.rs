//! Vectors of integers behind one interface.

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512_vnni;
#[cfg(target_arch = "x86_64")]
pub mod avx_vnni;
#[cfg(target_arch = "aarch64")]
pub mod neon;
pub mod portable;

use super::Requantization;

/// An instruction set that multiplies 8-bit integers. A value of an implementing type is the proof that this processor has it.
pub trait IntegerSimd: Copy {
    /// Four neighboring inputs, the same in all lanes.
    type Inputs: Copy;
    /// Four weights in each lane.
    type Weights: Copy;
    /// A sum in each lane.
    type Sums: Copy;
    /// Sums in a vector; divides 16.
    const LANES: usize;
    /// Vector registers, which decide how large a tile of sums a kernel holds.
    const REGISTERS: usize;

    /// All sums 0.
    fn zero(self) -> Self::Sums;
    /// Reads four inputs.
    ///
    /// # Safety
    /// `from` must be valid for reading 4 bytes.
    unsafe fn inputs(self, from: *const u8) -> Self::Inputs;
    /// Reads four weights for each lane.
    ///
    /// # Safety
    /// `from` must be valid for reading `4 · LANES` bytes.
    unsafe fn weights(self, from: *const u8) -> Self::Weights;
    /// Reads sums.
    ///
    /// # Safety
    /// `from` must be valid for reading `LANES` sums.
    unsafe fn sums(self, from: *const i32) -> Self::Sums;
    /// `sums + Σ inputs · weights` over the four, exactly.
    fn dot(self, sums: Self::Sums, inputs: Self::Inputs, weights: Self::Weights) -> Self::Sums;
    /// `sums` and the values of `LANES` channels.
    ///
    /// # Safety
    /// `from` must be valid for reading `LANES` bytes.
    unsafe fn add_values(self, sums: Self::Sums, from: *const u8) -> Self::Sums;
    /// `sums` and the products of `LANES` channels, each with its weight, exactly.
    ///
    /// # Safety
    /// Both pointers must be valid for reading `LANES` bytes.
    unsafe fn add_products(self, sums: Self::Sums, inputs: *const u8, weights: *const u8) -> Self::Sums;
    /// Writes `LANES` outputs: [`Requantization::apply`] of the sums of the channels from `channel` on.
    ///
    /// # Safety
    /// `rule` must have these channels, `residual` must be valid for reading `LANES` bytes and `to` for writing as many.
    unsafe fn finish(
        self,
        sums: Self::Sums,
        rule: &Requantization,
        channel: usize,
        residual: Option<*const u8>,
        to: *mut u8,
    );
}
