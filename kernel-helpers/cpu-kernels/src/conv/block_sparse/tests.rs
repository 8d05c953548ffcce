//! Blocks beside plain loops in f64, and beside other ways to compute a convolution.

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
fn images(convolution: &Convolution, size: [usize; 2], rng: &mut ChaCha8Rng) -> (Vec<f32>, BorderedImages) {
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
                run(isa, &sparse, (&images, padding), &mut output, size);
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

fn run(
    isa: Isa,
    weight: &BlockSparseWeight,
    (images, padding): (&BorderedImages, usize),
    output: &mut [f32],
    size: [usize; 2],
) {
    let (input, input_pixels) = (&images.values, images.with_border(padding));
    let output_pixels = Pixels::dense(size, weight.outputs());
    isa.run(BlockSparse { images: IMAGES, input, input_pixels, weight, output, output_pixels, size });
}

/// How long an image takes on one thread, in microseconds, densely (Winograd), in sparse rows of single weights (the product
/// alone, without what lays the pixels out for it) and in blocks: `cargo test -p cpu-kernels --lib -- --ignored --nocapture
/// pays`.
#[test]
#[ignore = "a measurement"]
fn pays() {
    for (channels, extent) in [(64, 8), (32, 16), (16, 32)] {
        for zeros in [0.0, 0.5, 0.75, 0.9, 0.95] {
            let [dense, rows, blocks] =
                seconds_per_image(channels, extent, zeros).map(|seconds| 1e6 * seconds);
            println!(
                "{channels} -> {channels}, {extent} x {extent}, {:.0} % zeros: dense {dense:.1}, rows {rows:.1}, blocks {blocks:.1}",
                100.0 * zeros
            );
        }
    }
}

fn seconds_per_image(channels: usize, extent: usize, zeros: f64) -> [f64; 3] {
    let (isa, size, mut rng) = (Isa::current().unwrap(), [extent; 2], ChaCha8Rng::seed_from_u64(1));
    let (inputs, outputs) = (channels, channels);
    let convolution = Convolution { inputs, outputs, kernel: 3, stride: 1, padding: 1, groups: 1 };
    let (_, images) = images(&convolution, size, &mut rng);
    let weight = weight(&convolution, zeros, &mut rng);
    let output_pixels = Pixels::dense(size, channels);
    let mut output = AlignedVec::zeros(IMAGES * output_pixels.image);
    let (filter, pixels) = (convolution.filter(&weight, size), images.with_border(1));
    let dense = seconds(|| filter.run(isa, IMAGES, &images.values, pixels, &mut output, output_pixels));
    let sparse = BlockSparseWeight::new(&convolution, &weight);
    let blocks = seconds(|| run(isa, &sparse, (&images, 1), &mut output, size));
    let value = |_| if rng.random_bool(zeros) { 0.0 } else { 1.0 };
    let scattered: Vec<f32> = (0..weight.len()).map(value).collect();
    let rows = rows_seconds(isa, &scattered, channels, extent * extent);
    [dense / IMAGES as f64, rows, blocks / IMAGES as f64]
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
