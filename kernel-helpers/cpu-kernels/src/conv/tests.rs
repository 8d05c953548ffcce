//! The convolutions of several images beside plain loops in f64, on every instruction set. Slices are as long as their layouts
//! need and no longer, so that Miri sees whatever reaches beyond.

use super::plain::Plain;
use super::scratch::with_scratch;
use super::winograd::{Wide, Winograd, WinogradWeight};
use super::{BorderedImages, Convolution, ImagesAndGradients, InputGradient, Pixels};
use crate::layout::{from_channels_last, to_channels_last};
use crate::{Isa, LANES_MAX};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// `[inputs, outputs, rows, columns, kernel, stride, padding, groups]`.
const CASES: [[usize; 8]; 50] = [
    [3, 16, 4, 5, 3, 1, 1, 1],    // direct; three input channels together
    [9, 7, 3, 6, 3, 1, 0, 1],     // channels that fill no vector
    [5, 3, 5, 4, 3, 2, 1, 1],     // stride 2: four phases going back
    [4, 17, 6, 7, 3, 2, 0, 1],    // stride 2 without a border
    [3, 4, 3, 3, 3, 2, 2, 1],     // as much padding as is supported
    [2, 2, 1, 1, 3, 1, 2, 1],     // an image smaller than the kernel
    [12, 20, 3, 4, 1, 1, 0, 1],   // pairs of pixels to the very end of the slice
    [5, 16, 4, 3, 1, 2, 0, 1],    // stride 2, after which nothing is left over
    [5, 16, 4, 4, 1, 2, 0, 1],    // stride 2, after which a pixel of each row is left over
    [4, 33, 1, 10, 1, 1, 0, 1],   // two panels; tiles of eight pixels and single ones
    [3, 32, 2, 13, 3, 1, 1, 1],   // a wide panel; tiles of eight, four and one
    [1, 1, 5, 5, 1, 2, 0, 1],     // one channel
    [16, 16, 2, 2, 3, 1, 1, 1],   // Winograd, one tile
    [16, 20, 2, 2, 3, 1, 1, 1],   // Winograd, a wide panel with channels to spare
    [16, 32, 4, 6, 3, 1, 0, 1],   // Winograd, tiles in rows
    [32, 16, 4, 10, 3, 1, 1, 1],  // Winograd, more tiles than are transformed together
    [16, 16, 16, 18, 3, 1, 1, 1], // Winograd, the same for the weight's gradient
    [48, 16, 2, 2, 3, 1, 2, 1],   // Winograd, a border of two
    [16, 80, 4, 2, 3, 1, 1, 1],   // Winograd for many channels, tiles of several images
    [80, 16, 3, 5, 3, 1, 1, 1],   // Winograd for many channels, tiles that are cut
    [16, 96, 9, 11, 3, 1, 0, 1],  // Winograd for many channels, tiles that are cut, without a border
    [96, 16, 16, 14, 3, 1, 1, 1], // Winograd for many channels, more tiles than are transformed together
    [16, 72, 3, 3, 3, 1, 2, 1],   // many outputs that are no multiple of 16
    [100, 40, 4, 4, 3, 2, 1, 1],  // many channels, stride 2
    [100, 70, 5, 1, 1, 1, 0, 1],  // many channels, one tap
    [80, 16, 15, 12, 3, 2, 1, 1], // many channels, stride 2, more pixels than are multiplied together
    [16, 96, 20, 9, 1, 1, 0, 1],  // many channels, one tap, more pixels than are multiplied together
    [3, 6, 12, 16, 5, 1, 2, 1],   // 5 x 5, tiles of eight pixels
    [6, 16, 7, 6, 5, 1, 0, 1],    // 5 x 5 without a border
    [6, 16, 14, 14, 5, 1, 0, 1],  // the same, wide enough for tiles
    [3, 20, 9, 8, 5, 2, 2, 1],    // 5 x 5, stride 2
    [2, 5, 8, 9, 7, 2, 3, 1],     // 7 x 7, stride 2
    [2, 3, 8, 8, 7, 1, 3, 1],     // 7 x 7
    [4, 4, 6, 7, 2, 2, 0, 1],     // 2 x 2
    [4, 4, 11, 10, 3, 4, 1, 1],   // stride 4: phases that have no taps
    [4, 4, 19, 1, 7, 3, 3, 1],    // stride 3: phases without columns
    [16, 16, 9, 12, 7, 2, 3, 1],  // stride 2: Winograd going back
    [16, 16, 5, 9, 3, 1, 1, 16],  // depthwise, tiles of eight pixels and single ones
    [32, 32, 6, 13, 3, 1, 1, 32], // depthwise, tiles of eight, four and one
    [20, 20, 7, 17, 3, 2, 1, 20], // depthwise, stride 2, channels to spare
    [3, 3, 8, 10, 5, 1, 2, 3],    // depthwise, 5 x 5
    [17, 17, 8, 9, 5, 2, 2, 17],  // depthwise, 5 x 5, stride 2
    [16, 16, 9, 16, 7, 1, 3, 16], // depthwise, 7 x 7
    [16, 16, 9, 10, 7, 2, 1, 16], // depthwise, 7 x 7, stride 2
    [4, 4, 6, 7, 2, 2, 0, 4],     // depthwise, 2 x 2
    [5, 5, 4, 6, 1, 1, 0, 5],     // depthwise, 1 x 1
    [32, 48, 4, 4, 3, 1, 1, 2],   // groups that are taken together: all of them
    [64, 32, 5, 4, 3, 1, 1, 4],   // groups that are taken together: pairs
    [48, 96, 3, 4, 1, 2, 0, 3],   // groups that fill vectors
    [6, 9, 5, 4, 3, 2, 1, 3],     // groups that fill no vectors, one part with zeros between them
];

