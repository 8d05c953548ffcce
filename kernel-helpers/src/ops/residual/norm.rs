//! The batch norms' numbers per channel, between two passes over the batch.

use super::plan::Unit;
use crate::kernels::channels::Affine;
use crate::ops::statistics::Moments;

/// A batch norm ready for use: `z · scale + shift`.
#[derive(Clone, Debug, Default)]
pub struct Norm {
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
    pub inverse_deviation: Vec<f32>,
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
}

impl Norm {
    /// From statistics (mean and biased variance), in f64, and γ and β among the packed parameters.
    pub fn new(
        unit: &Unit,
        parameters: &[f32],
        statistics: impl IntoIterator<Item = (f64, f64)>,
        eps: f64,
    ) -> Self {
        let (gamma, beta) = (&parameters[unit.scale.clone()], &parameters[unit.shift.clone()]);
        let mut norm = Norm::default();
        for (((mean, variance), gamma), beta) in statistics.into_iter().zip(gamma).zip(beta) {
            let inverse_deviation = 1.0 / (variance + eps).sqrt();
            let scale = f64::from(*gamma) * inverse_deviation;
            norm.mean.push(mean as f32);
            norm.variance.push(variance as f32);
            norm.inverse_deviation.push(inverse_deviation as f32);
            norm.scale.push(scale as f32);
            norm.shift.push((f64::from(*beta) - mean * scale) as f32);
        }
        norm
    }

    /// From the moments of each group of images, merged in the groups' order.
    pub fn of_batch(unit: &Unit, parameters: &[f32], groups: Vec<Vec<Moments>>, eps: f64) -> Self {
        let mut total = vec![Moments::default(); unit.channels()];
        for group in groups {
            for (total, moments) in total.iter_mut().zip(group) {
                *total = total.merge(moments);
            }
        }
        Norm::new(unit, parameters, total.iter().map(|m| (m.mean, m.variance())), eps)
    }

    pub fn affine(&self) -> Affine<'_> {
        Affine { scale: &self.scale, shift: &self.shift }
    }
}

/// `Σ dy` and `Σ dy · (z - mean)` per channel: what a batch norm's gradient needs of the whole batch.
#[derive(Clone, Debug)]
pub struct GradientSums {
    pub gradients: Vec<f64>,
    pub products: Vec<f64>,
    /// The products with the input of the skip's batch norm, if there is one.
    pub mapping_products: Vec<f64>,
}

impl GradientSums {
    pub fn zeros(channels: usize) -> Self {
        let zeros = vec![0.0; channels];
        GradientSums { gradients: zeros.clone(), products: zeros.clone(), mapping_products: zeros }
    }

    /// The sum over the groups, in their order.
    pub fn total(groups: &[GradientSums]) -> Self {
        let add = |total: &mut [f64], group: &[f64]| total.iter_mut().zip(group).for_each(|(t, g)| *t += g);
        let mut total = GradientSums::zeros(groups.first().map_or(0, |group| group.gradients.len()));
        for group in groups {
            add(&mut total.gradients, &group.gradients);
            add(&mut total.products, &group.products);
            add(&mut total.mapping_products, &group.mapping_products);
        }
        total
    }
}

/// The coefficients of [`NormGradient`](crate::kernels::channels::NormGradient).
#[derive(Clone, Debug, Default)]
pub struct NormCoefficients {
    pub by_gradient: Vec<f32>,
    pub by_input: Vec<f32>,
    pub constant: Vec<f32>,
}

impl NormCoefficients {
    /// For `count` values a channel, given `Σ dy` and `Σ dy · (z - mean)`. Writes the gradients by γ and β to the packed
    /// parameters' `gradient`.
    pub fn new(
        unit: &Unit,
        norm: &Norm,
        gradients: &[f64],
        products: &[f64],
        count: usize,
        gradient: &mut [f32],
    ) -> Self {
        let mut coefficients = NormCoefficients::default();
        for channel in 0..unit.channels() {
            let (scale, inverse) =
                (f64::from(norm.scale[channel]), f64::from(norm.inverse_deviation[channel]));
            let (sum, product) = (gradients[channel], products[channel]);
            gradient[unit.scale.start + channel] = (product * inverse) as f32;
            gradient[unit.shift.start + channel] = sum as f32;
            coefficients.by_gradient.push(scale as f32);
            coefficients.by_input.push((-scale * inverse * inverse * product / count as f64) as f32);
            coefficients.constant.push((-scale * sum / count as f64) as f32);
        }
        coefficients
    }
}
