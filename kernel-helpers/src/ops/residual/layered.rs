//! The same network layer by layer, from its packed parameters: the way back through an evaluation, which is rare, and
//! the reference of the tests.

use super::norm::Norm;
use super::plan::Plan;
use crate::{Result, ops};
use candle_core::Tensor;
use std::ops::Range;

/// The logits, with the statistics of `norms`, or with the batch's own.
pub fn logits(
    plan: &Plan,
    images: &Tensor,
    parameters: &Tensor,
    norms: Option<&[Norm]>,
    eps: f64,
) -> Result<Tensor> {
    let take = |range: &Range<usize>| parameters.narrow(0, range.start, range.len());
    let unit = |at: usize, x: &Tensor| -> Result<Tensor> {
        let unit = &plan.units[at];
        let convolution = unit.convolution;
        let shape = (convolution.outputs, convolution.inputs, convolution.kernel, convolution.kernel);
        let weight = take(&unit.weight)?.reshape(shape)?;
        let z = ops::conv2d(x, &weight, convolution.stride, convolution.padding)?;
        let (scale, shift) = (take(&unit.scale)?, take(&unit.shift)?);
        let Some(norms) = norms else {
            return Ok(ops::batch_norm_train(&z, &scale, &shift, eps)?.0);
        };
        let statistic = |values: &[f32]| Tensor::new(values, z.device())?.to_dtype(z.dtype());
        let (mean, variance) = (statistic(&norms[at].mean)?, statistic(&norms[at].variance)?);
        ops::batch_norm_eval(&z, &mean, &variance, &scale, &shift, eps)
    };
    let mut x = ops::relu(&unit(0, images)?)?;
    for block in &plan.blocks {
        let inner = unit(block.second, &ops::relu(&unit(block.first, &x)?)?)?;
        x = match block.mapping {
            Some(mapping) => ops::add_relu(&inner, &unit(mapping, &x)?)?,
            None => ops::add_relu(&inner, &x)?,
        };
    }
    let weight = take(&plan.fc_weight)?.reshape((plan.classes, ()))?;
    ops::linear(&ops::global_average_pool(&x)?, &weight, &take(&plan.fc_bias)?)
}
