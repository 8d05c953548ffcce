//! Bytes that start on a cache line.

use std::fmt;
use std::ops::{Deref, DerefMut};

const LINE: usize = 64;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// Bytes that start on a cache line, and behind which a whole vector can be read. A slice of u8 otherwise.
///
/// ```
/// use cpu_kernels::integer::Bytes;
/// let mut bytes = Bytes::filled(100, 7);
/// bytes[99] = 8;
/// assert_eq!((bytes.len(), bytes[0], bytes[99]), (100, 7, 8));
/// ```
#[derive(Clone)]
pub struct Bytes {
    lines: Vec<Line>,
    length: usize,
}

impl Bytes {
    /// `length` bytes of this value.
    pub fn filled(length: usize, value: u8) -> Self {
        Bytes { lines: vec![Line([value; LINE]); length.div_ceil(LINE) + 1], length }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the lines hold more than `length` bytes, without gaps.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.length) }
    }
}

impl DerefMut for Bytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.length) }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.length)
    }
}
