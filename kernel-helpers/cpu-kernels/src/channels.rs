//! What happens to a channels-last image between two convolutions: batch norm, ReLU, residual sum, and their gradients.
//! Each kernel passes over an image once, while it is in the cache.

use super::conv::Pixels;
use super::simd::{Kernel, Simd};

/// A factor and a summand per channel.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// By which a value is multiplied, per channel.
    pub scale: &'a [f32],
    /// What is added then, per channel.
    pub shift: &'a [f32],
}

/// The last thing that happens to a value: it is cut off at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// None.
    Identity,
    /// What is below zero becomes zero.
    Relu,
    /// ReLU up to 6.
    Relu6,
}

/// The functions as constants, so that a kernel is compiled for each.
const IDENTITY: u8 = Function::Identity as u8;
const RELU: u8 = Function::Relu as u8;
const RELU6: u8 = Function::Relu6 as u8;

impl Function {
    /// From where to where it passes values, and gradients.
    fn range(self) -> [f32; 2] {
        match self {
            Function::Identity => [f32::NEG_INFINITY, f32::INFINITY],
            Function::Relu => [0.0, f32::INFINITY],
            Function::Relu6 => [0.0, 6.0],
        }
    }
}

/// What is added before the function.
#[derive(Clone, Copy, Debug)]
pub enum Skip<'a> {
    /// Nothing.
    None,
    /// The values as they are.
    Identity(&'a [f32]),
    /// The values, scaled and shifted.
    Mapped(&'a [f32], Affine<'a>),
}

/// `function(z · scale + shift + skip)`, written to `dense`, to `padded`, or to both.
pub struct Activate<'a> {
    /// Without gaps, as are the skip and `dense`.
    pub z: &'a [f32],
    /// The batch norm.
    pub norm: Affine<'a>,
    /// What is added.
    pub skip: Skip<'a>,
    /// What is done to the sum.
    pub function: Function,
    /// Pixels in a row.
    pub columns: usize,
    /// Where the result goes without gaps.
    pub dense: Option<&'a mut [f32]>,
    /// Where the result goes with these borders.
    pub padded: Option<(&'a mut [f32], Pixels)>,
}

/// Calls `body(offset in the dense image, row, column)` for every pixel, one vector of channels after the other.
macro_rules! for_each_pixel {
    ($channel:expr, $channels:expr, $rows:expr, $columns:expr, |$at:ident, $y:ident, $x:ident| $body:expr) => {
        for $y in 0..$rows {
            for $x in 0..$columns {
                let $at = ($y * $columns + $x) * $channels + $channel;
                $body
            }
        }
    };
}

/// Panics unless rows of `columns` pixels of `channels` values, with `pixels` as their layout, lie within `length`.
fn check_pixels(length: usize, pixels: Pixels, [rows, columns]: [usize; 2], channels: usize) {
    assert!(pixels.pixel == channels, "channels with gaps");
    if rows > 0 && columns > 0 {
        let last = pixels.start + (rows - 1) * pixels.row + (columns - 1) * channels;
        assert!(last + channels <= length, "image too short");
    }
}

/// The rows of a dense image. Panics if it is not whole, or the channels do not fill vectors.
fn rows_of<S: Simd>(length: usize, columns: usize, channels: usize) -> usize {
    assert!(channels.is_multiple_of(S::LANES) && columns * channels > 0, "channels not padded");
    assert!(length.is_multiple_of(columns * channels), "image not whole");
    length / (columns * channels)
}

impl Kernel for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.function {
            Function::Identity => self.compute::<S, IDENTITY>(simd),
            Function::Relu => self.compute::<S, RELU>(simd),
            Function::Relu6 => self.compute::<S, RELU6>(simd),
        }
    }
}

