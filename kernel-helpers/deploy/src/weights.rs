//! Weights as signed 8-bit integers, each output channel with a scale of its own.

/// The largest integer of a weight; the smallest is its opposite.
const LARGEST: i32 = 127;
/// How close to an integer a weight has to be, in steps, to count as one.
const EXACT: f32 = 1e-3;
/// The largest integer of a bias: beside it, a sum of products has room in 32 bits.
const LARGEST_BIAS: f64 = (1 << 30) as f64;

/// A weight `[O, …]` as integers: each is `scale[o]` times an integer.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegerWeights {
    /// In the order of the weight.
    pub values: Vec<i8>,
    /// By output channel.
    pub scales: Vec<f32>,
    /// How many bits the integers of each channel need.
    pub bits: Vec<u32>,
}

impl IntegerWeights {
    /// From `-127` to `127`. A channel whose weights are few evenly spaced levels around zero, as those of a network that was
    /// trained with quantized weights, keeps these exactly.
    pub fn of(weight: &[f32], channels: usize) -> Self {
        let mut integers =
            IntegerWeights { values: Vec::with_capacity(weight.len()), scales: Vec::new(), bits: Vec::new() };
        for channel in weight.chunks((weight.len() / channels.max(1)).max(1)) {
            let largest = channel.iter().fold(0f32, |largest, weight| largest.max(weight.abs()));
            let steps =
                (1..LARGEST).find(|steps| is_exact(channel, largest / *steps as f32)).unwrap_or(LARGEST);
            let scale = if largest > 0.0 { largest / steps as f32 } else { 1.0 };
            let first = integers.values.len();
            let bound = LARGEST as f32;
            integers.values.extend(
                channel.iter().map(|weight| (weight / scale).round_ties_even().clamp(-bound, bound) as i8),
            );
            integers.scales.push(scale);
            integers.bits.push(bits_of(&integers.values[first..]));
        }
        integers
    }

    /// Rounds a bias `[O]` to integers of 32 bits, as which engines add it to the sums of products: its step is that of the
    /// inputs times that of the channel's weights. A channel whose weights are zero, or next to nothing beside its bias, gets
    /// the scale that the bias needs.
    pub fn round_bias(&mut self, bias: &mut [f32], step_of_inputs: f32) {
        let of_channel = self.values.len() / self.scales.len();
        let step_of_inputs = f64::from(step_of_inputs);
        for (channel, bias) in bias.iter_mut().enumerate().filter(|(_, bias)| **bias != 0.0) {
            let (scale, wide) = (&mut self.scales[channel], f64::from(*bias));
            let values = &mut self.values[channel * of_channel..][..of_channel];
            let least = (wide.abs() / step_of_inputs / LARGEST_BIAS).max(f64::from(f32::MIN_POSITIVE)) as f32;
            if *scale < least || values.iter().all(|value| *value == 0) {
                let shrink = *scale / least;
                values.iter_mut().for_each(|value| *value = (f32::from(*value) * shrink).round() as i8);
                (*scale, self.bits[channel]) = (least, bits_of(values));
            }
            let step = step_of_inputs * f64::from(*scale);
            *bias = ((wide / step).round_ties_even() * step) as f32;
        }
    }
}

impl IntegerWeights {
    /// These integers, with a scale for each output channel.
    pub fn with_scales(values: Vec<i8>, scales: Vec<f32>) -> Self {
        let of_channel = (values.len() / scales.len().max(1)).max(1);
        let bits = values.chunks(of_channel).map(bits_of).collect();
        IntegerWeights { values, scales, bits }
    }
}

/// Whether all weights are integers times a step, and the largest of them is.
fn is_exact(channel: &[f32], step: f32) -> bool {
    step > 0.0 && channel.iter().all(|weight| (weight / step - (weight / step).round()).abs() <= EXACT)
}

/// The bits of a two's complement that holds them all.
fn bits_of(values: &[i8]) -> u32 {
    let needed = |value: &i8| 9 - if *value < 0 { (!value).leading_zeros() } else { value.leading_zeros() };
    values.iter().map(needed).max().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl IntegerWeights {
        /// The weights that the integers stand for.
        fn floats(&self) -> Vec<f32> {
            let of_channel = self.values.len() / self.scales.len();
            let scale = |at: usize| self.scales[at / of_channel];
            self.values.iter().enumerate().map(|(at, value)| f32::from(*value) * scale(at)).collect()
        }
    }

    #[test]
    fn a_channel_of_few_levels_keeps_them_and_others_are_rounded() {
        let weight = [0.25, -0.5, 0.0, 0.25, 1.0, 0.3, -0.7, 0.11, 0.0, 0.0, 0.0, 0.0];
        let integers = IntegerWeights::of(&weight, 3);
        assert_eq!(integers.values[..4], [1, -2, 0, 1]);
        assert_eq!((integers.scales[0], integers.bits[0]), (0.25, 2));
        assert_eq!((integers.values[4], integers.bits[1]), (100, 8), "hundredths");
        assert_eq!(
            (integers.values[8..].to_vec(), integers.scales[2], integers.bits[2]),
            (vec![0; 4], 1.0, 1)
        );
        let floats = integers.floats();
        assert!(weight.iter().zip(&floats).all(|(weight, float)| (weight - float).abs() <= 0.5 / 127.0));
        assert_eq!(floats[..4], weight[..4]);
    }

    #[test]
    fn biases_are_multiples_of_a_step_that_fits_them() {
        let mut integers = IntegerWeights::of(&[0.25, -0.5, 1e-12, -1e-12, 0.0, 0.0, 0.0, 0.0], 4);
        let mut bias = [0.26, 0.7, 1.0, 0.0];
        integers.round_bias(&mut bias, 0.125);
        assert_eq!((bias[0], integers.scales[0]), (0.25, 0.25), "steps of 1/32");
        assert_eq!(integers.values, [1, -2, 0, 0, 0, 0, 0, 0], "weights that are nothing beside their bias");
        assert!((bias[1] - 0.7).abs() < 1e-6 && bias[2] == 1.0, "{bias:?}");
        for channel in [1, 2] {
            let multiple = f64::from(bias[channel]) / f64::from(integers.scales[channel]) / 0.125;
            assert!((multiple - LARGEST_BIAS).abs() < 256.0, "{multiple}");
        }
        assert_eq!(integers.scales[3], 1.0);
    }

    #[test]
    fn bits_are_those_of_the_two_s_complement() {
        assert_eq!(
            [
                bits_of(&[0]),
                bits_of(&[-1, 0]),
                bits_of(&[1]),
                bits_of(&[-2, 1]),
                bits_of(&[-128]),
                bits_of(&[127])
            ],
            [1, 1, 2, 2, 8, 8]
        );
    }
}
