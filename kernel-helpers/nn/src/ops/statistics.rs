//! Sums over channels whose order is fixed, whatever the number of threads.

use rayon::prelude::*;

/// Mean and biased variance of values, with their count; two merge into one by Chan's formula.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    pub count: f64,
    pub mean: f64,
    /// The sum of squared deviations from the mean.
    pub deviations: f64,
}

impl Moments {
    pub fn of(values: &[f32]) -> Self {
        let count = values.len() as f64;
        let mean = sum(values, |&value| value) as f64 / count.max(1.0);
        let center = mean as f32;
        // The second sum is over the rounded mean; what that differs from the mean is taken off again.
        let deviations = sum(values, |&value| (value - center) * (value - center)) as f64;
        let rounding = mean - center as f64;
        Moments { count, mean, deviations: (deviations - count * rounding * rounding).max(0.0) }
    }

    pub fn merge(self, other: Moments) -> Self {
        let count = self.count + other.count;
        if count == 0.0 {
            return self;
        }
        let difference = other.mean - self.mean;
        Moments {
            count,
            mean: self.mean + difference * other.count / count,
            deviations: self.deviations
                + other.deviations
                + difference * difference * self.count * other.count / count,
        }
    }

    pub fn variance(&self) -> f64 {
        self.deviations / self.count.max(1.0)
    }
}

/// `Σ term(item)` in sixteen strands, which compilers turn into vectors.
pub(super) fn sum<T>(items: &[T], term: impl Fn(&T) -> f32) -> f32 {
    let mut strands = [0.0f32; 16];
    let chunks = items.chunks_exact(16);
    let rest: f32 = chunks.remainder().iter().map(&term).sum();
    for chunk in chunks {
        for (strand, item) in strands.iter_mut().zip(chunk) {
            *strand += term(item);
        }
    }
    strands.iter().sum::<f32>() + rest
}

/// For each channel of `[N, C, H · W]`: `merge` over the images, in their order, of `of_plane(offset of the plane)`.
pub(super) fn per_channel<T: Send + Default>(
    batch: usize,
    channels: usize,
    plane: usize,
    of_plane: impl Fn(usize) -> T + Sync,
    merge: impl Fn(T, T) -> T + Sync,
) -> Vec<T> {
    (0..channels)
        .into_par_iter()
        .map(|channel| {
            (0..batch).fold(T::default(), |total, image| {
                merge(total, of_plane((image * channels + channel) * plane))
            })
        })
        .collect()
}