/// Multiplications of the largest case; Miri takes ten seconds and more for so few.
const PRODUCTS_MAX: usize = if cfg!(miri) { 12_000 } else { 10_000_000 };

/// Images of a case: an odd number.
const IMAGES: usize = 3;

/// Some images' convolution: random values, and what plain loops make of them.
struct Case {
    convolution: Convolution,
    size: [usize; 2],
    output_size: [usize; 2],
    x: Vec<f32>,
    weight: Vec<f32>,
    dy: Vec<f32>,
    expected: Plain,
}

impl Case {
    fn new([inputs, outputs, rows, columns, kernel, stride, padding, groups]: [usize; 8]) -> Self {
        let convolution = Convolution { inputs, outputs, kernel, stride, padding, groups };
        assert!(convolution.is_supported());
        let size = [rows, columns];
        let output_size = convolution.output_size(size).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut random = |length| (0..length).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f32>>();
        let x = random(IMAGES * inputs * rows * columns);
        let weight = random(outputs * inputs / groups * kernel * kernel);
        let dy = random(IMAGES * outputs * output_size[0] * output_size[1]);
        let to_f64 = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
        let images = x.chunks(x.len() / IMAGES).zip(dy.chunks(dy.len() / IMAGES));
        let plain = images.map(|(x, dy)| convolution.plain(size, &to_f64(x), &to_f64(&weight), &to_f64(dy)));
        let expected = plain.reduce(|all, image| Plain {
            output: [all.output, image.output].concat(),
            input_gradient: [all.input_gradient, image.input_gradient].concat(),
            weight_gradient: all
                .weight_gradient
                .iter()
                .zip(image.weight_gradient)
                .map(|(a, b)| a + b)
                .collect(),
        });
        let expected = expected.unwrap();
        Case { convolution, size, output_size, x, weight, dy, expected }
    }

    /// The images with their borders, channels last, and the layout from the border's corner.
    fn images(&self) -> (BorderedImages, Pixels) {
        let Convolution { inputs, padding, .. } = self.convolution;
        let channels = self.convolution.pixel_channels();
        let size = self.convolution.padded_size(self.size);
        let mut images = BorderedImages::new(IMAGES, size, channels, padding);
        let inner = images.inner();
        self.lay_out(&self.x, inputs, self.size[1], &mut images.values, inner);
        let pixels = images.with_border(padding);
        (images, pixels)
    }

    fn lay_out(&self, planes: &[f32], channels: usize, columns: usize, to: &mut [f32], pixels: Pixels) {
        for (at, planes) in planes.chunks(planes.len() / IMAGES).enumerate() {
            to_channels_last(planes, channels, columns, to, pixels.of_image(at));
        }
    }

    fn planes(
        &self,
        images: &[f32],
        pixels: Pixels,
        channels: usize,
        [rows, columns]: [usize; 2],
    ) -> Vec<f32> {
        let mut planes = vec![f32::NAN; IMAGES * channels * rows * columns];
        for (at, planes) in planes.chunks_mut(channels * rows * columns).enumerate() {
            from_channels_last(images, pixels.of_image(at), planes, channels, columns);
        }
        planes
    }

    fn convolved(&self, isa: Isa) -> Vec<f32> {
        let Convolution { outputs, .. } = self.convolution;
        let (images, image_pixels) = self.images();
        let pixels = Pixels::dense(self.output_size, outputs.next_multiple_of(LANES_MAX));
        let mut output = vec![f32::NAN; IMAGES * pixels.image];
        let filter = self.convolution.filter(&self.weight, self.size);
        filter.run(isa, IMAGES, &images.values, image_pixels, &mut output, pixels);
        self.planes(&output, pixels, outputs, self.output_size)
    }

