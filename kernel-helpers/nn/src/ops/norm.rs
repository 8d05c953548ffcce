//! Batch normalization over `[N, C, H, W]`, per channel C.

use super::cpu::{Values, is_cpu_f32, values};
use super::statistics::{Moments, per_channel, sum};
use base::{Error, Result};
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};
use rayon::prelude::*;

/// The statistics of one batch, per channel.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let x = Tensor::new(&[[[[1f32, 3.0]]], [[[5.0, 7.0]]]], &Device::Cpu)?; // two images of one channel
/// let one = Tensor::ones(1, DType::F32, &Device::Cpu)?;
/// let (_, statistics) = ops::batch_norm_train(&x, &one, &one, 1e-5)?;
/// assert_eq!((statistics.mean.to_vec1::<f32>()?, statistics.count), (vec![4.0], 4));
/// assert_eq!(statistics.variance.to_vec1::<f32>()?, [5.0]);
/// # Ok::<(), Error>(())
/// ```
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
/// f32 on the CPU runs in our kernels, the rest in candle's operators.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let x = Tensor::new(&[[[[1f32, 3.0]]]], &Device::Cpu)?; // mean 2, variance 1
/// let (weight, bias) = (Tensor::new(&[10f32], &Device::Cpu)?, Tensor::new(&[5f32], &Device::Cpu)?);
/// let (y, _) = ops::batch_norm_train(&x, &weight, &bias, 0.0)?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [-5.0, 15.0]);
/// # Ok::<(), Error>(())
/// ```
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
    check_channels(c, &[("weight", weight), ("bias", bias)])?;
    let count = n * h * w;
    if is_cpu_f32(&[x, weight, bias]) {
        let x = x.contiguous()?;
        let moments = moments(&Values::of(&x)?, [n, c, h * w]);
        let of_channel = |value: fn(&Moments) -> f64| {
            let values = moments.iter().map(|moments| value(moments) as f32).collect();
            Tensor::from_vec(values, c, x.device())
        };
        let statistics = BatchStatistics {
            mean: of_channel(|m| m.mean)?,
            variance: of_channel(Moments::variance)?,
            count,
        };
        let op = Normalize {
            mean: moments.iter().map(|moments| moments.mean as f32).collect(),
            inverse_deviation: moments.iter().map(|m| (1.0 / (m.variance() + eps).sqrt()) as f32).collect(),
            of_batch: true,
        };
        return Ok((x.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)?, statistics));
    }
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
        count,
    };
    Ok((y, statistics))
}

/// `(x - mean) / sqrt(variance + eps) · weight + bias` with given statistics `[C]`, taken as constants; PyTorch's
/// `F.batch_norm(training=False)`.
///
/// f32 on the CPU runs in our kernels, the rest in candle's operators.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let of_channel = |value: f32| Tensor::new(&[value], &Device::Cpu);
/// let (mean, variance) = (of_channel(2.0)?, of_channel(4.0)?);
/// let x = Tensor::new(&[[[[2f32, 4.0]]]], &Device::Cpu)?;
/// let y = ops::batch_norm_eval(&x, &mean, &variance, &of_channel(10.0)?, &of_channel(5.0)?, 0.0)?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [5.0, 15.0]);
/// # Ok::<(), Error>(())
/// ```
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
    check_channels(c, &[("mean", mean), ("variance", variance), ("weight", weight), ("bias", bias)])?;
    let (mean, variance) = (mean.detach(), variance.detach());
    if is_cpu_f32(&[x, &mean, &variance, weight, bias]) {
        let inverse_deviation =
            variance.to_vec1::<f32>()?.iter().map(|&v| (1.0 / (v as f64 + eps).sqrt()) as f32).collect();
        let op = Normalize { mean: mean.to_vec1()?, inverse_deviation, of_batch: false };
        return Ok(x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)?);
    }
    let per_channel = (1, c, 1, 1);
    let scale = (weight / (variance + eps)?.sqrt()?)?;
    let shift = (bias - (mean * &scale)?)?;
    Ok(x.broadcast_mul(&scale.reshape(per_channel)?)?.broadcast_add(&shift.reshape(per_channel)?)?)
}

