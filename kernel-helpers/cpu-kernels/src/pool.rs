//! Pooling of dense channels-last images, their channels padded to 16.

use super::simd::{Kernel, Simd};
use super::{Isa, LANES_MAX};
use std::ops::Range;

/// What becomes of a window's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The largest; not-a-number is larger than all others. Of several, the first in row-major order has the gradient.
    Max,
    /// The mean, in which the padding counts as zeros.
    Average,
}

/// Square windows over an image, as PyTorch's `max_pool2d` and `avg_pool2d` take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Height and width of a window.
    pub kernel: usize,
    /// Step from window to window.
    pub stride: usize,
    /// How far windows reach beyond the image, at most half the kernel.
    pub padding: usize,
}

impl Pool {
    /// Rows and columns of the output, none if the image is smaller than a window or the window is none.
    pub fn output_size(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let Pool { kernel, stride, padding } = *self;
        if stride == 0 || kernel == 0 || 2 * padding > kernel {
            return None;
        }
        let extent = |input: usize| Some((input + 2 * padding).checked_sub(kernel)? / stride + 1);
        Some([extent(size[0])?, extent(size[1])?])
    }

    /// Pools an image of `size`.
    ///
    /// # Panics
    /// If a slice has another length than the sizes say, there is no output, or the channels are no multiple of 16.
    pub fn forward(
        &self,
        isa: Isa,
        kind: Pooling,
        input: &[f32],
        size: [usize; 2],
        channels: usize,
        output: &mut [f32],
    ) {
        let windows = self.windows(size, channels);
        assert!(input.len() == windows.input_length() && output.len() == windows.output_length());
        isa.run(Forward { windows, kind, input, output });
    }

    /// Writes the gradient at an image of `size`, given that at its pooled image.
    ///
    /// # Panics
    /// As [`Pool::forward`] does.
    #[allow(clippy::too_many_arguments)]
    pub fn backward(
        &self,
        isa: Isa,
        kind: Pooling,
        input: &[f32],
        size: [usize; 2],
        channels: usize,
        output_gradient: &[f32],
        input_gradient: &mut [f32],
    ) {
        let windows = self.windows(size, channels);
        assert!(input_gradient.len() == windows.input_length());
        assert!(output_gradient.len() == windows.output_length());
        assert!(kind == Pooling::Average || input.len() == windows.input_length());
        isa.run(Backward { windows, kind, input, output_gradient, input_gradient });
    }

    fn windows(&self, size: [usize; 2], channels: usize) -> Windows {
        assert!(channels.is_multiple_of(LANES_MAX), "channels not padded");
        let output = self.output_size(size).expect("an image no smaller than the window");
        Windows { pool: *self, size, output, channels }
    }
}

/// The windows of an image.
#[derive(Clone, Copy)]
struct Windows {
    pool: Pool,
    size: [usize; 2],
    output: [usize; 2],
    channels: usize,
}

impl Windows {
    fn input_length(&self) -> usize {
        self.size[0] * self.size[1] * self.channels
    }

    fn output_length(&self) -> usize {
        self.output[0] * self.output[1] * self.channels
    }

    /// The part of window `at` of a dimension that lies in the image, which is never empty.
    #[inline(always)]
    fn range(&self, at: usize, dimension: usize) -> Range<usize> {
        let Pool { kernel, stride, padding } = self.pool;
        let start = at * stride;
        start.saturating_sub(padding)..(start + kernel - padding).min(self.size[dimension])
    }

    /// A vector of channels of window `[y, x]`, those from `channel` on.
    #[inline(always)]
    fn window(&self, [y, x]: [usize; 2], channel: usize) -> Window {
        let (rows, columns) = (self.range(y, 0), self.range(x, 1));
        Window { rows, columns, row: self.size[1] * self.channels, pixel: self.channels, channel }
    }

    /// How many values a window's mean is over.
    #[inline(always)]
    fn area(&self) -> f32 {
        (self.pool.kernel * self.pool.kernel) as f32
    }
}

/// Calls `body(place in the output, window)` for a vector of channels of each window after the other. A closure would be compiled
/// without the instruction set.
macro_rules! for_each_window {
    ($windows:expr, |$at:ident, $window:ident| $body:expr) => {
        for y in 0..$windows.output[0] {
            for x in 0..$windows.output[1] {
                for channel in (0..$windows.channels).step_by(S::LANES) {
                    let $at = (y * $windows.output[1] + x) * $windows.channels + channel;
                    let $window = $windows.window([y, x], channel);
                    $body
                }
            }
        }
    };
}

