//! The choice of an instruction set when the program runs.

use super::IntegerConvolution;
use super::simd::IntegerSimd;
#[cfg(target_arch = "aarch64")]
use super::simd::neon::Neon;
use super::simd::portable::Portable;
#[cfg(target_arch = "x86_64")]
use super::simd::{avx_vnni::AvxVnni, avx2::Avx2, avx512_vnni::Avx512Vnni};
#[cfg(target_arch = "x86_64")]
use super::tiles::{Cut, TiledConvolution, Tiles};
use crate::{Isa, UnknownIsa};
use std::fmt;

/// A computation written once for all instruction sets.
pub trait IntegerKernel {
    /// What it computes.
    type Output;

    /// Computes it. Implementations are `#[inline(always)]`.
    fn run<S: IntegerSimd>(self, simd: S) -> Self::Output;
}

/// An instruction set for integers that this processor has.
#[derive(Clone, Copy, Debug)]
pub enum IntegerIsa {
    /// 16,384 products in an instruction.
    #[cfg(target_arch = "x86_64")]
    Amx(Tiles, Avx512Vnni),
    /// 64 products in an instruction.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(Avx512Vnni),
    /// 32 products in an instruction.
    #[cfg(target_arch = "x86_64")]
    AvxVnni(AvxVnni),
    /// 16 products in an instruction.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// 16 products in an instruction, of unsigned with signed integers.
    #[cfg(target_arch = "aarch64")]
    NeonMixed(Neon<true>),
    /// 16 products in an instruction.
    #[cfg(target_arch = "aarch64")]
    NeonSigned(Neon<false>),
    /// On any processor.
    Portable(Portable),
}

impl IntegerIsa {
    /// The instruction sets of this processor, fastest first.
    pub fn available() -> Vec<IntegerIsa> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let vectors = Avx512Vnni::new();
            sets.extend(Tiles::new().zip(vectors).map(|(tiles, vectors)| IntegerIsa::Amx(tiles, vectors)));
            sets.extend(vectors.map(IntegerIsa::Avx512Vnni));
            sets.extend(AvxVnni::new().map(IntegerIsa::AvxVnni));
            sets.extend(Avx2::new().map(IntegerIsa::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        {
            sets.extend(Neon::<true>::new().map(IntegerIsa::NeonMixed));
            sets.extend(Neon::<false>::new().map(IntegerIsa::NeonSigned));
        }
        sets.push(IntegerIsa::Portable(Portable));
        sets
    }

    /// The fastest set that needs no more than [`Isa::current`].
    ///
    /// # Errors
    /// If [`Isa::VARIABLE`] names a set that this processor lacks.
    pub fn current() -> Result<IntegerIsa, UnknownIsa> {
        let floats = Isa::current()?;
        let allowed = |set: &IntegerIsa| match floats.name() {
            "portable" => set.name() == "portable",
            "avx2" => !matches!(set.name(), "amx" | "avx512-vnni"),
            _ => true,
        };
        Ok(Self::available().into_iter().find(allowed).unwrap_or(IntegerIsa::Portable(Portable)))
    }

    /// `amx`, `avx512-vnni`, `avx-vnni`, `avx2`, `neon-i8mm`, `neon-dotprod` or `portable`.
    pub fn name(&self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            IntegerIsa::Amx(..) => "amx",
            #[cfg(target_arch = "x86_64")]
            IntegerIsa::Avx512Vnni(_) => "avx512-vnni",
            #[cfg(target_arch = "x86_64")]
            IntegerIsa::AvxVnni(_) => "avx-vnni",
            #[cfg(target_arch = "x86_64")]
            IntegerIsa::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            IntegerIsa::NeonMixed(_) => "neon-i8mm",
            #[cfg(target_arch = "aarch64")]
            IntegerIsa::NeonSigned(_) => "neon-dotprod",
            IntegerIsa::Portable(_) => "portable",
        }
    }

    /// Computes a convolution.
    ///
    /// # Panics
    /// If it reaches beyond its slices.
    pub fn convolve(self, convolution: IntegerConvolution) {
        match self {
            #[cfg(target_arch = "x86_64")]
            IntegerIsa::Amx(tiles, simd) => match Cut::of(&convolution) {
                Some(cut) => simd.run(TiledConvolution::new(tiles, convolution, cut)),
                None => simd.run(convolution),
            },
            _ => self.run(convolution),
        }
    }

    /// Runs `kernel` with this set's instructions.
    pub fn run<K: IntegerKernel>(self, kernel: K) -> K::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            IntegerIsa::Amx(_, simd) | IntegerIsa::Avx512Vnni(simd) => simd.run(kernel),
            #[cfg(target_arch = "x86_64")]
            IntegerIsa::AvxVnni(simd) => simd.run(kernel),
            #[cfg(target_arch = "x86_64")]
            IntegerIsa::Avx2(simd) => simd.run(kernel),
            #[cfg(target_arch = "aarch64")]
            IntegerIsa::NeonMixed(simd) => simd.run(kernel),
            #[cfg(target_arch = "aarch64")]
            IntegerIsa::NeonSigned(simd) => simd.run(kernel),
            IntegerIsa::Portable(simd) => simd.run(kernel),
        }
    }
}

impl fmt::Display for IntegerIsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
