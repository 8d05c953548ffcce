//! Scales and shifts per channel, and what batch norms need between two passes over the batch.

use super::parts::Parts;
use crate::graph::layered::EPS;
use crate::graph::plan::{Affine, Extent};
use crate::ops::Moments;
use cpu_kernels::channels::{self, ShiftedSums};
use cpu_kernels::{Isa, LANES_MAX};

/// A factor and a summand per channel, `z · scale + shift`, padded to the lanes; of a batch norm also where they come from.
#[derive(Clone, Debug, Default)]
pub struct Scaling {
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
    pub inverse_deviation: Vec<f32>,
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
}

impl Scaling {
    /// The identity for so many channels.
    pub fn unit(lanes: usize) -> Self {
        Scaling { scale: vec![1.0; lanes], shift: vec![0.0; lanes], ..Scaling::default() }
    }

    /// A bias among the parameters.
    pub fn bias(affine: &Affine, parameters: &Parts<&[f32]>) -> Self {
        let mut scaling = Scaling::unit(affine.channels.next_multiple_of(LANES_MAX));
        scaling.shift[..affine.channels].copy_from_slice(&parameters[affine.shift.clone()]);
        scaling
    }

    /// A batch norm, from statistics (mean and biased variance), in f64, and γ and β among the parameters.
    pub fn norm(
        affine: &Affine,
        parameters: &Parts<&[f32]>,
        statistics: impl IntoIterator<Item = (f64, f64)>,
    ) -> Self {
        let gamma = affine.norm.as_ref().map(|(_, gamma)| &parameters[gamma.clone()]).unwrap_or_default();
        let beta = &parameters[affine.shift.clone()];
        let mut norm = Scaling::default();
        for (((mean, variance), gamma), beta) in statistics.into_iter().zip(gamma).zip(beta) {
            let inverse_deviation = 1.0 / (variance + EPS).sqrt();
            let scale = f64::from(*gamma) * inverse_deviation;
            norm.mean.push(mean as f32);
            norm.variance.push(variance as f32);
            norm.inverse_deviation.push(inverse_deviation as f32);
            norm.scale.push(scale as f32);
            norm.shift.push((f64::from(*beta) - mean * scale) as f32);
        }
        let lanes = affine.channels.next_multiple_of(LANES_MAX);
        for values in [&mut norm.mean, &mut norm.inverse_deviation, &mut norm.scale, &mut norm.shift] {
            values.resize(lanes, 0.0);
        }
        norm
    }

    /// From the moments of each group of images, merged in the groups' order.
    pub fn of_batch(affine: &Affine, parameters: &Parts<&[f32]>, groups: Vec<Vec<Moments>>) -> Self {
        let mut total = vec![Moments::default(); affine.channels];
        for group in groups {
            for (total, moments) in total.iter_mut().zip(group) {
                *total = total.merge(moments);
            }
        }
        Scaling::norm(affine, parameters, total.iter().map(|m| (m.mean, m.variance())))
    }

    pub fn affine(&self) -> channels::Affine<'_> {
        channels::Affine { scale: &self.scale, shift: &self.shift }
    }
}

/// Sums a stage's output over a group of images, around the first pixel of the first image.
pub struct GroupMoments {
    center: Vec<f32>,
    sums: [Vec<f64>; 2],
    count: usize,
}

impl GroupMoments {
    pub fn new(output: &Extent) -> Self {
        let zeros = vec![0.0; output.lanes()];
        GroupMoments { center: Vec::new(), sums: [zeros.clone(), zeros], count: 0 }
    }

    pub fn add(&mut self, isa: Isa, z: &[f32]) {
        let lanes = self.sums[0].len();
        if self.count == 0 {
            self.center = z[..lanes].to_vec();
        }
        let [sums, squares] = &mut self.sums;
        isa.run(ShiftedSums { z, center: &self.center, sums: [sums, squares] });
        self.count += z.len() / lanes;
    }

    pub fn finish(self) -> Vec<Moments> {
        let [sums, squares] = self.sums;
        let of_channel = |((center, sum), squares): ((f32, f64), f64)| {
            let (count, offset) = (self.count as f64, sum / self.count as f64);
            Moments { count, mean: f64::from(center) + offset, deviations: (squares - sum * offset).max(0.0) }
        };
        self.center.into_iter().zip(sums).zip(squares).map(of_channel).collect()
    }
}

/// `Σ dy`, and `Σ dy · (z - mean)` for each of an activation's two terms, per channel: what a batch norm's gradient needs of the
/// whole batch.
#[derive(Clone, Debug)]
pub struct GradientSums {
    pub gradients: Vec<f64>,
    pub products: [Vec<f64>; 2],
}

impl GradientSums {
    pub fn zeros(lanes: usize) -> Self {
        let zeros = vec![0.0; lanes];
        GradientSums { gradients: zeros.clone(), products: [zeros.clone(), zeros] }
    }

    /// The sum over the groups, in their order.
    pub fn total(groups: &[GradientSums]) -> Self {
        let add = |total: &mut [f64], group: &[f64]| total.iter_mut().zip(group).for_each(|(t, g)| *t += g);
        let mut total = GradientSums::zeros(groups.first().map_or(0, |group| group.gradients.len()));
        for group in groups {
            add(&mut total.gradients, &group.gradients);
            for (total, group) in total.products.iter_mut().zip(&group.products) {
                add(total, group);
            }
        }
        total
    }
}

/// The coefficients of [`NormGradient`](cpu_kernels::channels::NormGradient).
#[derive(Clone, Debug, Default)]
pub struct NormCoefficients {
    pub by_gradient: Vec<f32>,
    pub by_input: Vec<f32>,
    pub constant: Vec<f32>,
}

impl NormCoefficients {
    /// For `count` values a channel, given `Σ dy` and `Σ dy · (z - mean)`. Writes the gradients by γ and β to those by the parameters.
    pub fn new(
        affine: &Affine,
        norm: &Scaling,
        gradients: &[f64],
        products: &[f64],
        count: usize,
        gradient: &mut Parts<Vec<f32>>,
    ) -> Self {
        let mut coefficients = NormCoefficients::default();
        let (_, gamma) = affine.norm.clone().expect("a batch norm");
        for channel in 0..affine.channels {
            let (scale, inverse) =
                (f64::from(norm.scale[channel]), f64::from(norm.inverse_deviation[channel]));
            let (sum, product) = (gradients[channel], products[channel]);
            gradient.part_mut(&gamma)[channel] = (product * inverse) as f32;
            gradient.part_mut(&affine.shift)[channel] = sum as f32;
            coefficients.by_gradient.push(scale as f32);
            coefficients.by_input.push((-scale * inverse * inverse * product / count as f64) as f32);
            coefficients.constant.push((-scale * sum / count as f64) as f32);
        }
        let lanes = norm.scale.len();
        let Self { by_gradient, by_input, constant } = &mut coefficients;
        [by_gradient, by_input, constant].into_iter().for_each(|values| values.resize(lanes, 0.0));
        coefficients
    }
}
