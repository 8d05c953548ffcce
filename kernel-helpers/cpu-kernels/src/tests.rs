//! The kernels beside plain loops, on every instruction set of this machine.

use super::channels::{Activate, Addend, Affine, Function, Gate, GatedNorm, NormGradient, ShiftedSums, Skip};
use super::conv::Pixels;
use super::simd::{Kernel, Simd};
use super::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Rows, columns and channels; the pixels are fewer than, as many as and more than any vector's lanes.
const SIZES: [[usize; 3]; 6] = [[1, 1, 16], [1, 7, 16], [3, 5, 48], [4, 4, 32], [1, 17, 16], [2, 2, 64]];

fn random(length: usize, seed: u64) -> AlignedVec {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut values = AlignedVec::zeros(length);
    values.iter_mut().for_each(|value| *value = rng.random_range(-1.0..1.0));
    values
}

#[track_caller]
fn assert_close(isa: Isa, found: impl IntoIterator<Item = f64>, expected: impl IntoIterator<Item = f64>) {
    for (at, (found, expected)) in found.into_iter().zip(expected).enumerate() {
        let difference = (found - expected).abs();
        assert!(difference <= 1e-5 * expected.abs().max(1.0), "{isa}, value {at}: {found}, not {expected}");
    }
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// An image between borders of one pixel, and its layout.
fn bordered(rows: usize, columns: usize, channels: usize) -> (Vec<f32>, Pixels) {
    let values = vec![9.0; (rows + 2) * (columns + 2) * channels];
    (values, Pixels::dense([rows + 2, columns + 2], channels).shifted(1, 1))
}

/// The image without its border, which must hold what it held.
fn inner(values: &[f32], [rows, columns, channels]: [usize; 3]) -> Vec<f32> {
    let row = (columns + 2) * channels;
    let is_border = |at: usize| {
        let (y, x) = (at / row, at % row / channels);
        y == 0 || y == rows + 1 || x == 0 || x == columns + 1
    };
    assert!((0..values.len()).filter(|&at| is_border(at)).all(|at| values[at] == 9.0), "the border changed");
    (0..values.len()).filter(|&at| !is_border(at)).map(|at| values[at]).collect()
}

#[test]
fn every_instruction_of_a_set_does_what_it_says() {
    struct Lanes<'a>(&'a [f32; 16], &'a [f32; 16]);
    impl Kernel for Lanes<'_> {
        type Output = Vec<[f32; 16]>;
        fn run<S: Simd>(self, simd: S) -> Vec<[f32; 16]> {
            assert!(LANES_MAX.is_multiple_of(S::LANES));
            let mut results = vec![[0.0; 16]; 9];
            for at in (0..16).step_by(S::LANES) {
                // SAFETY: `at` leaves room for a vector in each array of sixteen.
                unsafe {
                    let (a, b) = (simd.load(self.0.as_ptr().add(at)), simd.load(self.1.as_ptr().add(at)));
                    let values = [
                        simd.add(a, b),
                        simd.sub(a, b),
                        simd.mul(a, b),
                        simd.mul_add(a, b, simd.splat(0.5)),
                        simd.at_least(a, simd.splat(-3.0)),
                        simd.at_most(a, simd.splat(2.0)),
                        simd.keep_above(a, b, simd.splat(-1.0)),
                        simd.div(a, b),
                        simd.choose_larger(a, b, [simd.splat(1.0), simd.splat(2.0)]),
                    ];
                    for (result, value) in results.iter_mut().zip(values) {
                        simd.store(result.as_mut_ptr().add(at), value);
                    }
                }
            }
            results
        }
    }
    let mut a: [f32; 16] = std::array::from_fn(|i| i as f32 - 7.5);
    let mut b: [f32; 16] = std::array::from_fn(|i| (i * 7 % 5) as f32 - 2.0);
    (a[0], b[3]) = (f32::NAN, f32::NAN);
    type Operation = fn(f32, f32) -> f32;
    let operations: [Operation; 9] = [
        |a, b| a + b,
        |a, b| a - b,
        |a, b| a * b,
        |a, b| a * b + 0.5,
        |a, _| if a.is_nan() { a } else { a.max(-3.0) },
        |a, _| if a.is_nan() { a } else { a.min(2.0) },
        |a, b| if b > -1.0 { a } else { 0.0 },
        |a, b| a / b,
        |a, b| if a > b || a.is_nan() { 1.0 } else { 2.0 },
    ];
    for isa in Isa::available() {
        for (operation, found) in operations.iter().zip(isa.run(Lanes(&a, &b))) {
            for lane in 0..16 {
                let expected = operation(a[lane], b[lane]);
                let same = found[lane] == expected || (found[lane].is_nan() && expected.is_nan());
                assert!(same, "{isa}, lane {lane}: {}, not {expected}", found[lane]);
            }
        }
    }
}

