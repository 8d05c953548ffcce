//! The arithmetic of evenly spaced levels: the numbers of the levels and their values.
//!
//! Both ends load exactly as the weights have them, so that quantizing the loaded weights finds the same levels.

use crate::quant::{Levels, mean_magnitude};

/// The widths that codes can have.
pub(super) const WIDTHS: std::ops::RangeInclusive<u32> = 1..=16;

impl Levels {
    /// One symmetric bit: the levels are the ends alone, and the sign tells which.
    fn binary(self) -> bool {
        self.symmetric && self.n_bits == 1
    }

    /// One less than the number of levels.
    pub(super) fn steps(self) -> u32 {
        (1 << self.n_bits) - if self.symmetric && !self.binary() { 2 } else { 1 }
    }

    /// The lowest and the highest level of these values, none of which is zero.
    pub(super) fn range(self, values: &[f32]) -> [f32; 2] {
        let low = values.iter().copied().reduce(f32::min).unwrap_or(0.0);
        let high = values.iter().copied().reduce(f32::max).unwrap_or(0.0);
        let largest = if self.binary() { mean_magnitude(values) } else { high.max(-low) };
        if self.symmetric { [-largest, largest] } else { [low, high] }
    }

    /// The number of a value's level, from 0; the quantizer's own arithmetic.
    pub(super) fn code(self, value: f32, [low, high]: [f32; 2]) -> u16 {
        let steps = self.steps() as f32;
        let code = match self.symmetric {
            true if self.binary() => f32::from(value > 0.0),
            true => (value / high * (steps / 2.0)).round_ties_even() + steps / 2.0,
            false => ((value - low) / (high - low) * steps).round_ties_even(),
        };
        code.clamp(0.0, steps) as u16 // 0 where all values are the same
    }

    /// The level of this number, or where that is zero, a value beside it that is quantized to it: a weight that is not
    /// zero must not become one, for zeros are what pruning leaves.
    pub(super) fn value(self, code: u16, [low, high]: [f32; 2]) -> f32 {
        let (code, steps) = (f32::from(code), self.steps() as f32);
        let level = match self.symmetric {
            true => (code - steps / 2.0) / (steps / 2.0) * high,
            false if code == steps => high,
            false => code / steps * (high - low) + low,
        };
        if level == 0.0 { (high - low) / (4.0 * steps) } else { level }
    }
}
