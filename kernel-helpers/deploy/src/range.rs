//! Which range of numbers 8 bits stand for, from the values that calibration images give.

/// How the range of a tensor's values is chosen. What lies outside becomes the nearest value inside.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let calibration = Calibration { range: RangeMethod::Percentile(99.9), ..Default::default() };
/// let integers = IntegerNetwork::quantize(&net, &data, calibration)?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum RangeMethod {
    /// From the smallest to the largest.
    MinMax,
    /// Without the same share of values on either side: this percentage lies below the upper end.
    Percentile(f64),
    /// The ends for which the mean of the squared errors is smallest, of 80 that shrink towards zero.
    #[default]
    SquaredError,
}

/// The bins of a histogram.
const BINS: usize = 4096;
/// Ends that are tried for the smallest squared error.
const TRIED: usize = 80;

/// The values of a tensor, counted.
#[derive(Clone, Debug)]
pub struct Histogram {
    low: f32,
    high: f32,
    counts: Vec<u64>,
}

impl Histogram {
    /// For values in a range.
    pub fn new(low: f32, high: f32) -> Self {
        Histogram { low, high, counts: vec![0; BINS] }
    }

    /// Counts values.
    pub fn add(&mut self, values: &[f32]) {
        let per_value = BINS as f32 / (self.high - self.low).max(f32::MIN_POSITIVE);
        for value in values {
            let bin = ((value - self.low) * per_value) as usize;
            self.counts[bin.min(BINS - 1)] += 1;
        }
    }

    /// The range that 8 bits stand for. It has a zero in it: padding has to be exact.
    pub fn range(&self, method: RangeMethod) -> [f32; 2] {
        let (low, high) = (self.low.min(0.0), self.high.max(0.0));
        match method {
            RangeMethod::MinMax => [low, high],
            RangeMethod::Percentile(percentage) => {
                let outside = 1.0 - (percentage / 100.0).clamp(0.5, 1.0);
                let (first, last) = (self.quantile(outside), self.quantile(1.0 - outside));
                [if self.low < 0.0 { first.min(0.0) } else { 0.0 }, last.max(0.0)]
            }
            RangeMethod::SquaredError => {
                let shrunk = (0..TRIED).map(|step| 1.0 - step as f32 / (TRIED as f32 * 1.25));
                let ranges = shrunk.map(|share| [low * share, high * share]);
                let errors = ranges.map(|range| (self.squared_error(range), range));
                errors.min_by(|a, b| a.0.total_cmp(&b.0)).map_or([low, high], |(_, range)| range)
            }
        }
    }

    fn center(&self, bin: usize) -> f32 {
        self.low + (bin as f32 + 0.5) * (self.high - self.low) / BINS as f32
    }

    /// The value below which this share of all values lies.
    fn quantile(&self, share: f64) -> f32 {
        let all: u64 = self.counts.iter().sum();
        let mut below = 0;
        for (bin, count) in self.counts.iter().enumerate() {
            below += count;
            if below as f64 > share * all as f64 {
                return self.center(bin);
            }
        }
        self.high
    }

    /// The sum of the squared errors that 256 levels over a range make.
    fn squared_error(&self, [low, high]: [f32; 2]) -> f64 {
        let step = ((high - low) / 255.0).max(f32::MIN_POSITIVE);
        let error = |(bin, count): (usize, &u64)| {
            let value = self.center(bin);
            let inside = value.clamp(low, high);
            let rounded = ((inside - low) / step).round() * step + low;
            *count as f64 * f64::from(value - rounded).powi(2)
        };
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(error).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_a_zero_and_leave_out_what_hardly_occurs() {
        let mut values: Vec<f32> = (0..100_000).map(|at| at as f32 / 100_000.0).collect();
        values.push(100.0);
        let mut histogram = Histogram::new(0.0, 100.0);
        histogram.add(&values);
        assert_eq!(histogram.range(RangeMethod::MinMax), [0.0, 100.0]);
        let [low, high] = histogram.range(RangeMethod::Percentile(99.99));
        assert!(low == 0.0 && high < 1.1, "{high}");
        let [low, high] = histogram.range(RangeMethod::SquaredError);
        assert!(low == 0.0 && high < 99.0, "{high}");
        let mut above = Histogram::new(2.0, 5.0);
        above.add(&[2.0, 3.0, 5.0]);
        assert_eq!(above.range(RangeMethod::MinMax), [0.0, 5.0]);
    }
}
