//! The choice of an instruction set when the program runs.

#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
use super::{Kernel, portable::Portable};
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};
use crate::memory;
use std::fmt;
use std::sync::OnceLock;

/// An instruction set that this processor has.
#[derive(Clone, Copy, Debug)]
pub enum Isa {
    /// 16 values at a time.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// 8 values at a time.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// 4 values at a time, in 32 registers.
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    /// 4 values at a time, on any processor.
    Portable(Portable),
}

impl Isa {
    /// The environment variable that forces one set, by its name.
    pub const VARIABLE: &'static str = "KERNEL_HELPERS_ISA";

    /// The instruction sets of this processor, widest first.
    pub fn available() -> Vec<Isa> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            sets.extend(Avx512::new().map(Isa::Avx512));
            sets.extend(Avx2::new().map(Isa::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        sets.extend(Neon::new().map(Isa::Neon));
        sets.push(Isa::Portable(Portable));
        sets
    }

    /// The set of this name: `avx512`, `avx2`, `neon` or `portable`.
    ///
    /// # Errors
    /// If this processor lacks it or there is none of that name.
    pub fn named(name: &str) -> Result<Isa, UnknownIsa> {
        let available = Isa::available();
        available.iter().find(|isa| isa.name() == name).copied().ok_or_else(|| {
            let names: Vec<_> = available.iter().map(Isa::name).collect();
            UnknownIsa { available: names.join(", "), found: name.to_owned() }
        })
    }

    /// The set that all operations use: the one that [`Isa::VARIABLE`] names when it is first asked for, otherwise the
    /// widest. The first call also tells the allocator to keep freed memory for reuse.
    ///
    /// # Errors
    /// If the variable names a set that this processor lacks.
    pub fn current() -> Result<Isa, UnknownIsa> {
        static CURRENT: OnceLock<Isa> = OnceLock::new();
        if let Some(isa) = CURRENT.get() {
            return Ok(*isa);
        }
        let isa = match std::env::var(Isa::VARIABLE) {
            Ok(name) => Isa::named(&name)?,
            Err(_) => Isa::available()[0],
        };
        Ok(*CURRENT.get_or_init(|| {
            memory::keep_freed_pages();
            isa
        }))
    }

    /// `avx512`, `avx2`, `neon` or `portable`.
    pub fn name(&self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Isa::Neon(_) => "neon",
            Isa::Portable(_) => "portable",
        }
    }

    /// Runs `kernel` with this set's instructions.
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(simd) => simd.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(simd) => simd.run(kernel),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon(simd) => simd.run(kernel),
            Isa::Portable(simd) => simd.run(kernel),
        }
    }
}

/// The name of an instruction set that this processor lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownIsa {
    /// The names of those that it has.
    pub available: String,
    /// The name.
    pub found: String,
}

impl fmt::Display for UnknownIsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: expected one of this processor's {}, found {}",
            Isa::VARIABLE,
            self.available,
            self.found
        )
    }
}

impl std::error::Error for UnknownIsa {}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