/// A vector of channels of the pixels of a window.
#[derive(Clone)]
struct Window {
    rows: Range<usize>,
    columns: Range<usize>,
    /// From a row of the image to the next, and from a pixel to the next.
    row: usize,
    pixel: usize,
    channel: usize,
}

impl Window {
    /// The place of each pixel's channels in the image, in row-major order.
    #[inline(always)]
    fn places(&self) -> impl Iterator<Item = usize> + use<> {
        let Window { rows, columns, row, pixel, channel } = self.clone();
        let rows = rows.map(move |y| y * row + channel);
        rows.flat_map(move |row| columns.clone().map(move |column| row + column * pixel))
    }

    /// The largest value of each channel, and where its pixel comes in the window.
    ///
    /// # Safety
    /// The window lies in the image.
    #[inline(always)]
    unsafe fn largest<S: Simd>(&self, simd: S, image: &[f32]) -> [S::Vector; 2] {
        let (mut largest, mut found) = (simd.splat(f32::NEG_INFINITY), simd.splat(0.0));
        for (index, at) in (0u32..).zip(self.places()) {
            // SAFETY: the caller's promise.
            let value = unsafe { simd.load(image.as_ptr().add(at)) };
            found = simd.choose_larger(value, largest, [simd.splat(index as f32), found]);
            largest = simd.choose_larger(value, largest, [value, largest]);
        }
        [largest, found]
    }

    /// The sum of each channel's values.
    ///
    /// # Safety
    /// The window lies in the image.
    #[inline(always)]
    unsafe fn sum<S: Simd>(&self, simd: S, image: &[f32]) -> S::Vector {
        let mut sum = simd.splat(0.0);
        for at in self.places() {
            // SAFETY: the caller's promise.
            sum = simd.add(sum, unsafe { simd.load(image.as_ptr().add(at)) });
        }
        sum
    }
}

struct Forward<'a> {
    windows: Windows,
    kind: Pooling,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (windows, area) = (self.windows, simd.splat(self.windows.area()));
        for_each_window!(windows, |at, window| {
            // SAFETY: `Pool` has checked the lengths, and every window lies in the image.
            unsafe {
                let pooled = match self.kind {
                    Pooling::Max => window.largest(simd, self.input)[0],
                    Pooling::Average => simd.div(window.sum(simd, self.input), area),
                };
                simd.store(self.output.as_mut_ptr().add(at), pooled);
            }
        });
    }
}

