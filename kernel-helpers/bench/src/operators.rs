//! How close each kernel comes to what one core can do.

use base::Result;
use cpu_kernels::conv::{BorderedImages, Convolution, ImagesAndGradients, InputGradient, Pixels};
use cpu_kernels::{AlignedVec, Isa, LANES_MAX, Peak};
use nn::device::instruction_set;
use notebook::stop;
use serde::Serialize;
use std::time::Instant;

/// One kernel on one shape, on one thread.
///
/// ```no_run
/// use kernel_helpers::bench::{OperatorReport, operators};
///
/// for OperatorReport { operator, shape, share_of_peak, .. } in operators()? {
///     println!("{operator} of {shape}: {:.0} % of the peak", 100.0 * share_of_peak);
/// }
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
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

/// What is measured, all with a padding of half the kernel: inputs, outputs, kernel, stride, rows and columns of the
/// output, and groups.
const CONVOLUTIONS: [[usize; 7]; 36] = [
    // ResNet-20.
    [3, 16, 3, 1, 32, 32, 1],
    [16, 16, 3, 1, 32, 32, 1],
    [16, 32, 3, 2, 16, 16, 1],
    [16, 32, 1, 2, 16, 16, 1],
    [32, 32, 3, 1, 16, 16, 1],
    [32, 64, 3, 2, 8, 8, 1],
    [32, 64, 1, 2, 8, 8, 1],
    [64, 64, 3, 1, 8, 8, 1],
    // VGG.
    [64, 64, 3, 1, 32, 32, 1],
    [64, 128, 3, 1, 16, 16, 1],
    [128, 128, 3, 1, 16, 16, 1],
    [256, 256, 3, 1, 8, 8, 1],
    [512, 512, 3, 1, 4, 4, 1],
    [128, 128, 3, 1, 7, 7, 1],
    // Wide ResNet.
    [64, 128, 3, 2, 16, 16, 1],
    [128, 256, 3, 2, 8, 8, 1],
    [128, 256, 1, 2, 8, 8, 1],
    // MobileNet.
    [32, 32, 3, 1, 32, 32, 32],
    [64, 64, 3, 2, 16, 16, 64],
    [128, 128, 3, 1, 16, 16, 128],
    [256, 256, 3, 2, 8, 8, 256],
    [512, 512, 3, 1, 8, 8, 512],
    [64, 64, 5, 1, 16, 16, 64],
    [64, 64, 7, 1, 16, 16, 64],
    [32, 64, 1, 1, 32, 32, 1],
    [128, 128, 1, 1, 16, 16, 1],
    [256, 256, 1, 1, 8, 8, 1],
    [512, 512, 1, 1, 8, 8, 1],
    // Groups of channels.
    [64, 64, 3, 1, 16, 16, 4],
    // LeNet, on 28 x 28 pixels.
    [1, 6, 5, 1, 28, 28, 1],
    [6, 16, 5, 1, 14, 14, 1],
    // Linear layers: a row of 64 pixels is a batch.
    [400, 120, 1, 1, 1, 64, 1],
    [784, 512, 1, 1, 1, 64, 1],
    [512, 10, 1, 1, 1, 64, 1],
    [1024, 1024, 1, 1, 1, 64, 1],
    [256, 256, 1, 1, 1, 256, 1],
];

/// Each kernel on the convolutions of several networks, as many images as the kernel takes together, on the calling
/// thread: the best of many runs.
///
/// It takes some seconds:
///
/// ```no_run
/// use kernel_helpers::bench::operators;
///
/// let reports = operators()?;
/// let forward = reports.iter().find(|report| report.operator == "forward").unwrap();
/// assert_eq!(forward.shape, "3 -> 16, 3 x 3 / 1, 32 x 32");
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If the environment names an instruction set that this processor lacks, or the notebook's stop button is pressed.
pub fn operators() -> Result<Vec<OperatorReport>> {
    let isa = instruction_set()?;
    let peak = peak_gflop_per_s()?;
    let mut reports = Vec::new();
    for [inputs, outputs, kernel, stride, rows, columns, groups] in CONVOLUTIONS {
        stop::check(|| format!("{} kernels were measured", reports.len()))?;
        let convolution = Convolution { inputs, outputs, kernel, stride, padding: kernel / 2, groups };
        let parts = if groups == 1 { String::new() } else { format!(", {groups} groups") };
        let shape =
            format!("{inputs} -> {outputs}, {kernel} x {kernel} / {stride}, {rows} x {columns}{parts}");
        let gflop = 2e-9 * (rows * columns * inputs * outputs / groups * kernel * kernel) as f64;
        for (operator, seconds) in seconds_per_image(convolution, isa, [rows, columns]) {
            let gflop_per_s = gflop / seconds;
            let share_of_peak = gflop_per_s / peak;
            reports.push(OperatorReport { operator, shape: shape.clone(), gflop_per_s, share_of_peak });
        }
    }
    Ok(reports)
}

