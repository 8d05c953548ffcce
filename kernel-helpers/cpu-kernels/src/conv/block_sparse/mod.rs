//! Direct convolution by a weight in which whole blocks are zero: the others are in a list, so that nothing is spent on
//! those that are left out.

use super::gathered::Places;
use super::{Convolution, Pixels};
use crate::simd::{Kernel, Simd};
use crate::{AlignedVec, LANES_MAX};

#[cfg(test)]
mod tests;

/// A weight as a list of *blocks*, for each panel of 16 output channels those that are not zero throughout: the weights
/// from one input channel at one tap to all channels of the panel.
#[derive(Clone, Debug)]
pub struct BlockSparseWeight {
    /// Where the blocks of each panel begin, and at last where they end.
    starts: Vec<usize>,
    /// Of each block the row and column of the tap, and the input channel.
    places: Vec<[u32; 3]>,
    /// Of each block 16 weights; those of channels beyond the last are zero.
    values: AlignedVec,
    inputs: usize,
    taps: usize,
    stride: usize,
}

impl BlockSparseWeight {
    /// The weight `[O, I / groups, K, K]` without its blocks of zeros.
    pub fn new(convolution: &Convolution, weight: &[f32]) -> Self {
        let Convolution { inputs, outputs, kernel: taps, stride, .. } = *convolution;
        let (mut starts, mut places, mut values) = (vec![0], Vec::new(), Vec::new());
        for panel in (0..outputs).step_by(LANES_MAX) {
            for place in
                (0..taps * inputs * taps).map(|at| [at / inputs / taps, at / inputs % taps, at % inputs])
            {
                let [ky, kx, input] = place;
                let mut block = [0.0; LANES_MAX];
                for (output, value) in (panel..outputs).zip(&mut block) {
                    *value =
                        convolution.weight_place(output, input, ky, kx).map_or(0.0, |place| weight[place]);
                }
                if block.iter().any(|value| *value != 0.0) {
                    places.push(place.map(|at| at as u32));
                    values.extend(block);
                }
            }
            starts.push(places.len());
        }
        let mut aligned = AlignedVec::zeros(values.len());
        aligned.copy_from_slice(&values);
        BlockSparseWeight { starts, places, values: aligned, inputs, taps, stride }
    }

    /// How many blocks are not zero.
    pub fn blocks(&self) -> usize {
        self.places.len()
    }

    /// Output channels, padded to whole panels.
    pub fn outputs(&self) -> usize {
        (self.starts.len() - 1) * LANES_MAX
    }

    /// What it takes in memory.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.places) + size_of_val(&*self.values)
    }
}

/// `output[y][x][o] = Σ weight[ky][kx][i][o] · input[stride y + ky][stride x + kx][i]` for `size` outputs of some images.
/// The inputs carry their own border. Output channels up to the next multiple of 16 are written.
pub struct BlockSparse<'a> {
    /// How many images there are.
    pub images: usize,
    /// Their values.
    pub input: &'a [f32],
    /// Where their pixels lie, from the border's corner on.
    pub input_pixels: Pixels,
    /// The weight.
    pub weight: &'a BlockSparseWeight,
    /// The outputs' values.
    pub output: &'a mut [f32],
    /// Where their pixels lie.
    pub output_pixels: Pixels,
    /// Rows and columns of the output.
    pub size: [usize; 2],
}

impl BlockSparse<'_> {
    /// Panics if a pixel that the kernel will touch lies outside its slice.
    fn check(&self) {
        let BlockSparseWeight { inputs, taps, stride, .. } = *self.weight;
        let [last_y, last_x] = self.size.map(|extent| extent - 1);
        let last_output = self.output_pixels.of_image(self.images - 1).shifted(last_y, last_x);
        assert!(last_output.start + self.weight.outputs() <= self.output.len(), "output too short");
        let [last_y, last_x] = [last_y, last_x].map(|last| stride * last + taps - 1);
        let last_input = self.input_pixels.of_image(self.images - 1).shifted(last_y, last_x);
        assert!(last_input.start + inputs <= self.input.len(), "input too short");
    }
}

