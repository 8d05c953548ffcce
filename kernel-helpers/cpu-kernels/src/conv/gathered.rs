//! Direct convolution of several images as one matrix product: the pixels of a tile may lie in different rows and images,
//! so that small images fill the tiles too, and each panel of the weight is read from the cache for all of them.

use super::{PackedWeight, Pixels};
use crate::simd::{Kernel, Simd};

/// The same as [`Direct`](super::Direct) for several images, any stride and any number of taps. Each output is summed in
/// the same order.
pub struct Gathered<'a> {
    pub images: usize,
    pub input: &'a [f32],
    pub input_pixels: Pixels,
    pub weight: &'a PackedWeight,
    pub stride: usize,
    pub output: &'a mut [f32],
    pub output_pixels: Pixels,
    /// Rows and columns of the output.
    pub size: [usize; 2],
}

impl Gathered<'_> {
    /// Panics if a pixel that the kernel will touch lies outside its slice.
    fn check(&self) {
        let PackedWeight { inputs, outputs, taps: [taps_y, taps_x], .. } = *self.weight;
        assert!(self.weight.data.len() == outputs * inputs * taps_y * taps_x, "weight incomplete");
        let [last_y, last_x] = self.size.map(|extent| extent - 1);
        let last_output = self.output_pixels.of_image(self.images - 1).shifted(last_y, last_x);
        assert!(last_output.start + outputs <= self.output.len(), "output too short");
        if taps_y > 0 && taps_x > 0 {
            let (last_y, last_x) = (self.stride * last_y + taps_y - 1, self.stride * last_x + taps_x - 1);
            let last_input = self.input_pixels.of_image(self.images - 1).shifted(last_y, last_x);
            assert!(last_input.start + inputs <= self.input.len(), "input too short");
        }
    }
}

impl Kernel for Gathered<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        if self.images * self.size[0] * self.size[1] == 0 {
            return;
        }
        self.check();
        // SAFETY: just checked.
        unsafe {
            match (S::REGISTERS >= 32, self.weight.panel / S::LANES) {
                (true, 1) => panels::<S, 8, 1>(simd, &mut self),
                (true, _) => panels::<S, 8, 2>(simd, &mut self),
                (false, _) => panels::<S, 4, 2>(simd, &mut self),
            }
        }
    }
}

/// All panels, `VECTORS` vectors of output channels at a time, each over all images in tiles of `PIXELS` pixels.
///
/// # Safety
/// As for [`Gathered::check`].
#[inline(always)]
unsafe fn panels<S: Simd, const PIXELS: usize, const VECTORS: usize>(simd: S, job: &mut Gathered) {
    let count = job.images * job.size[0] * job.size[1];
    for first in (0..job.weight.outputs).step_by(VECTORS * S::LANES) {
        let mut places = Places::of(job.size);
        let mut left = count;
        // SAFETY: the caller's promise; there are `count` places.
        unsafe {
            while left > PIXELS / 2 {
                tile::<S, PIXELS, VECTORS>(simd, job, first, places.take(left));
                left = left.saturating_sub(PIXELS);
            }
            while left > 0 {
                tile::<S, 2, VECTORS>(simd, job, first, places.take(left));
                left = left.saturating_sub(2);
            }
        }
    }
}

/// The pixels of several images, one after the other.
pub struct Places {
    size: [usize; 2],
    /// Image, row and column of the next.
    at: [usize; 3],
}

impl Places {
    #[inline(always)]
    pub fn of(size: [usize; 2]) -> Self {
        Places { size, at: [0; 3] }
    }

    /// The next places. If fewer are `left`, the last is repeated.
    #[inline(always)]
    pub fn take<const PIXELS: usize>(&mut self, left: usize) -> [[usize; 3]; PIXELS] {
        let (mut places, mut place) = ([[0; 3]; PIXELS], [0; 3]);
        for (p, to) in places.iter_mut().enumerate() {
            if p < left {
                place = self.next();
            }
            *to = place;
        }
        places
    }

    #[inline(always)]
    fn next(&mut self) -> [usize; 3] {
        let at = self.at;
        self.at[2] += 1;
        if self.at[2] == self.size[1] {
            self.at = [at[0], at[1] + 1, 0];
            if self.at[1] == self.size[0] {
                self.at = [at[0] + 1, 0, 0];
            }
        }
        at
    }
}

/// The outputs at `PIXELS` places for `VECTORS` vectors of channels from `first`.
///
/// # Safety
/// As for [`Gathered::check`].
#[inline(always)]
unsafe fn tile<S: Simd, const PIXELS: usize, const VECTORS: usize>(
    simd: S,
    job: &mut Gathered,
    first: usize,
    places: [[usize; 3]; PIXELS],
) {
    let weight = job.weight;
    let (mut from, mut to) = ([std::ptr::null(); PIXELS], [std::ptr::null_mut(); PIXELS]);
    for ([image, y, x], (from, to)) in places.into_iter().zip(from.iter_mut().zip(&mut to)) {
        // Where a filter has no taps, this may point behind the slice, and is not read.
        let input = job.input_pixels.of_image(image).shifted(job.stride * y, job.stride * x);
        *from = job.input.as_ptr().wrapping_add(input.start);
        let output = job.output_pixels.of_image(image).shifted(y, x);
        *to = job.output.as_mut_ptr().wrapping_add(output.start + first);
    }
    let [taps_y, taps_x] = weight.taps;
    let panel_size = taps_y * weight.inputs * taps_x * weight.panel;
    let mut weights =
        weight.data.as_ptr().wrapping_add(first / weight.panel * panel_size + first % weight.panel);
    let mut sums = [[simd.splat(0.0); VECTORS]; PIXELS];
    // SAFETY: every address that is read or written lies in its slice by the caller's promise.
    unsafe {
        for ky in 0..taps_y {
            for channel in 0..weight.inputs {
                let mut at = ky * job.input_pixels.row + channel;
                for _ in 0..taps_x {
                    let mut loaded = [simd.splat(0.0); VECTORS];
                    for (v, loaded) in loaded.iter_mut().enumerate() {
                        *loaded = simd.load(weights.add(v * S::LANES));
                    }
                    weights = weights.wrapping_add(weight.panel);
                    for (sums, from) in sums.iter_mut().zip(from) {
                        let value = simd.splat(*from.add(at));
                        for (sum, loaded) in sums.iter_mut().zip(loaded) {
                            *sum = simd.mul_add(value, loaded, *sum);
                        }
                    }
                    at += job.input_pixels.pixel;
                }
            }
        }
        for (to, sums) in to.iter().zip(&sums) {
            for (v, sum) in sums.iter().enumerate() {
                simd.store(to.add(v * S::LANES), *sum);
            }
        }
    }
}
