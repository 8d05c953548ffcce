//! Memory that starts on a cache line.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// The values of a cache line, which is also the widest vector.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

const LINE: usize = 16;

/// Values that start on a cache line, so that no vector of an image lies across two. A slice of f32 otherwise.
#[derive(Clone, Default)]
pub struct AlignedVec {
    lines: Vec<Line>,
    length: usize,
}

impl AlignedVec {
    /// `length` zeros.
    pub fn zeros(length: usize) -> Self {
        AlignedVec { lines: vec![Line([0.0; LINE]); length.div_ceil(LINE)], length }
    }

    /// Changes the length; values beyond the old one are arbitrary. The memory is kept.
    pub fn resize(&mut self, length: usize) {
        if self.lines.len() < length.div_ceil(LINE) {
            self.lines.resize(length.div_ceil(LINE), Line([0.0; LINE]));
        }
        self.length = length;
    }

    /// The length that it can have without new memory.
    pub fn capacity(&self) -> usize {
        self.lines.len() * LINE
    }
}

impl fmt::Debug for AlignedVec {
    /// How many values there are: those of a training step would be a gigabyte of text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedVec({} values)", self.length)
    }
}

impl Deref for AlignedVec {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: the lines hold at least `length` values, without gaps.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.length) }
    }
}

impl DerefMut for AlignedVec {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as for `deref`.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.length) }
    }
}