fn check_channels(channels: usize, tensors: &[(&str, &Tensor)]) -> Result<()> {
    for (name, tensor) in tensors {
        if tensor.dims() != [channels] {
            let found = format!("{:?}", tensor.dims());
            return Err(Error::argument(name, format!("one value per channel, [{channels}]"), found));
        }
    }
    Ok(())
}

/// The moments of each channel of `[N, C, H · W]`.
fn moments(x: &[f32], [batch, channels, plane]: [usize; 3]) -> Vec<Moments> {
    per_channel(batch, channels, plane, |at| Moments::of(&x[at..at + plane]), Moments::merge)
}

/// `(x - mean) · inverse_deviation · weight + bias`.
struct Normalize {
    mean: Vec<f32>,
    inverse_deviation: Vec<f32>,
    /// Whether the statistics are those of `x`, so that its gradient flows through them too.
    of_batch: bool,
}

impl CustomOp3 for Normalize {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_, channels, height, width) = x_layout.shape().dims4()?;
        let shape = [channels];
        if weight_layout.dims() != shape || bias_layout.dims() != shape || self.mean.len() != channels {
            candle_core::bail!("expected a weight, a bias and a mean for each of {channels} channels")
        }
        let (x, weight, bias) =
            (values(x, x_layout)?, values(weight, weight_layout)?, values(bias, bias_layout)?);
        let plane = (height * width).max(1);
        let mut y = vec![0.0; x.len()];
        y.par_chunks_mut(plane).zip(x.par_chunks(plane)).enumerate().for_each(|(at, (y, x))| {
            let channel = at % channels;
            let scale = weight[channel] * self.inverse_deviation[channel];
            let (mean, bias) = (self.mean[channel], bias[channel]);
            for (y, x) in y.iter_mut().zip(x) {
                *y = (x - mean) * scale + bias;
            }
        });
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        y_gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        if x.elem_count() == 0 {
            return Ok((Some(x.zeros_like()?), Some(weight.zeros_like()?), Some(bias.zeros_like()?)));
        }
        let y_gradient = y_gradient.contiguous()?;
        let (batch, channels, height, width) = x.dims4()?;
        let plane = height * width;
        let (values, dy) = (Values::of(x)?, Values::of(&y_gradient)?);
        let (values, dy): (&[f32], &[f32]) = (&values, &dy);

        // Per channel: Σ dy and Σ dy · x̂.
        let sums = per_channel(
            batch,
            channels,
            plane,
            |at| {
                let mean = self.mean[at / plane % channels];
                let (x, dy) = (&values[at..at + plane], &dy[at..at + plane]);
                let products: f32 = {
                    let mut strands = [0.0f32; 16];
                    for (x, dy) in x.chunks(16).zip(dy.chunks(16)) {
                        for ((strand, x), dy) in strands.iter_mut().zip(x).zip(dy) {
                            *strand += (x - mean) * dy;
                        }
                    }
                    strands.iter().sum()
                };
                [sum(dy, |&dy| dy) as f64, products as f64]
            },
            |a, b| [a[0] + b[0], a[1] + b[1]],
        );
        let bias_gradient: Vec<f32> = sums.iter().map(|sums| sums[0] as f32).collect();
        let weight_gradient: Vec<f32> = sums
            .iter()
            .zip(&self.inverse_deviation)
            .map(|(sums, inverse)| (sums[1] * *inverse as f64) as f32)
            .collect();

        let x_gradient = x.track_op().then(|| {
            let scales = Values::of(weight)?;
            let count = (batch * plane) as f32;
            let mut dx = vec![0.0; values.len()];
            dx.par_chunks_mut(plane).enumerate().for_each(|(at, dx)| {
                let channel = at % channels;
                let (x, dy) = (&values[at * plane..][..plane], &dy[at * plane..][..plane]);
                let inverse = self.inverse_deviation[channel];
                let (mean, scale) = (self.mean[channel], scales[channel] * inverse);
                let (average, slope) = if self.of_batch {
                    (bias_gradient[channel] / count, inverse * weight_gradient[channel] / count)
                } else {
                    (0.0, 0.0)
                };
                for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy) {
                    *dx = scale * (dy - average - (x - mean) * slope);
                }
            });
            Tensor::from_vec(dx, x.dims(), x.device())
        });
        Ok((
            x_gradient.transpose()?,
            Some(Tensor::from_vec(weight_gradient, weight.dims(), weight.device())?),
            Some(Tensor::from_vec(bias_gradient, bias.dims(), bias.device())?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::*;

    #[test]
    fn batch_norm_agrees_with_candle_in_f64() {
        for shape in [[1, 1, 3, 5], [3, 5, 4, 4], [2, 16, 7, 5]] {
            let c = shape[1];
            let arguments = [random(&shape, 1), random(&[c], 2), random(&[c], 3)];
            let train = |t: &[Tensor]| Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-5)?.0);
            assert_same_gradients(&arguments, train, train);
            let mean = random(&[c], 4);
            let variance = random(&[c], 5).sqr().unwrap();
            let eval = |t: &[Tensor]| {
                let (mean, variance) = (mean.to_dtype(t[0].dtype())?, variance.to_dtype(t[0].dtype())?);
                batch_norm_eval(&t[0], &mean, &variance, &t[1], &t[2], 1e-5)
            };
            assert_same_gradients(&arguments, eval, eval);
        }
    }

    #[test]
    fn statistics_are_those_of_a_batch_far_from_zero() {
        let x = (random(&[4, 3, 8, 8], 1) + 1000.0).unwrap();
        let ones = Tensor::ones(3, candle_core::DType::F32, x.device()).unwrap();
        let (_, statistics) = batch_norm_train(&x, &ones, &ones, 1e-5).unwrap();
        let exact = x.to_dtype(candle_core::DType::F64).unwrap();
        let ones = ones.to_dtype(candle_core::DType::F64).unwrap();
        let (_, expected) = batch_norm_train(&exact, &ones, &ones, 1e-5).unwrap();
        assert_close(&statistics.mean, &expected.mean);
        assert_close(&statistics.variance, &expected.variance);
        assert_eq!(statistics.count, 4 * 64);
    }

    #[test]
    fn no_image_and_images_without_pixels_have_no_gradient() {
        for shape in [[0, 3, 2, 2], [2, 3, 0, 4], [2, 3, 4, 0]] {
            let x = candle_core::Var::from_tensor(&random(&shape, 1)).unwrap();
            let weight = candle_core::Var::from_tensor(&random(&[3], 2)).unwrap();
            let (y, statistics) = batch_norm_train(&x, &weight, &random(&[3], 3), 1e-5).unwrap();
            assert_eq!((y.dims(), statistics.count), (shape.as_slice(), 0));
            let gradients = y.sum_all().unwrap().backward().unwrap();
            assert_eq!(gradients.get(&x).unwrap().dims(), shape);
            assert_eq!(gradients.get(&weight).unwrap().to_vec1::<f32>().unwrap(), [0.0; 3]);
        }
    }

    #[test]
    fn the_operation_itself_refuses_what_does_not_fit() {
        let op = |channels| Normalize {
            mean: vec![0.0; channels],
            inverse_deviation: vec![1.0; channels],
            of_batch: true,
        };
        let x = random(&[2, 3, 4, 5], 1);
        let refused = |x: &Tensor, weight: &[usize], bias: &[usize], channels| {
            x.apply_op3(&random(weight, 2), &random(bias, 3), op(channels)).unwrap_err();
        };
        refused(&x, &[2], &[3], 3);
        refused(&x, &[3], &[4], 3);
        refused(&x, &[3], &[3], 2);
        refused(&x.transpose(2, 3).unwrap(), &[3], &[3], 3);
        refused(&x.to_dtype(candle_core::DType::F64).unwrap(), &[3], &[3], 3);
        refused(&x.flatten_from(2).unwrap(), &[3], &[3], 3);
    }

    #[test]
    fn batch_norm_gives_the_same_bits_on_any_number_of_threads() {
        let arguments = [random(&[37, 6, 8, 8], 1), random(&[6], 2), random(&[6], 3)];
        assert_same_bits_on_any_number_of_threads(&arguments, |t| {
            Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-5)?.0)
        });
    }
}