impl Activate<'_> {
    #[inline(always)]
    fn compute<S: Simd, const FUNCTION: u8>(mut self, simd: S) {
        let (channels, columns, z) = (self.norm.scale.len(), self.columns, self.z);
        let rows = rows_of::<S>(z.len(), columns, channels);
        assert!(self.norm.shift.len() == channels, "one shift per channel");
        match self.skip {
            Skip::None => {}
            Skip::Identity(skip) => assert!(skip.len() == z.len(), "skip of another size"),
            Skip::Mapped(skip, norm) => {
                assert!(skip.len() == z.len(), "skip of another size");
                assert!(norm.scale.len() == channels && norm.shift.len() == channels, "one pair per channel");
            }
        }
        assert!(self.dense.as_ref().is_none_or(|dense| dense.len() == z.len()), "output of another size");
        if let Some((padded, pixels)) = &self.padded {
            check_pixels(padded.len(), *pixels, [rows, columns], channels);
        }
        let [low, high] = self.function.range().map(|limit| simd.splat(limit));
        for channel in (0..channels).step_by(S::LANES) {
            // SAFETY: all lengths were just checked, and `channel` leaves room for a vector.
            unsafe {
                let scale = simd.load(self.norm.scale.as_ptr().add(channel));
                let shift = simd.load(self.norm.shift.as_ptr().add(channel));
                for_each_pixel!(channel, channels, rows, columns, |at, y, x| {
                    let mut value = simd.mul_add(simd.load(z.as_ptr().add(at)), scale, shift);
                    match self.skip {
                        Skip::None => {}
                        Skip::Identity(skip) => value = simd.add(value, simd.load(skip.as_ptr().add(at))),
                        Skip::Mapped(skip, norm) => {
                            let scale = simd.load(norm.scale.as_ptr().add(channel));
                            let shift = simd.load(norm.shift.as_ptr().add(channel));
                            let mapped = simd.mul_add(simd.load(skip.as_ptr().add(at)), scale, shift);
                            value = simd.add(value, mapped);
                        }
                    }
                    let value = match FUNCTION {
                        IDENTITY => value,
                        RELU => simd.at_least(value, low),
                        _ => simd.at_most(simd.at_least(value, low), high),
                    };
                    if let Some(dense) = &mut self.dense {
                        simd.store(dense.as_mut_ptr().add(at), value);
                    }
                    if let Some((padded, pixels)) = &mut self.padded {
                        let to = pixels.start + y * pixels.row + x * channels + channel;
                        simd.store(padded.as_mut_ptr().add(to), value);
                    }
                });
            }
        }
    }
}

/// Adds `Σ (z - center)` and `Σ (z - center)²` over the pixels to `sums`, per channel.
pub struct ShiftedSums<'a> {
    /// The pixels, without gaps.
    pub z: &'a [f32],
    /// A value near the mean, per channel.
    pub center: &'a [f32],
    /// Both sums, per channel.
    pub sums: [&'a mut [f64]; 2],
}

impl Kernel for ShiftedSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let channels = self.center.len();
        let pixels = rows_of::<S>(self.z.len(), 1, channels);
        for channel in (0..channels).step_by(S::LANES) {
            // Two strands each, so that an addition does not wait for the one before.
            let mut sums = [[simd.splat(0.0); 2]; 2];
            // SAFETY: `rows_of` checked the length, and `channel` leaves room for a vector.
            unsafe {
                let center = simd.load(self.center.as_ptr().add(channel));
                for pixel in 0..pixels {
                    let value = simd.load(self.z.as_ptr().add(pixel * channels + channel));
                    let distance = simd.sub(value, center);
                    let strand = pixel % 2;
                    sums[0][strand] = simd.add(sums[0][strand], distance);
                    sums[1][strand] = simd.mul_add(distance, distance, sums[1][strand]);
                }
            }
            for (total, [even, odd]) in self.sums.iter_mut().zip(sums) {
                add_lanes(simd, simd.add(even, odd), &mut total[channel..]);
            }
        }
    }
}

/// Adds a vector's lanes to the first of `totals`.
#[inline(always)]
fn add_lanes<S: Simd>(simd: S, vector: S::Vector, totals: &mut [f64]) {
    let mut lanes = [0.0f32; super::LANES_MAX];
    // SAFETY: a vector has at most `LANES_MAX` lanes.
    unsafe { simd.store(lanes.as_mut_ptr(), vector) };
    for (total, lane) in totals.iter_mut().zip(&lanes[..S::LANES]) {
        *total += f64::from(*lane);
    }
}

/// The gradient by a batch norm's input: `dz = by_gradient · dy + by_input · (z - mean) + constant`, per channel.
pub struct NormGradient<'a> {
    /// Without gaps, as is `z`.
    pub dy: &'a [f32],
    /// The batch norm's input.
    pub z: &'a [f32],
    /// Its mean, per channel.
    pub mean: &'a [f32],
    /// As in the formula.
    pub by_gradient: &'a [f32],
    /// As in the formula.
    pub by_input: &'a [f32],
    /// As in the formula.
    pub constant: &'a [f32],
    /// Pixels in a row.
    pub columns: usize,
    /// The gradient.
    pub dz: &'a mut [f32],
    /// How it lies.
    pub dz_pixels: Pixels,
}