/// What one core can do if nothing but its multipliers limits it.
///
/// ```
/// use kernel_helpers::bench::peak_gflop_per_s;
///
/// assert!(peak_gflop_per_s()? > 1.0);
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If the environment names an instruction set that this processor lacks.
pub fn peak_gflop_per_s() -> Result<f64> {
    let isa = instruction_set()?;
    let rounds = 100_000;
    let mut operations = 0;
    let seconds = best_seconds(|| operations = std::hint::black_box(isa.run(Peak { rounds })));
    Ok(operations as f64 / seconds / 1e9)
}

/// The time that each kernel takes for an image whose output has so many rows and columns.
fn seconds_per_image(convolution: Convolution, isa: Isa, size: [usize; 2]) -> Vec<(&'static str, f64)> {
    let Convolution { inputs, outputs, kernel, stride, groups, .. } = convolution;
    let input_size = size.map(|extent| extent * stride);
    let count = convolution.images_together(input_size);
    let padded = outputs.next_multiple_of(LANES_MAX);
    // A network's own images have no more channels than they need.
    let channels = if inputs <= 3 { inputs } else { inputs.next_multiple_of(LANES_MAX) };
    let weight: Vec<f32> = ramp(outputs * inputs / groups * kernel * kernel).to_vec();
    let filled = |size, channels, border| {
        let mut images = BorderedImages::new(count, size, channels, border);
        let values = ramp(images.values.len());
        images.values.copy_from_slice(&values);
        images
    };
    let images = filled(convolution.padded_size(input_size), channels, convolution.padding);
    let border = convolution.gradient_border();
    let gradients = filled(convolution.gradient_size(input_size), padded, border);

    let (input_pixels, gradient_pixels) = (images.with_border(convolution.padding), gradients.inner());
    let filter = convolution.filter(&weight, input_size);
    let mut output = AlignedVec::zeros(count * size[0] * size[1] * padded);
    let output_pixels = Pixels::dense(size, padded);
    let mut seconds = vec![(
        "forward",
        best_seconds(|| filter.run(isa, count, &images.values, input_pixels, &mut output, output_pixels)),
    )];

    let pairs = ImagesAndGradients {
        count,
        input: &images.values,
        input_pixels,
        gradient: &gradients.values,
        gradient_pixels,
    };
    let mut sum = AlignedVec::zeros(convolution.weight_sum_size(size));
    let by_weight = best_seconds(|| convolution.add_weight_gradient(isa, pairs, size, &mut sum));
    seconds.push(("weight gradient", by_weight));

    if channels > 3 {
        let back = InputGradient::new(convolution, &weight, input_size);
        let mut dx = AlignedVec::zeros(count * input_size[0] * input_size[1] * channels);
        let (pixels, dx_pixels) = (gradients.with_border(border), Pixels::dense(input_size, channels));
        let by_input = best_seconds(|| back.run(isa, count, &gradients.values, pixels, &mut dx, dx_pixels));
        seconds.push(("input gradient", by_input));
    }
    seconds.into_iter().map(|(operator, seconds)| (operator, seconds / count as f64)).collect()
}

fn ramp(length: usize) -> AlignedVec {
    let mut values = AlignedVec::zeros(length);
    values.iter_mut().enumerate().for_each(|(at, value)| *value = (at % 13) as f32 * 0.1 - 0.6);
    values
}

/// The shortest of many calls, at least ten and so many as take a twentieth of a second.
fn best_seconds(mut work: impl FnMut()) -> f64 {
    let (begin, mut best) = (Instant::now(), f64::INFINITY);
    for call in 0..300 {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed().as_secs_f64());
        if call >= 10 && begin.elapsed().as_secs_f64() > 0.05 {
            break;
        }
    }
    best
}