struct Backward<'a> {
    windows: Windows,
    kind: Pooling,
    input: &'a [f32],
    output_gradient: &'a [f32],
    input_gradient: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (windows, area) = (self.windows, simd.splat(self.windows.area()));
        self.input_gradient.fill(0.0);
        for_each_window!(windows, |at, window| {
            // SAFETY: as in the forward pass.
            unsafe {
                let gradient = simd.load(self.output_gradient.as_ptr().add(at));
                let (gradient, found) = match self.kind {
                    Pooling::Max => (gradient, Some(window.largest(simd, self.input)[1])),
                    Pooling::Average => (simd.div(gradient, area), None),
                };
                for (index, at) in (0u32..).zip(window.places()) {
                    let mut passed = gradient;
                    if let Some(found) = found {
                        let [before, after] = [-0.5, 0.5].map(|distance| simd.splat(index as f32 + distance));
                        passed = simd.keep_above(simd.keep_above(gradient, found, before), after, found);
                    }
                    let to = self.input_gradient.as_mut_ptr().add(at);
                    simd.store(to, simd.add(simd.load(to), passed));
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// `[rows, columns, channels, kernel, stride, padding]`.
    const CASES: [[usize; 6]; 8] = [
        [4, 6, 16, 2, 2, 0],
        [5, 7, 32, 2, 2, 0], // a row and a column are left over
        [6, 5, 16, 3, 2, 1], // windows that overlap and reach beyond the image
        [7, 7, 48, 3, 1, 1],
        [3, 3, 16, 3, 1, 0], // one window
        [4, 4, 16, 1, 1, 0],
        [1, 1, 16, 2, 1, 1], // windows with one value
        [9, 8, 16, 2, 3, 0], // values between the windows
    ];

    /// By definition: the output, and the input's gradient along `dy`.
    fn plain(
        pool: Pool,
        kind: Pooling,
        x: &[f32],
        size: [usize; 2],
        channels: usize,
        dy: &[f32],
    ) -> [Vec<f64>; 2] {
        let [rows, columns] = pool.output_size(size).unwrap();
        let (mut output, mut gradient) = (vec![], vec![0.0; x.len()]);
        for (at, dy) in dy.iter().enumerate() {
            let (y, column, c) = (at / channels / columns, at / channels % columns, at % channels);
            assert!(y < rows);
            let taps = (0..pool.kernel * pool.kernel).filter_map(|tap| {
                let row = (y * pool.stride + tap / pool.kernel).checked_sub(pool.padding)?;
                let column = (column * pool.stride + tap % pool.kernel).checked_sub(pool.padding)?;
                (row < size[0] && column < size[1]).then_some((row * size[1] + column) * channels + c)
            });
            let area = (pool.kernel * pool.kernel) as f64;
            match kind {
                Pooling::Max => {
                    let first = taps.reduce(|best, at| if x[at] > x[best] { at } else { best }).unwrap();
                    output.push(f64::from(x[first]));
                    gradient[first] += f64::from(*dy);
                }
                Pooling::Average => {
                    output.push(taps.clone().map(|at| f64::from(x[at])).sum::<f64>() / area);
                    taps.for_each(|at| gradient[at] += f64::from(*dy) / area);
                }
            }
        }
        [output, gradient]
    }

    #[track_caller]
    fn assert_close(what: &str, found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len(), "{what}");
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            let difference = (f64::from(*found) - expected).abs();
            assert!(difference <= 1e-6, "{what}, value {at}: {found}, not {expected}");
        }
    }

    #[test]
    fn pools_and_their_gradients_agree_with_plain_loops() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for [rows, columns, channels, kernel, stride, padding] in CASES {
            let (pool, size) = (Pool { kernel, stride, padding }, [rows, columns]);
            // So few different values that many windows have several maxima.
            let x: Vec<f32> =
                (0..rows * columns * channels).map(|_| rng.random_range(-2..=1i8).into()).collect();
            let [output_rows, output_columns] = pool.output_size(size).unwrap();
            let dy: Vec<f32> =
                (0..output_rows * output_columns * channels).map(|_| rng.random_range(-1.0..1.0)).collect();
            for kind in [Pooling::Max, Pooling::Average] {
                let [expected, expected_gradient] = plain(pool, kind, &x, size, channels, &dy);
                for isa in Isa::available() {
                    let what = format!("{kind:?}, {isa}, {pool:?}, {size:?}");
                    let (mut y, mut dx) = (vec![f32::NAN; dy.len()], vec![f32::NAN; x.len()]);
                    pool.forward(isa, kind, &x, size, channels, &mut y);
                    pool.backward(isa, kind, &x, size, channels, &dy, &mut dx);
                    assert_close(&what, &y, &expected);
                    assert_close(&format!("gradient of {what}"), &dx, &expected_gradient);
                }
            }
        }
    }

    #[test]
    fn not_a_number_is_the_largest() {
        let pool = Pool { kernel: 2, stride: 2, padding: 0 };
        let mut x = [1.0; 64];
        x[17] = f32::NAN;
        for isa in Isa::available() {
            let (mut y, mut dx) = ([0.0; 16], [0.0; 64]);
            pool.forward(isa, Pooling::Max, &x, [2, 2], 16, &mut y);
            assert!(y[1].is_nan() && y[0] == 1.0 && y[2] == 1.0, "{isa}");
            pool.backward(isa, Pooling::Max, &x, [2, 2], 16, &[1.0; 16], &mut dx);
            assert_eq!((dx[1], dx[17], dx[0], dx[16]), (0.0, 1.0, 1.0, 0.0), "{isa}");
        }
    }

    #[test]
    fn windows_that_fit_nowhere_have_no_output() {
        let pool = Pool { kernel: 3, stride: 2, padding: 1 };
        assert_eq!(pool.output_size([8, 1]), Some([4, 1]));
        assert_eq!(Pool { padding: 0, ..pool }.output_size([8, 2]), None);
        assert_eq!(Pool { padding: 2, ..pool }.output_size([8, 8]), None);
        assert_eq!(Pool { stride: 0, ..pool }.output_size([8, 8]), None);
        assert_eq!(Pool { kernel: 0, padding: 0, ..pool }.output_size([8, 8]), None);
    }
}