    fn input_gradient(&self, isa: Isa) -> Vec<f32> {
        let Convolution { inputs, outputs, .. } = self.convolution;
        let border = self.convolution.gradient_border();
        let channels = outputs.next_multiple_of(LANES_MAX);
        let size = self.convolution.gradient_size(self.size);
        let mut dy = BorderedImages::new(IMAGES, size, channels, border);
        let inner = dy.inner();
        self.lay_out(&self.dy, outputs, self.output_size[1], &mut dy.values, inner);
        let pixels = Pixels::dense(self.size, inputs.next_multiple_of(LANES_MAX));
        let mut gradient = vec![f32::NAN; IMAGES * pixels.image];
        let prepared = InputGradient::new(self.convolution, &self.weight, self.size);
        prepared.run(isa, IMAGES, &dy.values, dy.with_border(border), &mut gradient, pixels);
        self.planes(&gradient, pixels, inputs, self.size)
    }

    /// The weight's gradient, summed twice: kernels add to what is there.
    fn twice_the_weight_gradient(&self, isa: Isa) -> Vec<f32> {
        let Convolution { outputs, .. } = self.convolution;
        let (images, input_pixels) = self.images();
        let pixels = Pixels::dense(self.output_size, outputs.next_multiple_of(LANES_MAX));
        let mut dy = vec![0.0; IMAGES * pixels.image];
        self.lay_out(&self.dy, outputs, self.output_size[1], &mut dy, pixels);
        let mut sum = vec![0.0; self.convolution.weight_sum_size(self.output_size)];
        for _ in 0..2 {
            let pairs = ImagesAndGradients {
                count: IMAGES,
                input: &images.values,
                input_pixels,
                gradient: &dy,
                gradient_pixels: pixels,
            };
            self.convolution.add_weight_gradient(isa, pairs, self.output_size, &mut sum);
        }
        let mut gradient = vec![0.0; self.weight.len()];
        self.convolution.finish_weight_sum(&sum, self.output_size, &mut gradient);
        gradient
    }
}

#[track_caller]
fn assert_close(what: &str, found: Vec<f32>, expected: &[f64]) {
    let largest = expected.iter().fold(1e-3, |largest: f64, value| largest.max(value.abs()));
    for (at, (found, expected)) in found.into_iter().zip(expected).enumerate() {
        let difference = (f64::from(found) - expected).abs();
        assert!(difference <= 1e-5 * largest, "{what}, value {at}: {found}, not {expected}");
    }
}

#[test]
fn convolutions_and_their_gradients_agree_with_plain_loops() {
    let products = |[inputs, outputs, rows, columns, kernel, _, _, groups]: &[usize; 8]| {
        IMAGES * inputs * outputs / groups * rows * columns * kernel * kernel
    };
    for shape in CASES.into_iter().filter(|shape| products(shape) <= PRODUCTS_MAX) {
        let case = Case::new(shape);
        let expected = &case.expected;
        let twice: Vec<f64> = expected.weight_gradient.iter().map(|value| 2.0 * value).collect();
        for isa in Isa::available() {
            let what = |what| format!("{what}, {isa}, {shape:?}");
            assert_close(&what("output"), case.convolved(isa), &expected.output);
            assert_close(&what("input gradient"), case.input_gradient(isa), &expected.input_gradient);
            assert_close(&what("weight gradient"), case.twice_the_weight_gradient(isa), &twice);
        }
    }
}

#[test]
fn winograds_convolution_has_the_same_bits_with_few_and_with_many_channels_together() {
    let (inputs, outputs, size) = (32, 48, [4, 6]);
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut random = |length| (0..length).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f32>>();
    let (input_pixels, output_pixels) = (Pixels::dense([6, 8], inputs), Pixels::dense(size, outputs));
    let (input, taps) = (random(input_pixels.image), random(outputs * inputs * 9));
    let weight = WinogradWeight::new(outputs, inputs, |o, i, y, x| taps[((o * inputs + i) * 3 + y) * 3 + x]);
    for isa in Isa::available() {
        let [mut few, mut many] = [(); 2].map(|()| vec![f32::NAN; output_pixels.image]);
        let (input, weight) = (&input, &weight);
        isa.run(Winograd { input, input_pixels, weight, output: &mut few, output_pixels, size });
        with_scratch(Wide::scratch(weight, 1, size), |scratch| {
            let output = &mut many;
            isa.run(Wide { images: 1, input, input_pixels, weight, output, output_pixels, size, scratch });
        });
        assert_eq!(few, many, "{isa}");
    }
}
