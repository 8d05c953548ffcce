//! The gradient of a convolution by its weight, for one image.

use super::Pixels;
use crate::LANES_MAX;
use crate::simd::{Kernel, Simd};

/// `gradient[ky][kx][i][o] += Σ input[stride y + ky][stride x + kx][i] · output_gradient[y][x][o]` over `size` outputs.
/// The input carries its own border.
pub struct WeightGradient<'a> {
    pub input: &'a [f32],
    pub input_pixels: Pixels,
    pub inputs: usize,
    pub output_gradient: &'a [f32],
    pub output_pixels: Pixels,
    /// A multiple of 16.
    pub outputs: usize,
    /// Rows and columns of the output.
    pub size: [usize; 2],
    pub stride: usize,
    pub taps: [usize; 2],
    pub gradient: &'a mut [f32],
}

impl WeightGradient<'_> {
    /// Panics if a value that the kernel will touch lies outside its slice.
    fn check(&self) {
        let ([rows, columns], [taps_y, taps_x]) = (self.size, self.taps);
        assert!(rows > 0 && columns > 0 && taps_y > 0 && taps_x > 0, "empty convolution");
        let last_output = (rows - 1) * self.output_pixels.row + (columns - 1) * self.output_pixels.pixel;
        assert!(self.outputs.is_multiple_of(LANES_MAX), "output channels not padded");
        assert!(
            self.output_pixels.start + last_output + self.outputs <= self.output_gradient.len(),
            "output too short"
        );
        let (last_y, last_x) =
            (self.stride * (rows - 1) + taps_y - 1, self.stride * (columns - 1) + taps_x - 1);
        let last_input = last_y * self.input_pixels.row + last_x * self.input_pixels.pixel;
        assert!(self.input_pixels.start + last_input + self.inputs <= self.input.len(), "input too short");
        assert!(
            self.gradient.len() == taps_y * taps_x * self.inputs * self.outputs,
            "gradient of another size"
        );
    }
}

impl Kernel for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        self.check();
        // SAFETY: just checked.
        unsafe {
            match (self.stride, self.taps[1]) {
                (1, 1) => blocks::<S, 1, 1>(simd, &mut self),
                (1, 3) => blocks::<S, 3, 1>(simd, &mut self),
                (2, 1) => blocks::<S, 1, 2>(simd, &mut self),
                (2, 3) => blocks::<S, 3, 2>(simd, &mut self),
                (stride, taps) => panic!("no kernel for stride {stride} and {taps} taps"),
            }
        }
    }
}

/// All blocks of the gradient, as many input channels at a time as the registers hold.
///
/// # Safety
/// As for [`WeightGradient::check`].
#[inline(always)]
unsafe fn blocks<S: Simd, const TAPS: usize, const STRIDE: usize>(simd: S, job: &mut WeightGradient) {
    for ky in 0..job.taps[0] {
        for output in (0..job.outputs).step_by(S::LANES) {
            let mut input = 0;
            // SAFETY: the caller's promise; a block ends at or before the last input channel.
            unsafe {
                while S::REGISTERS >= 32 && input + 8 <= job.inputs {
                    block::<S, 8, TAPS, STRIDE>(simd, job, ky, input, output);
                    input += 8;
                }
                while input + 4 <= job.inputs {
                    block::<S, 4, TAPS, STRIDE>(simd, job, ky, input, output);
                    input += 4;
                }
                while input + 3 <= job.inputs {
                    block::<S, 3, TAPS, STRIDE>(simd, job, ky, input, output);
                    input += 3;
                }
                while input < job.inputs {
                    block::<S, 1, TAPS, STRIDE>(simd, job, ky, input, output);
                    input += 1;
                }
            }
        }
    }
}

/// A row of taps, `CHANNELS` input channels from `input` and one vector of output channels from `output`, summed in
/// registers over the whole image.
///
/// # Safety
/// As for [`WeightGradient::check`].
#[inline(always)]
unsafe fn block<S: Simd, const CHANNELS: usize, const TAPS: usize, const STRIDE: usize>(
    simd: S,
    job: &mut WeightGradient,
    ky: usize,
    input: usize,
    output: usize,
) {
    let [rows, columns] = job.size;
    let mut sums = [[simd.splat(0.0); TAPS]; CHANNELS];
    // SAFETY: every address that is read or written lies in its slice by the caller's promise.
    unsafe {
        for y in 0..rows {
            let from = job.input_pixels.start + (STRIDE * y + ky) * job.input_pixels.row + input;
            let mut from = job.input.as_ptr().add(from);
            let gradients = job.output_pixels.start + y * job.output_pixels.row + output;
            let mut gradients = job.output_gradient.as_ptr().add(gradients);
            for _ in 0..columns / 2 {
                pixels::<S, 2, CHANNELS, TAPS, STRIDE>(simd, job, &mut sums, from, gradients);
                // After the last pair these can point behind their slices, and are not read.
                from = from.wrapping_add(2 * STRIDE * job.input_pixels.pixel);
                gradients = gradients.wrapping_add(2 * job.output_pixels.pixel);
            }
            if columns % 2 == 1 {
                pixels::<S, 1, CHANNELS, TAPS, STRIDE>(simd, job, &mut sums, from, gradients);
            }
        }
        for (channel, sums) in sums.iter().enumerate() {
            for (kx, sum) in sums.iter().enumerate() {
                let at = ((ky * TAPS + kx) * job.inputs + input + channel) * job.outputs + output;
                let to = job.gradient.as_mut_ptr().add(at);
                simd.store(to, simd.add(simd.load(to), *sum));
            }
        }
    }
}

/// Adds the products of `PIXELS` neighboring outputs; each input value is broadcast once for all of them.
///
/// # Safety
/// As for [`WeightGradient::check`].
#[inline(always)]
unsafe fn pixels<
    S: Simd,
    const PIXELS: usize,
    const CHANNELS: usize,
    const TAPS: usize,
    const STRIDE: usize,
>(
    simd: S,
    job: &WeightGradient,
    sums: &mut [[S::Vector; TAPS]; CHANNELS],
    from: *const f32,
    gradients: *const f32,
) {
    let mut loaded = [simd.splat(0.0); PIXELS];
    // SAFETY: every address lies in its slice by the caller's promise.
    unsafe {
        for (p, loaded) in loaded.iter_mut().enumerate() {
            *loaded = simd.load(gradients.add(p * job.output_pixels.pixel));
        }
        for (channel, sums) in sums.iter_mut().enumerate() {
            for position in 0..(PIXELS - 1) * STRIDE + TAPS {
                let value = simd.splat(*from.add(position * job.input_pixels.pixel + channel));
                for (p, loaded) in loaded.iter().enumerate() {
                    let tap = position.wrapping_sub(p * STRIDE);
                    if tap < TAPS {
                        sums[tap] = simd.mul_add(value, *loaded, sums[tap]);
                    }
                }
            }
        }
    }
}
