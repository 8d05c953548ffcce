//! Direct convolution: each tile of outputs stays in registers while all taps and input channels pass.

use super::{PackedWeight, Pixels};
use crate::simd::{Kernel, Simd};
use std::ops::Range;

/// `output[y][x][o] = Σ weight[ky][kx][i][o] · input[stride y + ky][stride x + kx][i]` for `size` outputs.
/// The input carries its own border.
pub struct Direct<'a> {
    pub images: usize,
    pub input: &'a [f32],
    pub input_pixels: Pixels,
    pub weight: &'a PackedWeight,
    pub stride: usize,
    /// The rows of each input that hold values. The others are zeros, and are passed over.
    pub filled: Range<usize>,
    pub output: &'a mut [f32],
    pub output_pixels: Pixels,
    /// Rows and columns of the output.
    pub size: [usize; 2],
}

/// Whether this is the faster way to compute the convolution, rather than [`Gathered`](super::Gathered): rows that fill
/// the tiles, and taps that the compiler unrolls.
pub fn is_best(taps: [usize; 2], stride: usize, columns: usize) -> bool {
    let fills = columns.is_multiple_of(8) || (columns >= 12 && columns.is_multiple_of(4)) || columns >= 32;
    matches!((stride, taps[1]), (1, 1..=3) | (2, 1)) && fills || stride == 1 && taps[1] == 5 && columns >= 8
}

impl Direct<'_> {
    /// Panics if a pixel that the kernel will touch lies outside its slice.
    fn check(&self) {
        let [rows, columns] = self.size;
        let weight = self.weight;
        if self.images == 0 || rows == 0 || columns == 0 {
            return;
        }
        let last_output = self.output_pixels.of_image(self.images - 1).shifted(rows - 1, columns - 1);
        assert!(last_output.start + weight.outputs <= self.output.len(), "output too short");
        let [taps_y, taps_x] = weight.taps;
        assert!(weight.data.len() == weight.outputs * weight.inputs * taps_y * taps_x, "weight incomplete");
        if taps_y > 0 && taps_x > 0 {
            let (last_y, last_x) =
                (self.stride * (rows - 1) + taps_y - 1, self.stride * (columns - 1) + taps_x - 1);
            let last_input = self.input_pixels.of_image(self.images - 1).shifted(last_y, last_x);
            assert!(last_input.start + weight.inputs <= self.input.len(), "input too short");
        }
    }
}

impl Kernel for Direct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        self.check();
        // SAFETY: just checked.
        unsafe {
            match (self.stride, self.weight.taps[1]) {
                (1, 1) => rows::<S, 1, 1>(simd, &mut self),
                (1, 2) => rows::<S, 2, 1>(simd, &mut self),
                (1, 3) => rows::<S, 3, 1>(simd, &mut self),
                (1, 5) => rows::<S, 5, 1>(simd, &mut self),
                (2, 1) => rows::<S, 1, 2>(simd, &mut self),
                (stride, taps) => panic!("no kernel for stride {stride} and {taps} taps"),
            }
        }
    }
}

/// All tiles, for one number of taps in a row and one stride.
///
/// # Safety
/// As for [`Direct::check`].
#[inline(always)]
unsafe fn rows<S: Simd, const TAPS: usize, const STRIDE: usize>(simd: S, job: &mut Direct) {
    // Accumulators, the taps' weights and a broadcast input share the registers.
    let wide = S::REGISTERS >= 32;
    let vectors = match (TAPS, wide) {
        (5.., _) => 1,
        (_, true) => (job.weight.panel / S::LANES).min(2),
        (_, false) => 2,
    };
    for first in (0..job.weight.outputs).step_by(vectors * S::LANES) {
        let (images, rows) = (job.images, job.size[0]);
        for at in (0..images).flat_map(|image| (0..rows).map(move |y| [image, y])) {
            // SAFETY: the caller's promise; the tiles stay within `size`.
            unsafe {
                // Larger tiles than these the compiler does not unroll, and then nothing stays in registers.
                match (wide, vectors, STRIDE) {
                    (_, 1, 1) => row::<S, 8, 1, TAPS, STRIDE>(simd, job, first, at),
                    (true, 1, _) => row::<S, 4, 1, TAPS, STRIDE>(simd, job, first, at),
                    (true, _, 1) => row::<S, 8, 2, TAPS, STRIDE>(simd, job, first, at),
                    _ => row::<S, 4, 2, TAPS, STRIDE>(simd, job, first, at),
                }
            }
        }
    }
}