impl Kernel for NormGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (channels, columns) = (self.mean.len(), self.columns);
        let rows = rows_of::<S>(self.dy.len(), columns, channels);
        assert!(self.z.len() == self.dy.len(), "input of another size");
        for coefficients in [self.by_gradient, self.by_input, self.constant] {
            assert!(coefficients.len() == channels, "one coefficient per channel");
        }
        check_pixels(self.dz.len(), self.dz_pixels, [rows, columns], channels);
        for channel in (0..channels).step_by(S::LANES) {
            // SAFETY: all lengths were just checked, and `channel` leaves room for a vector.
            unsafe {
                let mean = simd.load(self.mean.as_ptr().add(channel));
                let by_gradient = simd.load(self.by_gradient.as_ptr().add(channel));
                let by_input = simd.load(self.by_input.as_ptr().add(channel));
                let constant = simd.load(self.constant.as_ptr().add(channel));
                for_each_pixel!(channel, channels, rows, columns, |at, y, x| {
                    let centered = simd.sub(simd.load(self.z.as_ptr().add(at)), mean);
                    let rest = simd.mul_add(centered, by_input, constant);
                    let dz = simd.mul_add(simd.load(self.dy.as_ptr().add(at)), by_gradient, rest);
                    let to = self.dz_pixels.start + y * self.dz_pixels.row + x * channels + channel;
                    simd.store(self.dz.as_mut_ptr().add(to), dz);
                });
            }
        }
    }
}

/// What [`Gate`] adds to the gradient.
pub enum Addend {
    /// Nothing.
    None,
    /// What the output holds already.
    Output,
}

/// A batch norm that receives the gated gradient: its input, its mean, and its `Σ dy · (z - mean)` per channel.
pub struct GatedNorm<'a> {
    /// Its input.
    pub z: &'a [f32],
    /// The mean per channel.
    pub mean: &'a [f32],
    /// The sums, added to.
    pub products: &'a mut [f64],
}

/// `dy = gradient + addend` where the function let its result, the gate, pass; with the sums that the batch norms before it
/// need. Everything but the gate lies without gaps.
pub struct Gate<'a> {
    /// The gradient at the output.
    pub gradient: &'a [f32],
    /// What is added to it.
    pub addend: Addend,
    /// The function behind which the gradient arrives.
    pub function: Function,
    /// Not read for [`Function::Identity`].
    pub gate: &'a [f32],
    /// How the gate lies.
    pub gate_pixels: Pixels,
    /// Pixels in a row.
    pub columns: usize,
    /// The gated gradient.
    pub dy: &'a mut [f32],
    /// `Σ dy`, per channel.
    pub sums: &'a mut [f64],
    /// Of the two terms of a sum.
    pub norms: [Option<GatedNorm<'a>>; 2],
}

impl Kernel for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.function {
            Function::Identity => self.pass::<S, IDENTITY>(simd),
            Function::Relu => self.pass::<S, RELU>(simd),
            Function::Relu6 => self.pass::<S, RELU6>(simd),
        }
    }
}

impl Gate<'_> {
    #[inline(always)]
    fn pass<S: Simd, const FUNCTION: u8>(mut self, simd: S) {
        let (channels, columns, length) = (self.sums.len(), self.columns, self.gradient.len());
        let rows = rows_of::<S>(length, columns, channels);
        if FUNCTION != IDENTITY {
            check_pixels(self.gate.len(), self.gate_pixels, [rows, columns], channels);
        }
        assert!(self.dy.len() == length, "output of another size");
        for norm in self.norms.iter().flatten() {
            assert!(norm.z.len() == length, "input of another size");
            assert!(norm.mean.len() == channels && norm.products.len() == channels, "one value per channel");
        }
        let [low, high] = self.function.range().map(|limit| simd.splat(limit));
        for channel in (0..channels).step_by(S::LANES) {
            let mut sum = simd.splat(0.0);
            let mut products = [simd.splat(0.0); 2];
            // SAFETY: all lengths were just checked, and `channel` leaves room for a vector.
            unsafe {
                for_each_pixel!(channel, channels, rows, columns, |at, y, x| {
                    let mut dy = simd.load(self.gradient.as_ptr().add(at));
                    match self.addend {
                        Addend::None => {}
                        Addend::Output => dy = simd.add(dy, simd.load(self.dy.as_ptr().add(at))),
                    }
                    if FUNCTION != IDENTITY {
                        let gate = self.gate_pixels.start + y * self.gate_pixels.row + x * channels + channel;
                        let gate = simd.load(self.gate.as_ptr().add(gate));
                        dy = simd.keep_above(dy, gate, low);
                        if FUNCTION == RELU6 {
                            dy = simd.keep_above(dy, high, gate);
                        }
                    }
                    simd.store(self.dy.as_mut_ptr().add(at), dy);
                    sum = simd.add(sum, dy);
                    for (norm, products) in self.norms.iter().zip(&mut products) {
                        if let Some(norm) = norm {
                            let mean = simd.load(norm.mean.as_ptr().add(channel));
                            let centered = simd.sub(simd.load(norm.z.as_ptr().add(at)), mean);
                            *products = simd.mul_add(dy, centered, *products);
                        }
                    }
                });
            }
            add_lanes(simd, sum, &mut self.sums[channel..]);
            for (norm, products) in self.norms.iter_mut().zip(products) {
                if let Some(norm) = norm {
                    add_lanes(simd, products, &mut norm.products[channel..]);
                }
            }
        }
    }
}
