//! From sums of 32 bits back to 8.

use crate::conv::Pixels;

/// What is done to a convolution's sums, by output channel `c`: `clamp(round((sum · scale[c] + shift[c]) + residual · factor))`.
///
/// Each product and each sum is rounded to f32, halves are rounded to even, and the residual is left out where there is none.
/// The convolution's bias, the zeros of input and output, and those of the residual are in `shift`; a ReLU is in the bounds.
#[derive(Clone, Debug)]
pub struct Requantization {
    /// By output channel, padded to a multiple of 16.
    pub scale: Vec<f32>,
    /// By output channel, padded to a multiple of 16.
    pub shift: Vec<f32>,
    /// What the residual is multiplied by.
    pub factor: f32,
    /// The smallest output, an integer from 0 to 255.
    pub low: f32,
    /// The largest output, an integer from 0 to 255.
    pub high: f32,
}

/// Images that are added to a convolution's outputs.
#[derive(Clone, Copy, Debug)]
pub struct Residual<'a> {
    /// The images.
    pub images: &'a [u8],
    /// Where they lie.
    pub pixels: Pixels,
}

impl Requantization {
    /// The output for a sum of a channel, and for a residual if there is one; the definition that all kernels follow.
    #[inline(always)]
    pub fn apply(&self, sum: i32, channel: usize, residual: Option<u8>) -> u8 {
        let mut value = sum as f32 * self.scale[channel] + self.shift[channel];
        if let Some(residual) = residual {
            value += f32::from(residual) * self.factor;
        }
        value.max(self.low).min(self.high).round_ties_even() as u8
    }
}
