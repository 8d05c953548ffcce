//! Pooling of one image, channels last.

use super::Isa;

/// What is taken of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The largest value.
    Max,
    /// The mean, zeros around the image included.
    Average,
}

/// Square windows of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
}

impl Pool {
    pub fn output_size(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let extent =
            |input: usize| Some((input + 2 * self.padding).checked_sub(self.kernel)? / self.stride + 1);
        Some([extent(size[0])?, extent(size[1])?])
    }

    fn windows(&self, size: [usize; 2], mut each: impl FnMut(usize, Vec<usize>)) {
        let [rows, columns] = self.output_size(size).unwrap_or_default();
        for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
            let inside = |start: usize, tap: usize, extent: usize| {
                (start * self.stride + tap).checked_sub(self.padding).filter(|at| *at < extent)
            };
            let taps = (0..self.kernel).flat_map(|ky| (0..self.kernel).map(move |kx| (ky, kx)));
            let taps =
                taps.filter_map(|(ky, kx)| Some(inside(y, ky, size[0])? * size[1] + inside(x, kx, size[1])?));
            each(y * columns + x, taps.collect());
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub fn forward(
        &self,
        _isa: Isa,
        kind: Pooling,
        input: &[f32],
        size: [usize; 2],
        channels: usize,
        output: &mut [f32],
    ) {
        self.windows(size, |at, taps| {
            for c in 0..channels {
                let values = taps.iter().map(|tap| input[tap * channels + c]);
                output[at * channels + c] = match kind {
                    Pooling::Max => values.fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a }),
                    Pooling::Average => values.sum::<f32>() / (self.kernel * self.kernel) as f32,
                };
            }
        });
    }

    #[allow(clippy::too_many_arguments)]
    pub fn backward(
        &self,
        _isa: Isa,
        kind: Pooling,
        input: &[f32],
        size: [usize; 2],
        channels: usize,
        output_gradient: &[f32],
        input_gradient: &mut [f32],
    ) {
        input_gradient.fill(0.0);
        self.windows(size, |at, taps| {
            for c in 0..channels {
                let dz = output_gradient[at * channels + c];
                match kind {
                    Pooling::Max => {
                        let mut best = taps[0];
                        for &tap in &taps {
                            if input[tap * channels + c] > input[best * channels + c] {
                                best = tap;
                            }
                        }
                        input_gradient[best * channels + c] += dz;
                    }
                    Pooling::Average => {
                        for &tap in &taps {
                            input_gradient[tap * channels + c] += dz / (self.kernel * self.kernel) as f32;
                        }
                    }
                }
            }
        });
    }
}
