//! The transforms between pixels and points. `count` tiles begin where `place` says, `points` is the layout of what is
//! transformed.

use super::{Place, Points};
use crate::conv::Pixels;
use crate::simd::Simd;

/// `Bᵀ d B` of each tile's 4x4 inputs.
///
/// # Safety
/// `input` holds the tiles' pixels, `to` has room for all their points; `channels` is a multiple of the lanes.
#[inline(always)]
pub unsafe fn transform_input<S: Simd>(
    simd: S,
    input: &[f32],
    pixels: Pixels,
    channels: usize,
    (count, place): (usize, impl Fn(usize) -> Place),
    points: Points,
    to: *mut f32,
) {
    let line =
        |[a, b, c, d]: [S::Vector; 4]| [simd.sub(a, c), simd.add(b, c), simd.sub(c, b), simd.sub(b, d)];
    for tile in 0..count {
        let Place { start, cut: [cut_y, cut_x] } = place(tile);
        // Only outputs that are cut off depend on the fourth row and column, which then need not exist.
        let (last_y, last_x) = (3 - usize::from(cut_y), 3 - usize::from(cut_x));
        for channel in (0..channels).step_by(S::LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                let from = input.as_ptr().add(start + channel);
                let column = |x: usize| {
                    let from = from.add(x * pixels.pixel);
                    line([
                        simd.load(from),
                        simd.load(from.add(pixels.row)),
                        simd.load(from.add(2 * pixels.row)),
                        simd.load(from.add(last_y * pixels.row)),
                    ])
                };
                let [a, b, c, d] = [column(0), column(1), column(2), column(last_x)];
                let row = |y: usize| line([a[y], b[y], c[y], d[y]]);
                for (y, row) in [row(0), row(1), row(2), row(3)].into_iter().enumerate() {
                    for (x, value) in row.into_iter().enumerate() {
                        simd.store(to.add(points.at(4 * y + x, tile, channel)), value);
                    }
                }
            }
        }
    }
}

/// `Aᵀ m A` of each tile's points: 2x2 outputs of `channels` channels.
///
/// # Safety
/// `from` holds the tiles' points, `output` from `pixels` on has room for their pixels; `channels` is a multiple of the
/// lanes.
#[inline(always)]
pub unsafe fn transform_output<S: Simd>(
    simd: S,
    from: *const f32,
    channels: usize,
    (count, place): (usize, impl Fn(usize) -> Place),
    points: Points,
    output: &mut [f32],
    pixels: Pixels,
) {
    let line = |[a, b, c, d]: [S::Vector; 4]| [simd.add(simd.add(a, b), c), simd.sub(simd.sub(b, c), d)];
    for tile in 0..count {
        let Place { start, cut: [cut_y, cut_x] } = place(tile);
        for channel in (0..channels).step_by(S::LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                let at = |point: usize| simd.load(from.add(points.at(point, tile, channel)));
                let column = |x: usize| line([at(x), at(4 + x), at(8 + x), at(12 + x)]);
                let [a, b, c, d] = [column(0), column(1), column(2), column(3)];
                let row = |y: usize| line([a[y], b[y], c[y], d[y]]);
                let to = output.as_mut_ptr().add(start + channel);
                for (y, row) in [row(0), row(1)].into_iter().enumerate() {
                    for (x, value) in row.into_iter().enumerate() {
                        if !(y == 1 && cut_y || x == 1 && cut_x) {
                            simd.store(to.add(y * pixels.row + x * pixels.pixel), value);
                        }
                    }
                }
            }
        }
    }
}

/// `A dy Aᵀ` of each tile's 2x2 output gradients.
///
/// # Safety
/// `gradient` holds the tiles' pixels, `to` has room for all their points; `channels` is a multiple of the lanes.
#[inline(always)]
pub unsafe fn transform_output_gradient<S: Simd>(
    simd: S,
    gradient: &[f32],
    pixels: Pixels,
    channels: usize,
    (count, place): (usize, impl Fn(usize) -> Place),
    points: Points,
    to: *mut f32,
) {
    let line = |[a, b]: [S::Vector; 2]| [a, simd.add(a, b), simd.sub(a, b), simd.sub(simd.splat(0.0), b)];
    for tile in 0..count {
        let Place { start, cut: [cut_y, cut_x] } = place(tile);
        for channel in (0..channels).step_by(S::LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                let from = gradient.as_ptr().add(start + channel);
                let at = |y: usize, x: usize| match y == 1 && cut_y || x == 1 && cut_x {
                    true => simd.splat(0.0),
                    false => simd.load(from.add(y * pixels.row + x * pixels.pixel)),
                };
                let column = |x: usize| line([at(0, x), at(1, x)]);
                let [a, b] = [column(0), column(1)];
                let row = |y: usize| line([a[y], b[y]]);
                for (y, row) in [row(0), row(1), row(2), row(3)].into_iter().enumerate() {
                    for (x, value) in row.into_iter().enumerate() {
                        simd.store(to.add(points.at(4 * y + x, tile, channel)), value);
                    }
                }
            }
        }
    }
}
