//! Direct convolution by a weight in which whole blocks are zero: the others are in a list, so that nothing is spent on
//! those that are left out.

use super::gathered::Places;
use super::{Convolution, Pixels};
use crate::simd::{Kernel, Simd};
use crate::{AlignedVec, LANES_MAX};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::BorderedImages;
    use crate::layout::{from_channels_last, to_channels_last};
    use crate::{Isa, SparseProduct};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::time::Instant;

    const IMAGES: usize = 3;

    /// A weight of small whole numbers, of whose blocks a share is zero.
    fn weight(convolution: &Convolution, zeros: f64, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let Convolution { inputs, outputs, kernel, groups, .. } = *convolution;
        let columns = inputs / groups * kernel * kernel;
        let kept: Vec<bool> =
            (0..outputs.div_ceil(LANES_MAX) * columns).map(|_| !rng.random_bool(zeros)).collect();
        let value = |at: usize| match kept[at / columns / LANES_MAX * columns + at % columns] {
            true => [-2.0, -1.0, 1.0, 2.0][rng.random_range(0..4)],
            false => 0.0,
        };
        (0..outputs * columns).map(value).collect()
    }

    /// Images of whole numbers, so that every order of a sum gives the same, and with borders.
    fn images(
        convolution: &Convolution,
        size: [usize; 2],
        rng: &mut ChaCha8Rng,
    ) -> (Vec<f32>, BorderedImages) {
        let Convolution { inputs, padding, .. } = *convolution;
        let planes = IMAGES * inputs * size[0] * size[1];
        let planes: Vec<f32> = (0..planes).map(|_| rng.random_range(-4..=4) as f32).collect();
        let mut images = BorderedImages::new(IMAGES, convolution.padded_size(size), inputs, padding);
        let inner = images.inner();
        for (at, planes) in planes.chunks(planes.len() / IMAGES).enumerate() {
            to_channels_last(planes, inputs, size[1], &mut images.values, inner.of_image(at));
        }
        (planes, images)
    }

    #[test]
    fn every_instruction_set_computes_what_plain_loops_do() {
        // Inputs, outputs, rows, columns, kernel, stride, padding, groups.
        let cases = [
            [5, 16, 4, 5, 3, 1, 1, 1],
            [3, 33, 6, 7, 3, 2, 1, 1],
            [4, 7, 1, 9, 1, 1, 0, 1],
            [2, 20, 5, 5, 5, 1, 0, 1],
            [8, 24, 4, 3, 3, 1, 1, 4],
        ];
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for [inputs, outputs, rows, columns, kernel, stride, padding, groups] in cases {
            let convolution = Convolution { inputs, outputs, kernel, stride, padding, groups };
            for zeros in [0.0, 0.7, 1.0] {
                let weight = weight(&convolution, zeros, &mut rng);
                let (planes, images) = images(&convolution, [rows, columns], &mut rng);
                let size = convolution.output_size([rows, columns]).unwrap();
                let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
                let no_gradient = vec![0.0; outputs * size[0] * size[1]];
                let plain = planes.chunks(planes.len() / IMAGES).flat_map(|image| {
                    convolution.plain([rows, columns], &wide(image), &wide(&weight), &no_gradient).output
                });
                let expected: Vec<f64> = plain.collect();
                let sparse = BlockSparseWeight::new(&convolution, &weight);
                assert!(zeros < 1.0 || sparse.blocks() == 0);
                for isa in Isa::available() {
                    let output_pixels = Pixels::dense(size, sparse.outputs());
                    let mut output = vec![f32::NAN; IMAGES * output_pixels.image];
                    isa.run(BlockSparse {
                        images: IMAGES,
                        input: &images.values,
                        input_pixels: images.with_border(padding),
                        weight: &sparse,
                        output: &mut output,
                        output_pixels,
                        size,
                    });
                    let mut found = vec![f32::NAN; expected.len()];
                    for (at, planes) in found.chunks_mut(expected.len() / IMAGES).enumerate() {
                        from_channels_last(&output, output_pixels.of_image(at), planes, outputs, size[1]);
                    }
                    assert_eq!(wide(&found), expected, "{isa}, {convolution:?}, {zeros}");
                }
            }
        }
    }

    #[test]
    fn blocks_of_zeros_take_no_memory() {
        let convolution = Convolution { inputs: 8, outputs: 32, kernel: 3, stride: 1, padding: 1, groups: 1 };
        let mut weight = vec![0.0; 32 * 8 * 9];
        weight[20 * 72 + 30] = 1.0;
        let sparse = BlockSparseWeight::new(&convolution, &weight);
        assert_eq!((sparse.blocks(), sparse.outputs()), (1, 32));
        assert_eq!(sparse.bytes(), 3 * 8 + 12 + 64);
    }

    /// How long an image takes on one thread, in microseconds, densely (Winograd), as sparse rows (the product alone, without
    /// what lays the pixels out for it) and in blocks: `cargo test -p cpu-kernels --lib -- --ignored --nocapture pays`.
    #[test]
    #[ignore = "a measurement"]
    fn pays() {
        let isa = Isa::current().unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (channels, extent) in [(64, 8), (32, 16), (16, 32)] {
            let size = [extent; 2];
            let convolution = Convolution {
                inputs: channels,
                outputs: channels,
                kernel: 3,
                stride: 1,
                padding: 1,
                groups: 1,
            };
            let (_, images) = images(&convolution, size, &mut rng);
            let (input, input_pixels) = (&images.values, images.with_border(1));
            let output_pixels = Pixels::dense(size, channels);
            let mut output = AlignedVec::zeros(IMAGES * output_pixels.image);
            for zeros in [0.0, 0.5, 0.75, 0.9, 0.95] {
                let weight = weight(&convolution, zeros, &mut rng);
                let filter = convolution.filter(&weight, size);
                let dense =
                    seconds(|| filter.run(isa, IMAGES, input, input_pixels, &mut output, output_pixels));
                let sparse = BlockSparseWeight::new(&convolution, &weight);
                let blocks = seconds(|| {
                    let (weight, output) = (&sparse, &mut output[..]);
                    isa.run(BlockSparse {
                        images: IMAGES,
                        input,
                        input_pixels,
                        weight,
                        output,
                        output_pixels,
                        size,
                    });
                });
                let rows = rows_seconds(isa, &weight, channels, extent * extent);
                let [dense, rows, blocks] =
                    [dense / IMAGES as f64, rows, blocks / IMAGES as f64].map(|seconds| 1e6 * seconds);
                println!(
                    "{channels} -> {channels}, {extent} x {extent}, {:.0} % zeros: dense {dense:.1}, rows {rows:.1}, blocks {blocks:.1}",
                    100.0 * zeros
                );
            }
        }
    }

    /// One image by a product in compressed sparse rows.
    fn rows_seconds(isa: Isa, weight: &[f32], outputs: usize, pixels: usize) -> f64 {
        let inner = weight.len() / outputs;
        let (mut starts, mut columns, mut values) = (vec![0], Vec::new(), Vec::new());
        for row in weight.chunks(inner) {
            for (column, value) in (0u32..).zip(row).filter(|(_, value)| **value != 0.0) {
                columns.push(column);
                values.push(*value);
            }
            starts.push(values.len() as u32);
        }
        let (right, mut product) = (vec![1.0; inner * pixels], vec![0.0; outputs * pixels]);
        seconds(|| {
            isa.run(SparseProduct {
                starts: &starts,
                columns: &columns,
                values: &values,
                right: &right,
                width: pixels,
                product: &mut product,
            });
        })
    }

    /// The shortest of many calls.
    fn seconds(mut work: impl FnMut()) -> f64 {
        let time = |_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        };
        (0..500).map(time).fold(f64::INFINITY, f64::min)
    }
}
