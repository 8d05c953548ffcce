//! Batch normalization with running statistics.

use crate::ops;
use base::Result;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::ModuleT;

/// Batch normalization (Ioffe and Szegedy, 2015) with PyTorch's conventions, `nn.BatchNorm2d`: in training the batch is
/// normalized with its biased variance, and the running statistics move by a tenth towards the batch's mean and
/// unbiased variance; in evaluation the running statistics are used. Input and output `[N, C, H, W]`.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let norm = BatchNorm::new(1, &Device::Cpu)?;
/// let x = Tensor::new(&[[[[1f32, 3.0]]]], &Device::Cpu)?; // mean 2, biased variance 1
/// let y = norm.forward_t(&x, true)?.flatten_all()?.to_vec1::<f32>()?;
/// assert!((y[1] - 1.0).abs() < 1e-5);
/// assert_eq!(norm.running_mean.to_vec1::<f32>()?, [0.2]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// The scale γ, `[C]`.
    pub weight: Var,
    /// The shift β, `[C]`.
    pub bias: Var,
    /// The running mean, `[C]`.
    pub running_mean: Var,
    /// The running unbiased variance, `[C]`.
    pub running_var: Var,
    /// How many training batches have been seen: a scalar, i64.
    pub num_batches_tracked: Var,
}

impl BatchNorm {
    /// Added to the variance before the square root.
    pub const EPS: f64 = 1e-5;
    /// How far the running statistics move towards a batch's.
    pub const MOMENTUM: f64 = 0.1;

    /// γ = 1, β = 0, running mean 0 and variance 1.
    ///
    /// # Errors
    /// If the tensors cannot be made on the device.
    pub fn new(channels: usize, device: &Device) -> Result<Self> {
        Ok(Self {
            weight: Var::ones(channels, DType::F32, device)?,
            bias: Var::zeros(channels, DType::F32, device)?,
            running_mean: Var::zeros(channels, DType::F32, device)?,
            running_var: Var::ones(channels, DType::F32, device)?,
            num_batches_tracked: Var::from_tensor(&Tensor::new(0i64, device)?)?,
        })
    }

    /// Moves the running statistics towards those of a training batch.
    ///
    /// # Errors
    /// If the statistics have another number of channels.
    pub fn track(&self, batch: &ops::BatchStatistics) -> Result<()> {
        let unbiased = batch.count as f64 / (batch.count as f64 - 1.0).max(1.0);
        let towards = |running: &Var, batch: &Tensor, factor: f64| -> Result<()> {
            let kept = running.affine(1.0 - Self::MOMENTUM, 0.0)?;
            Ok(running.set(&(kept + batch.affine(Self::MOMENTUM * factor, 0.0)?)?)?)
        };
        towards(&self.running_mean, &batch.mean, 1.0)?;
        towards(&self.running_var, &batch.variance, unbiased)?;
        Ok(self.num_batches_tracked.set(&(self.num_batches_tracked.as_tensor() + 1.0)?)?)
    }
}

impl ModuleT for BatchNorm {
    fn forward_t(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        if !train {
            let (mean, var) = (&self.running_mean, &self.running_var);
            return Ok(ops::batch_norm_eval(x, mean, var, &self.weight, &self.bias, Self::EPS)?);
        }
        let (y, statistics) = ops::batch_norm_train(x, &self.weight, &self.bias, Self::EPS)?;
        self.track(&statistics)?;
        Ok(y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_normalizes_with_the_biased_variance_and_tracks_the_unbiased() {
        let norm = BatchNorm::new(1, &Device::Cpu).unwrap();
        let x = Tensor::new(&[1f32, 2.0, 3.0, 6.0], &Device::Cpu).unwrap().reshape((2, 1, 1, 2)).unwrap();
        let y = norm.forward_t(&x, true).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        // mean 3, biased variance 3.5, unbiased 14/3.
        let expected = [-2.0f32, -1.0, 0.0, 3.0].map(|v| v / (3.5f32 + 1e-5).sqrt());
        for (y, expected) in y.iter().zip(expected) {
            assert!((y - expected).abs() < 1e-6);
        }
        let scalar = |var: &Var| var.to_vec1::<f32>().unwrap()[0];
        assert!((scalar(&norm.running_mean) - 0.3).abs() < 1e-6);
        assert!((scalar(&norm.running_var) - (0.9 + 0.1 * 14.0 / 3.0)).abs() < 1e-6);
        assert_eq!(norm.num_batches_tracked.to_scalar::<i64>().unwrap(), 1);
    }

    #[test]
    fn evaluation_uses_the_running_statistics_and_leaves_them() {
        let norm = BatchNorm::new(1, &Device::Cpu).unwrap();
        norm.running_mean.set(&Tensor::new(&[2f32], &Device::Cpu).unwrap()).unwrap();
        norm.running_var.set(&Tensor::new(&[4f32], &Device::Cpu).unwrap()).unwrap();
        let x = Tensor::new(&[4f32, 0.0], &Device::Cpu).unwrap().reshape((1, 1, 1, 2)).unwrap();
        let y = norm.forward_t(&x, false).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!((y[0] - 1.0).abs() < 1e-4 && (y[1] + 1.0).abs() < 1e-4, "{y:?}");
        assert_eq!(norm.num_batches_tracked.to_scalar::<i64>().unwrap(), 0);
    }
}