#[test]
fn instruction_sets_are_chosen_by_name() {
    for isa in Isa::available() {
        assert_eq!(Isa::named(isa.name()).unwrap().name(), isa.name());
    }
    let error = Isa::named("avx1024").unwrap_err().to_string();
    assert!(error.contains("portable") && error.contains("avx1024"), "{error}");
}

/// From where to where each [`Function`] passes values.
const FUNCTION_RANGES: [[f64; 2]; 3] = [[f64::NEG_INFINITY, f64::INFINITY], [0.0, f64::INFINITY], [0.0, 6.0]];

#[test]
fn activation_normalizes_adds_the_skip_and_rectifies() {
    for (isa, size) in Isa::available().into_iter().flat_map(|isa| SIZES.map(|size| (isa, size))) {
        let [rows, columns, channels] = size;
        let length = rows * columns * channels;
        let (mut z, other) = (random(length, 1), random(length, 2));
        z.iter_mut().for_each(|z| *z *= 30.0);
        let [scale, shift, skip_scale, skip_shift] = [3, 4, 5, 6].map(|seed| random(channels, seed));
        let mapped = Affine { scale: &skip_scale, shift: &skip_shift };
        let skips = [Skip::None, Skip::Identity(&other), Skip::Mapped(&other, mapped)];
        let functions = [Function::Identity, Function::Relu, Function::Relu6];
        for (skip, function) in skips.into_iter().flat_map(|skip| functions.map(|function| (skip, function)))
        {
            let [low, high] = FUNCTION_RANGES[function as usize];
            let expected: Vec<f64> = (0..length)
                .map(|at| {
                    let c = at % channels;
                    let skip = match skip {
                        Skip::None => 0.0,
                        Skip::Identity(skip) => skip[at],
                        Skip::Mapped(skip, norm) => skip[at] * norm.scale[c] + norm.shift[c],
                    };
                    f64::from(z[at] * scale[c] + shift[c] + skip).clamp(low, high)
                })
                .collect();
            let mut dense = vec![9.0; length];
            let (mut padded, pixels) = bordered(rows, columns, channels);
            isa.run(Activate {
                z: &z,
                norm: Affine { scale: &scale, shift: &shift },
                skip,
                function,
                columns,
                dense: Some(&mut dense),
                padded: Some((&mut padded, pixels)),
            });
            assert_close(isa, to_f64(&dense), expected.clone());
            assert_close(isa, to_f64(&inner(&padded, size)), expected);
        }
    }
}

#[test]
fn shifted_sums_are_those_around_the_center() {
    for (isa, [rows, columns, channels]) in
        Isa::available().into_iter().flat_map(|isa| SIZES.map(|s| (isa, s)))
    {
        let (z, center) = (random(rows * columns * channels, 1), random(channels, 2));
        // The kernel adds to what is there.
        let (mut sums, mut squares) = (vec![1.0; channels], vec![2.0; channels]);
        isa.run(ShiftedSums { z: &z, center: &center, sums: [&mut sums, &mut squares] });
        let (mut expected, mut expected_squares) = (vec![1.0; channels], vec![2.0; channels]);
        for (at, z) in z.iter().enumerate() {
            let distance = f64::from(z - center[at % channels]);
            expected[at % channels] += distance;
            expected_squares[at % channels] += distance * distance;
        }
        assert_close(isa, sums, expected);
        assert_close(isa, squares, expected_squares);
    }
}