impl Kernel for BlockSparse<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        if self.images * self.size[0] * self.size[1] * self.weight.outputs() == 0 {
            return;
        }
        self.check();
        let Pixels { row, pixel, .. } = self.input_pixels;
        let offset = |[ky, kx, input]: &[u32; 3]| *ky as usize * row + *kx as usize * pixel + *input as usize;
        let offsets: Vec<usize> = self.weight.places.iter().map(offset).collect();
        // SAFETY: just checked, and places lie within the weight's taps and inputs.
        unsafe {
            match S::REGISTERS >= 32 {
                true => panels::<S, 8, 1>(simd, &mut self, &offsets),
                false => panels::<S, 6, 2>(simd, &mut self, &offsets),
            }
        }
    }
}

/// All panels, `VECTORS` vectors of output channels at a time, each over all images in tiles of `PIXELS` pixels.
///
/// # Safety
/// As for [`BlockSparse::check`]; `offsets` are those of the weight's blocks from the pixel of the first tap.
#[inline(always)]
unsafe fn panels<S: Simd, const PIXELS: usize, const VECTORS: usize>(
    simd: S,
    job: &mut BlockSparse,
    offsets: &[usize],
) {
    let count = job.images * job.size[0] * job.size[1];
    for first in (0..job.weight.outputs()).step_by(VECTORS * S::LANES) {
        let blocks = &job.weight.starts[first / LANES_MAX..][..2];
        let blocks = blocks[0]..blocks[1];
        let values = &job.weight.values[blocks.start * LANES_MAX..blocks.end * LANES_MAX];
        let blocks = (&offsets[blocks], values.as_ptr().wrapping_add(first % LANES_MAX));
        let mut places = Places::of(job.size);
        let mut left = count;
        // SAFETY: the caller's promise; there are `count` places.
        unsafe {
            while left > PIXELS / 2 {
                tile::<S, PIXELS, VECTORS>(simd, job, first, blocks, places.take(left));
                left = left.saturating_sub(PIXELS);
            }
            while left > 0 {
                tile::<S, 2, VECTORS>(simd, job, first, blocks, places.take(left));
                left = left.saturating_sub(2);
            }
        }
    }
}

/// The outputs at some places for `VECTORS` vectors of channels from `first`.
///
/// # Safety
/// As for [`BlockSparse::check`]; the blocks are those of the panel, with the weights of its channels from `first` on.
#[inline(always)]
unsafe fn tile<S: Simd, const PIXELS: usize, const VECTORS: usize>(
    simd: S,
    job: &mut BlockSparse,
    first: usize,
    (offsets, mut values): (&[usize], *const f32),
    places: [[usize; 3]; PIXELS],
) {
    let stride = job.weight.stride;
    let from = places.map(|[image, y, x]| {
        let input = job.input_pixels.of_image(image).shifted(stride * y, stride * x);
        job.input.as_ptr().wrapping_add(input.start)
    });
    let mut sums = [[simd.splat(0.0); VECTORS]; PIXELS];
    // SAFETY: every address that is read or written lies in its slice by the caller's promise.
    unsafe {
        for offset in offsets {
            let mut loaded = [simd.splat(0.0); VECTORS];
            for (v, loaded) in loaded.iter_mut().enumerate() {
                *loaded = simd.load(values.add(v * S::LANES));
            }
            values = values.wrapping_add(LANES_MAX);
            for (sums, from) in sums.iter_mut().zip(from) {
                let value = simd.splat(*from.add(*offset));
                for (sum, loaded) in sums.iter_mut().zip(loaded) {
                    *sum = simd.mul_add(value, loaded, *sum);
                }
            }
        }
        for ([image, y, x], sums) in places.into_iter().zip(&sums) {
            let output = job.output_pixels.of_image(image).shifted(y, x);
            let to = job.output.as_mut_ptr().add(output.start + first);
            for (v, sum) in sums.iter().enumerate() {
                simd.store(to.add(v * S::LANES), *sum);
            }
        }
    }
}
