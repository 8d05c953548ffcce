//! Batch normalization over `[N, C, H, W]`, per channel C.

use crate::Result;
use candle_core::Tensor;

/// The statistics of one batch, per channel.
#[derive(Clone, Debug)]
pub struct BatchStatistics {
    /// The mean over N, H and W: `[C]`.
    pub mean: Tensor,
    /// The biased variance over N, H and W: `[C]`.
    pub variance: Tensor,
    /// How many values each was taken over: N · H · W.
    pub count: usize,
}

/// `(x - mean) / sqrt(variance + eps) · weight + bias` with the batch's own statistics, which come back detached from
/// the graph; PyTorch's `F.batch_norm(training=True)` without the running averages.
///
/// # Errors
/// If the shapes do not fit together.
pub fn batch_norm_train(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
) -> Result<(Tensor, BatchStatistics)> {
    let (n, c, h, w) = x.dims4()?;
    let per_channel = (1, c, 1, 1);
    let mean = x.mean_keepdim((0, 2, 3))?;
    let centered = x.broadcast_sub(&mean)?;
    let variance = centered.sqr()?.mean_keepdim((0, 2, 3))?;
    let y = centered
        .broadcast_div(&(&variance + eps)?.sqrt()?)?
        .broadcast_mul(&weight.reshape(per_channel)?)?
        .broadcast_add(&bias.reshape(per_channel)?)?;
    let statistics = BatchStatistics {
        mean: mean.detach().flatten_all()?,
        variance: variance.detach().flatten_all()?,
        count: n * h * w,
    };
    Ok((y, statistics))
}

/// `(x - mean) / sqrt(variance + eps) · weight + bias` with given statistics `[C]`; PyTorch's
/// `F.batch_norm(training=False)`.
///
/// # Errors
/// If the shapes do not fit together.
pub fn batch_norm_eval(
    x: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    let (_, c, _, _) = x.dims4()?;
    let per_channel = (1, c, 1, 1);
    let scale = (weight / (variance + eps)?.sqrt()?)?;
    let shift = (bias - (mean * &scale)?)?;
    Ok(x.broadcast_mul(&scale.reshape(per_channel)?)?.broadcast_add(&shift.reshape(per_channel)?)?)
}
