//! Random tensors that are the same each time.
//!
//! Candle's own come from a generator that cannot be seeded on the CPU.

use base::{Error, Result};
use candle_core::{Device, FloatDType, Shape, Tensor};
use rand::Rng;
use rand_distr::{Distribution, Normal, Uniform};

/// A tensor of normally distributed values, as [`Tensor::randn`] makes it, from a generator of one's own.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let x = randn(0f32, 1.0, (2, 3), &mut rng, &Device::Cpu)?;
/// assert_eq!(x.dims(), [2, 3]);
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If the deviation is not finite, or the tensor cannot be made on the device.
pub fn randn<T: FloatDType>(
    mean: T,
    deviation: T,
    shape: impl Into<Shape>,
    rng: &mut impl Rng,
    device: &Device,
) -> Result<Tensor> {
    let normal = Normal::new(mean.to_f64(), deviation.to_f64());
    let normal = normal.map_err(|e| Error::argument("deviation", "a finite number", e))?;
    drawn::<T>(&normal, shape.into(), rng, device)
}

/// A tensor of values from `low` up to `high`, all equally likely, as [`Tensor::rand`] makes it, from a generator of
/// one's own.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let x = rand(-1f32, 1.0, (2, 3), &mut rng, &Device::Cpu)?;
/// assert!(x.abs()?.max_all()?.to_scalar::<f32>()? <= 1.0);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If there is nothing between the bounds, or the tensor cannot be made on the device.
pub fn rand<T: FloatDType>(
    low: T,
    high: T,
    shape: impl Into<Shape>,
    rng: &mut impl Rng,
    device: &Device,
) -> Result<Tensor> {
    let uniform = Uniform::new(low.to_f64(), high.to_f64());
    let uniform = uniform.map_err(|e| Error::argument("bounds", "finite ones, low below high", e))?;
    drawn::<T>(&uniform, shape.into(), rng, device)
}

fn drawn<T: FloatDType>(
    values: &impl Distribution<f64>,
    shape: Shape,
    rng: &mut impl Rng,
    device: &Device,
) -> Result<Tensor> {
    let values: Vec<T> = (0..shape.elem_count()).map(|_| T::from_f64(values.sample(rng))).collect();
    Ok(Tensor::from_vec(values, shape, device)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn rng(seed: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed)
    }

    #[test]
    fn a_seed_gives_the_same_tensor_each_time() {
        let values = |seed| -> Vec<f32> {
            let x = randn(1f32, 2.0, (100, 100), &mut rng(seed), &Device::Cpu).unwrap();
            x.flatten_all().unwrap().to_vec1().unwrap()
        };
        assert_eq!(values(3), values(3));
        assert_ne!(values(3), values(4));
        let mean = values(3).iter().sum::<f32>() / 1e4;
        let variance = values(3).iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 1e4;
        assert!((mean - 1.0).abs() < 0.06 && (variance - 4.0).abs() < 0.2, "{mean} and {variance}");
    }

    #[test]
    fn uniform_values_fill_their_range() {
        let x = rand(-1f64, 3.0, 10_000, &mut rng(0), &Device::Cpu).unwrap();
        let values: Vec<f64> = x.to_vec1().unwrap();
        let (least, most) = values.iter().fold((9.0, -9.0), |(a, b), x| (x.min(a), x.max(b)));
        assert!((-1.0..-0.99).contains(&least) && (2.99..3.0).contains(&most), "{least} to {most}");
    }

    #[test]
    fn impossible_bounds_are_refused() {
        assert!(rand(1f32, 0.0, 3, &mut rng(0), &Device::Cpu).unwrap_err().to_string().contains("bounds"));
        let error = randn(0f32, f32::NAN, 3, &mut rng(0), &Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("deviation"), "{error}");
    }
}
