//! Every kernel agrees with plain loops, bit for bit, on every instruction set.

use super::*;
use crate::conv::Pixels;
use crate::pool::Pool;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

struct Case {
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    size: [usize; 2],
    images: usize,
}

const fn case(
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    size: [usize; 2],
    images: usize,
) -> Case {
    Case { inputs, outputs, kernel, stride, size, images }
}

const CASES: [Case; 12] = [
    case(3, 16, 3, 1, [32, 32], 1),
    case(16, 16, 3, 1, [5, 32], 2),
    case(16, 32, 3, 2, [8, 16], 2),
    case(16, 32, 1, 2, [8, 16], 1),
    case(32, 64, 3, 1, [3, 8], 2),
    case(64, 64, 3, 1, [8, 8], 1),
    case(7, 20, 3, 1, [3, 11], 2),
    case(1, 6, 5, 1, [4, 24], 1),
    case(6, 16, 5, 1, [3, 8], 3),
    case(5, 33, 3, 3, [3, 7], 1),
    case(9, 48, 1, 1, [1, 1], 5),
    case(4, 16, 2, 1, [3, 5], 2),
];

#[test]
fn convolutions_are_exact_on_every_instruction_set() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for Case { inputs, outputs, kernel, stride, size, images } in CASES {
        for with_residual in [false, true] {
            let padded_inputs = inputs.next_multiple_of(4);
            let input_size = size.map(|extent| (extent - 1) * stride + kernel);
            let input_pixels = Pixels::dense(input_size, padded_inputs);
            let mut input = Bytes::filled(images * input_pixels.image, 0);
            input.iter_mut().for_each(|byte| *byte = rng.random());
            let weights: Vec<i8> =
                (0..outputs * inputs * kernel * kernel).map(|_| rng.random_range(-127..=127)).collect();
            let at = |o: usize, i: usize, ky: usize, kx: usize| {
                weights[((o * inputs + i) * kernel + ky) * kernel + kx]
            };
            let weight = IntegerWeight::new(outputs, inputs, [kernel; 2], at);
            let padded = weight.outputs();
            let output_pixels = Pixels::dense(size, padded);
            let mut residual = Bytes::filled(images * output_pixels.image, 0);
            residual.iter_mut().for_each(|byte| *byte = rng.random());
            let rule = Requantization {
                scale: (0..padded).map(|_| rng.random_range(0.0001..0.003)).collect(),
                shift: (0..padded).map(|_| rng.random_range(-50.0..200.0)).collect(),
                factor: 0.375,
                low: 3.0,
                high: 250.0,
            };
            let mut expected = vec![0; images * output_pixels.image];
            for (image, y, x) in
                (0..images).flat_map(|i| (0..size[0]).flat_map(move |y| (0..size[1]).map(move |x| (i, y, x))))
            {
                let place = output_pixels.of_image(image).shifted(y, x).start;
                for o in 0..padded {
                    let mut sum = 0;
                    for (ky, kx) in (0..kernel).flat_map(|ky| (0..kernel).map(move |kx| (ky, kx))) {
                        let from =
                            input_pixels.of_image(image).shifted(stride * y + ky, stride * x + kx).start;
                        for i in 0..if o < outputs { inputs } else { 0 } {
                            sum += i32::from(input[from + i]) * i32::from(at(o, i, ky, kx));
                        }
                    }
                    expected[place + o] = rule.apply(sum, o, with_residual.then(|| residual[place + o]));
                }
            }
            for isa in IntegerIsa::available() {
                let mut output = Bytes::filled(images * output_pixels.image, 0);
                isa.convolve(IntegerConvolution {
                    images,
                    input: &input,
                    input_pixels,
                    weight: &weight,
                    stride,
                    output: &mut output,
                    output_pixels,
                    size,
                    rule: &rule,
                    residual: with_residual.then_some(Residual { images: &residual, pixels: output_pixels }),
                });
                assert!(
                    output[..] == expected[..],
                    "{isa}: {inputs} to {outputs} channels, kernel {kernel}, stride {stride}, {size:?}"
                );
            }
        }
    }
}

/// How fast the convolutions of ResNet-20 are: `cargo test -p cpu-kernels --release -- --ignored --nocapture rates`.
#[test]
#[ignore = "a measurement"]
fn rates() {
    for (inputs, outputs, stride, side) in
        [(4, 16, 1, 32), (16, 16, 1, 32), (16, 32, 2, 16), (32, 32, 1, 16), (32, 64, 2, 8), (64, 64, 1, 8)]
    {
        let weight = IntegerWeight::new(outputs, inputs, [3; 2], |o, i, y, x| (o + i + y + x) as i8);
        let input_pixels = Pixels::dense([side * stride + 2; 2], inputs);
        let input = Bytes::filled(input_pixels.image, 3);
        let output_pixels = Pixels::dense([side; 2], outputs);
        let mut output = Bytes::filled(output_pixels.image, 0);
        let rule = Requantization {
            scale: vec![0.001; outputs],
            shift: vec![1.0; outputs],
            factor: 0.5,
            low: 0.0,
            high: 255.0,
        };
        for isa in IntegerIsa::available() {
            let mut best = f64::INFINITY;
            for _ in 0..50 {
                let start = std::time::Instant::now();
                for _ in 0..20 {
                    isa.convolve(IntegerConvolution {
                        images: 1,
                        input: &input,
                        input_pixels,
                        weight: &weight,
                        stride,
                        output: &mut output,
                        output_pixels,
                        size: [side; 2],
                        rule: &rule,
                        residual: None,
                    });
                }
                best = best.min(start.elapsed().as_secs_f64() / 20.0);
            }
            let products = (side * side * 9 * inputs * outputs) as f64;
            println!(
                "{inputs} -> {outputs} / {stride}, {side}: {isa} {:.1} us, {:.0} G products/s",
                best * 1e6,
                products / best / 1e9
            );
        }
    }
}