#[test]
fn norm_gradient_is_linear_in_gradient_and_input() {
    for (isa, size) in Isa::available().into_iter().flat_map(|isa| SIZES.map(|size| (isa, size))) {
        let [rows, columns, channels] = size;
        let length = rows * columns * channels;
        let (dy, z) = (random(length, 1), random(length, 2));
        let [mean, by_gradient, by_input, constant] = [3, 4, 5, 6].map(|seed| random(channels, seed));
        let (mut dz, dz_pixels) = bordered(rows, columns, channels);
        isa.run(NormGradient {
            dy: &dy,
            z: &z,
            mean: &mean,
            by_gradient: &by_gradient,
            by_input: &by_input,
            constant: &constant,
            columns,
            dz: &mut dz,
            dz_pixels,
        });
        let expected = (0..length).map(|at| {
            let c = at % channels;
            f64::from(by_gradient[c] * dy[at] + by_input[c] * (z[at] - mean[c]) + constant[c])
        });
        assert_close(isa, to_f64(&inner(&dz, size)), expected);
    }
}

#[test]
fn gate_passes_what_was_positive_and_sums_it() {
    for (isa, [rows, columns, channels]) in
        Isa::available().into_iter().flat_map(|isa| SIZES.map(|s| (isa, s)))
    {
        let length = rows * columns * channels;
        let [gradient, other, mut gate, z, mapped] = [1, 2, 3, 4, 5].map(|seed| random(length, seed));
        gate.iter_mut().for_each(|gate| *gate *= 9.0);
        gate[0] = 0.0; // the gradient at exactly zero is zero
        let [mean, mapped_mean] = [6, 7].map(|seed| random(channels, seed));
        for (addend, function) in
            (0..2).flat_map(|at| [Function::Relu6, Function::Identity, Function::Relu].map(|f| (at, f)))
        {
            let [low, high] = FUNCTION_RANGES[function as usize];
            let mut dy = other.to_vec();
            let [mut sums, mut products, mut mapped_products] = [(); 3].map(|()| vec![0.5; channels]);
            isa.run(Gate {
                gradient: &gradient,
                addend: if addend == 0 { Addend::None } else { Addend::Output },
                function,
                gate: &gate,
                gate_pixels: Pixels::dense([rows, columns], channels),
                columns,
                dy: &mut dy,
                sums: &mut sums,
                norms: [
                    Some(GatedNorm { z: &z, mean: &mean, products: &mut products }),
                    Some(GatedNorm { z: &mapped, mean: &mapped_mean, products: &mut mapped_products }),
                ],
            });
            let [mut expected_sums, mut expected_products, mut expected_mapped] =
                [(); 3].map(|()| vec![0.5; channels]);
            for at in 0..length {
                let added = if addend == 0 { 0.0 } else { other[at] };
                let expected = if f64::from(gate[at]) > low && f64::from(gate[at]) < high {
                    gradient[at] + added
                } else {
                    0.0
                };
                assert_eq!(dy[at], expected, "{isa}");
                let c = at % channels;
                expected_sums[c] += f64::from(expected);
                expected_products[c] += f64::from(expected * (z[at] - mean[c]));
                expected_mapped[c] += f64::from(expected * (mapped[at] - mapped_mean[c]));
            }
            assert_close(isa, sums, expected_sums);
            assert_close(isa, products, expected_products);
            assert_close(isa, mapped_products, expected_mapped);
        }
    }
}

#[test]
fn aligned_memory_starts_on_a_line_at_any_length() {
    for length in [0, 1, 15, 16, 17, 1000] {
        let mut values = AlignedVec::zeros(length);
        assert_eq!((values.len(), values.as_ptr() as usize % 64), (length, 0));
        values.iter_mut().for_each(|value| *value = 1.0);
        values.resize(length + 20);
        assert_eq!((values.len(), values.as_ptr() as usize % 64), (length + 20, 0));
        assert!(values[..length].iter().all(|&value| value == 1.0));
    }
}