/// The outputs of an image and row for `VECTORS` vectors of channels from `first`, in tiles of `PIXELS` pixels, and in
/// smaller ones if there are fewer.
///
/// # Safety
/// As for [`Direct::check`].
#[inline(always)]
unsafe fn row<S: Simd, const PIXELS: usize, const VECTORS: usize, const TAPS: usize, const STRIDE: usize>(
    simd: S,
    job: &mut Direct,
    first: usize,
    [image, y]: [usize; 2],
) {
    let columns = job.size[1];
    let mut x = 0;
    // SAFETY: the caller's promise; `x` plus the tile's pixels stays within the columns.
    unsafe {
        while x + PIXELS <= columns {
            tile::<S, PIXELS, VECTORS, TAPS, STRIDE>(simd, job, first, [image, y, x]);
            x += PIXELS;
        }
        if x < columns && columns >= PIXELS {
            // The last tile lies over the one before, whose outputs it computes again.
            match columns - x > PIXELS / 2 {
                true => {
                    tile::<S, PIXELS, VECTORS, TAPS, STRIDE>(simd, job, first, [image, y, columns - PIXELS])
                }
                false if PIXELS == 8 => {
                    tile::<S, 4, VECTORS, TAPS, STRIDE>(simd, job, first, [image, y, columns - 4]);
                }
                false => tile::<S, 2, VECTORS, TAPS, STRIDE>(simd, job, first, [image, y, columns - 2]),
            }
            return;
        }
        if x + PIXELS / 2 <= columns {
            if PIXELS == 8 {
                tile::<S, 4, VECTORS, TAPS, STRIDE>(simd, job, first, [image, y, x]);
            } else {
                tile::<S, 2, VECTORS, TAPS, STRIDE>(simd, job, first, [image, y, x]);
            }
            x += PIXELS / 2;
        }
        while x < columns {
            tile::<S, 1, VECTORS, TAPS, STRIDE>(simd, job, first, [image, y, x]);
            x += 1;
        }
    }
}

/// `PIXELS` neighboring outputs of an image from `(y, x)`, `VECTORS` vectors of channels from `first`. An input pixel is broadcast
/// once for all the taps that use it.
///
/// # Safety
/// As for [`Direct::check`].
#[inline(always)]
unsafe fn tile<S: Simd, const PIXELS: usize, const VECTORS: usize, const TAPS: usize, const STRIDE: usize>(
    simd: S,
    job: &mut Direct,
    first: usize,
    [image, y, x]: [usize; 3],
) {
    let weight = job.weight;
    let pixel = job.input_pixels.pixel;
    let mut sums = [[simd.splat(0.0); VECTORS]; PIXELS];
    let panel_size = weight.taps[0] * weight.inputs * TAPS * weight.panel;
    // After the last tap, and where a filter has none, these two point behind their slices and are not read.
    let mut taps =
        weight.data.as_ptr().wrapping_add(first / weight.panel * panel_size + first % weight.panel);
    let [passed, end] =
        [job.filled.start, job.filled.end].map(|row| row.saturating_sub(STRIDE * y).min(weight.taps[0]));
    taps = taps.wrapping_add(passed * weight.inputs * TAPS * weight.panel);
    let start = job.input_pixels.of_image(image).shifted(STRIDE * y + passed, STRIDE * x).start;
    let mut input_row = job.input.as_ptr().wrapping_add(start);
    // SAFETY: every address that is read or written lies in its slice by the caller's promise.
    unsafe {
        for _ in passed..end {
            for channel in 0..weight.inputs {
                let mut loaded = [[simd.splat(0.0); VECTORS]; TAPS];
                for (tap, loaded) in loaded.iter_mut().enumerate() {
                    for (v, loaded) in loaded.iter_mut().enumerate() {
                        *loaded = simd.load(taps.add(tap * weight.panel + v * S::LANES));
                    }
                }
                taps = taps.wrapping_add(TAPS * weight.panel);
                let input = input_row.add(channel);
                let positions = (PIXELS - 1) * STRIDE + TAPS;
                let unrolled = positions.min(UNROLLED);
                add::<S, PIXELS, VECTORS, TAPS, STRIDE>(simd, &mut sums, &loaded, input, pixel, 0..unrolled);
                add::<S, PIXELS, VECTORS, TAPS, STRIDE>(
                    simd,
                    &mut sums,
                    &loaded,
                    input,
                    pixel,
                    unrolled..positions,
                );
            }
            input_row = input_row.wrapping_add(job.input_pixels.row);
        }
        let output = job.output_pixels.of_image(image).shifted(y, x);
        let to = job.output.as_mut_ptr().add(output.start + first);
        for (p, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                simd.store(to.add(p * output.pixel + v * S::LANES), *sum);
            }
        }
    }
}

/// How many rounds of a loop the compiler looks at when it decides whether to unroll it.
const UNROLLED: usize = 10;

/// Adds the products of the inputs at these positions, `pixel` values apart.
///
/// # Safety
/// `input` holds a value at each of them.
#[inline(always)]
unsafe fn add<S: Simd, const PIXELS: usize, const VECTORS: usize, const TAPS: usize, const STRIDE: usize>(
    simd: S,
    sums: &mut [[S::Vector; VECTORS]; PIXELS],
    taps: &[[S::Vector; VECTORS]; TAPS],
    input: *const f32,
    pixel: usize,
    positions: Range<usize>,
) {
    for position in positions {
        // SAFETY: the caller's promise.
        let value = simd.splat(unsafe { *input.add(position * pixel) });
        for (tap, loaded) in taps.iter().enumerate() {
            let offset = position.wrapping_sub(tap);
            if position >= tap && offset % STRIDE == 0 && offset / STRIDE < PIXELS {
                for (sum, loaded) in sums[offset / STRIDE].iter_mut().zip(loaded) {
                    *sum = simd.mul_add(value, *loaded, *sum);
                }
            }
        }
    }
}