/// A rule with everything in it.
fn rule(channels: usize, rng: &mut ChaCha8Rng) -> Requantization {
    Requantization {
        scale: (0..channels).map(|_| rng.random_range(0.01..0.3)).collect(),
        shift: (0..channels).map(|_| rng.random_range(-50.0..200.0)).collect(),
        factor: -0.25,
        low: 2.0,
        high: 253.0,
    }
}

fn random_bytes(length: usize, rng: &mut ChaCha8Rng) -> Bytes {
    let mut bytes = Bytes::filled(length, 0);
    bytes.iter_mut().for_each(|byte| *byte = rng.random());
    bytes
}

#[test]
fn channels_by_themselves_are_exact_on_every_instruction_set() {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let (images, channels) = (2, 32);
    let weights: Vec<i8> = (0..9 * 20).map(|_| rng.random_range(-128..=127)).collect();
    let weight =
        DepthwiseIntegerWeight::new(20, [3; 2], |channel, ky, kx| weights[(ky * 3 + kx) * 20 + channel]);
    let pool = Pool { kernel: 3, stride: 2, padding: 1 };
    for (window, input_size, size) in [
        (Window::Depthwise(&weight, 1), [6, 9], [4, 7]),
        (Window::Depthwise(&weight, 2), [7, 9], [3, 4]),
        (Window::Sum(pool, 7), [5, 8], [3, 4]),
        (Window::All([4, 5]), [4, 5], [1, 1]),
        (Window::One, [3, 5], [3, 5]),
    ] {
        let input_pixels = Pixels::dense(input_size, channels);
        let input = random_bytes(images * input_pixels.image, &mut rng);
        let output_pixels = Pixels::dense(size, channels);
        let residual = random_bytes(images * output_pixels.image, &mut rng);
        let rule = rule(channels, &mut rng);
        let mut expected = vec![0; images * output_pixels.image];
        for (image, y, x) in
            (0..images).flat_map(|i| (0..size[0]).flat_map(move |y| (0..size[1]).map(move |x| (i, y, x))))
        {
            for channel in 0..channels {
                let at = |y: usize, x: usize| {
                    i32::from(input[input_pixels.of_image(image).shifted(y, x).start + channel])
                };
                let mut sum = 0;
                match window {
                    Window::Depthwise(_, stride) => {
                        for (ky, kx) in (0..3).flat_map(|ky| (0..3).map(move |kx| (ky, kx))) {
                            let weight = if channel < 20 { weights[(ky * 3 + kx) * 20 + channel] } else { 0 };
                            sum += at(stride * y + ky, stride * x + kx) * i32::from(weight);
                        }
                    }
                    Window::Sum(..) => {
                        for (ky, kx) in (0..3).flat_map(|ky| (0..3).map(move |kx| (ky, kx))) {
                            let (y, x) = ((2 * y + ky).wrapping_sub(1), (2 * x + kx).wrapping_sub(1));
                            sum += if y < 5 && x < 8 { at(y, x) } else { 7 };
                        }
                    }
                    Window::All(_) => {
                        sum = (0..4).flat_map(|y| (0..5).map(move |x| at(y, x))).sum();
                    }
                    Window::One => sum = at(y, x),
                }
                let place = output_pixels.of_image(image).shifted(y, x).start + channel;
                expected[place] = rule.apply(sum, channel, Some(residual[place]));
            }
        }
        for isa in IntegerIsa::available() {
            let mut output = Bytes::filled(images * output_pixels.image, 0);
            isa.run(ByChannel {
                images,
                input: &input,
                input_pixels,
                input_size,
                window,
                output: &mut output,
                output_pixels,
                size,
                channels,
                rule: &rule,
                residual: Some(Residual { images: &residual, pixels: output_pixels }),
            });
            assert!(output[..] == expected[..], "{isa}: {window:?}");
        }
    }
}

#[test]
fn the_largest_value_of_each_window_is_found() {
    let pool = Pool { kernel: 3, stride: 2, padding: 1 };
    let input: Vec<u8> = (0..5 * 8 * 16).map(|at| (at * 37 % 251) as u8).collect();
    let mut output = vec![0; 3 * 4 * 16];
    let (from, to) = (Pixels::dense([5, 8], 16), Pixels::dense([3, 4], 16));
    max_pool(pool, (&input, from, [5, 8]), (&mut output, to, [3, 4]), 16);
    for (y, x, channel) in (0..3).flat_map(|y| (0..4).flat_map(move |x| (0..16).map(move |c| (y, x, c)))) {
        let window = (0..3usize).flat_map(|ky| (0..3usize).map(move |kx| (2 * y + ky, 2 * x + kx)));
        let inside = window.filter(|&(y, x)| (1..=5).contains(&y) && (1..=8).contains(&x));
        let largest = inside.map(|(y, x)| input[from.shifted(y - 1, x - 1).start + channel]).max();
        assert_eq!(Some(output[to.shifted(y, x).start + channel]), largest);
    }
}
