//! How close each kernel comes to what one core can do.

use crate::kernels::conv::{Convolution, ImagesAndGradients, InputGradient, Pixels};
use crate::kernels::{AlignedVec, Isa, LANES_MAX, Peak};
use crate::{Result, stop};
use serde::Serialize;
use std::time::Instant;

/// One kernel on one shape, on one thread.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperatorReport {
    /// What it computes: `forward`, `input gradient` or `weight gradient`.
    pub operator: &'static str,
    /// `inputs -> outputs, K x K / stride, output rows x columns`.
    pub shape: String,
    /// Billions of operations a second, a multiplication and an addition counted as two, as many as the definition of
    /// the convolution has. Winograd's algorithm needs fewer, so this may exceed the peak.
    pub gflop_per_s: f64,
    /// The share of [`peak_gflop_per_s`], from 0.
    pub share_of_peak: f64,
}

/// The convolutions of ResNet-20: inputs, outputs, kernel, stride, rows and columns of the output.
const CONVOLUTIONS: [[usize; 5]; 8] = [
    [3, 16, 3, 1, 32],
    [16, 16, 3, 1, 32],
    [16, 32, 3, 2, 16],
    [16, 32, 1, 2, 16],
    [32, 32, 3, 1, 16],
    [32, 64, 3, 2, 8],
    [32, 64, 1, 2, 8],
    [64, 64, 3, 1, 8],
];

/// Each kernel on each convolution of ResNet-20, one image in the cache, on the calling thread: the best of many runs.
///
/// # Errors
/// If the environment names an instruction set that this processor lacks, or the notebook's stop button is pressed.
pub fn operators() -> Result<Vec<OperatorReport>> {
    let isa = Isa::current()?;
    let peak = peak_gflop_per_s()?;
    let mut reports = Vec::new();
    for [inputs, outputs, kernel, stride, extent] in CONVOLUTIONS {
        stop::check(|| format!("{} kernels were measured", reports.len()))?;
        let convolution = Convolution { inputs, outputs, kernel, stride, padding: kernel / 2, groups: 1 };
        let shape = format!("{inputs} -> {outputs}, {kernel} x {kernel} / {stride}, {extent} x {extent}");
        let gflop = 2e-9 * (extent * extent * inputs * outputs * kernel * kernel) as f64;
        for (operator, seconds) in seconds_per_image(convolution, isa, extent) {
            let gflop_per_s = gflop / seconds;
            let share_of_peak = gflop_per_s / peak;
            reports.push(OperatorReport { operator, shape: shape.clone(), gflop_per_s, share_of_peak });
        }
    }
    Ok(reports)
}

/// What one core can do if nothing but its multipliers limits it.
///
/// # Errors
/// If the environment names an instruction set that this processor lacks.
pub fn peak_gflop_per_s() -> Result<f64> {
    let isa = Isa::current()?;
    let rounds = 100_000;
    let mut operations = 0;
    let seconds = best_seconds(|| operations = std::hint::black_box(isa.run(Peak { rounds })));
    Ok(operations as f64 / seconds / 1e9)
}

/// The time that each kernel takes for an image of `extent` rows and columns of output.
fn seconds_per_image(convolution: Convolution, isa: Isa, extent: usize) -> Vec<(&'static str, f64)> {
    let Convolution { inputs, outputs, kernel, stride, .. } = convolution;
    let (input_size, size) = ([extent * stride; 2], [extent; 2]);
    let padded = convolution.padded_size(input_size);
    let bordered = convolution.gradient_size(input_size);
    let weight: Vec<f32> = ramp(outputs * inputs * kernel * kernel).to_vec();
    let image = ramp(padded[0] * padded[1] * inputs);
    let gradient = ramp(bordered[0] * bordered[1] * outputs);
    let image_pixels = Pixels::dense(padded, inputs);
    let gradient_pixels = Pixels::dense(bordered, outputs);

    let filter = convolution.filter(&weight, input_size);
    let mut output = AlignedVec::zeros(extent * extent * outputs);
    let output_pixels = Pixels::dense([extent; 2], outputs);
    let forward = best_seconds(|| filter.run(isa, 1, &image, image_pixels, &mut output, output_pixels));

    let border = convolution.gradient_border();
    let pair = ImagesAndGradients {
        count: 1,
        input: &image,
        input_pixels: image_pixels,
        gradient: &gradient,
        gradient_pixels: gradient_pixels.shifted(border, border),
    };
    let mut sum = AlignedVec::zeros(convolution.weight_sum_size(size));
    let by_weight = best_seconds(|| convolution.add_weight_gradient(isa, pair, size, &mut sum));
    let mut times = vec![("forward", forward), ("weight gradient", by_weight)];

    if inputs.is_multiple_of(LANES_MAX) {
        let back = InputGradient::new(convolution, &weight, input_size);
        let mut dx = AlignedVec::zeros(input_size[0] * input_size[1] * inputs);
        let dx_pixels = Pixels::dense(input_size, inputs);
        let by_input = best_seconds(|| back.run(isa, 1, &gradient, gradient_pixels, &mut dx, dx_pixels));
        times.push(("input gradient", by_input));
    }
    times
}

fn ramp(length: usize) -> AlignedVec {
    let mut values = AlignedVec::zeros(length);
    values.iter_mut().enumerate().for_each(|(at, value)| *value = (at % 13) as f32 * 0.1 - 0.6);
    values
}

/// The shortest of many calls.
fn best_seconds(mut work: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..300 {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}
