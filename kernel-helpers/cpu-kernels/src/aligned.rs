//! Memory that starts on a cache line.

use super::arena::{Arena, Part};
use std::fmt;
use std::ops::{Deref, DerefMut};

/// The values of a cache line, which is also the widest vector.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct Line([f32; LINE]);

const LINE: usize = 16;

/// Values that start on a cache line, so that no vector of an image lies across two. A slice of f32 otherwise.
#[derive(Default)]
pub struct AlignedVec {
    memory: Memory,
    length: usize,
}

enum Memory {
    Own(Vec<Line>),
    Lent(Part),
}

impl Line {
    /// All values the same.
    pub const fn of(value: f32) -> Self {
        Line([value; LINE])
    }
}

impl Arena {
    /// An arena for so many values; none if there is no such memory.
    pub fn new(length: usize) -> Self {
        Arena::of_lines(length.div_ceil(LINE))
    }

    /// The most values that it holds.
    pub fn capacity(&self) -> usize {
        self.lines() * LINE
    }

    /// So many values, which go back when they are dropped; what they are is arbitrary. If the arena has no room, they have memory of
    /// their own.
    pub fn take(&self, length: usize) -> AlignedVec {
        match self.part(length.div_ceil(LINE)) {
            Some(part) if length > 0 => AlignedVec { memory: Memory::Lent(part), length },
            _ => AlignedVec::zeros(length),
        }
    }
}

impl AlignedVec {
    /// `length` zeros.
    pub fn zeros(length: usize) -> Self {
        AlignedVec { memory: Memory::Own(vec![Line::of(0.0); length.div_ceil(LINE)]), length }
    }

    /// Changes the length; values beyond the old one are arbitrary. The memory is kept.
    pub fn resize(&mut self, length: usize) {
        let lines = length.div_ceil(LINE);
        if self.memory.lines().len() < lines {
            let mut own = match std::mem::take(&mut self.memory) {
                Memory::Own(own) => own,
                Memory::Lent(part) => part.lines().to_vec(),
            };
            own.resize(lines, Line::of(0.0));
            self.memory = Memory::Own(own);
        }
        self.length = length;
    }
}

impl Memory {
    fn lines(&self) -> &[Line] {
        match self {
            Memory::Own(own) => own,
            Memory::Lent(part) => part.lines(),
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Memory::Own(Vec::new())
    }
}

impl Clone for AlignedVec {
    /// The same values in memory of their own.
    fn clone(&self) -> Self {
        AlignedVec { memory: Memory::Own(self.memory.lines().to_vec()), length: self.length }
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
        unsafe { std::slice::from_raw_parts(self.memory.lines().as_ptr().cast(), self.length) }
    }
}

impl DerefMut for AlignedVec {
    fn deref_mut(&mut self) -> &mut [f32] {
        let lines = match &mut self.memory {
            Memory::Own(own) => own.as_mut_slice(),
            Memory::Lent(part) => part.lines_mut(),
        };
        // SAFETY: as for `deref`.
        unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), self.length) }
    }
}
