//! Activation, residual sum, pooling and the linear layer.

use super::cpu::{Values, is_cpu_f32, values};
use super::statistics::sum;
use base::{Error, Result};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};
use rayon::prelude::*;

/// The nearest integers, halves to the even one; `torch.round`. Candle's own takes halves away from zero.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let halves = Tensor::new(&[0.5f32, 1.5, -2.5, 2.6], &Device::Cpu)?;
/// assert_eq!(ops::round(&halves)?.to_vec1::<f32>()?, [0.0, 2.0, -2.0, 3.0]);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If the tensor's type has no halves.
pub fn round(x: &Tensor) -> Result<Tensor> {
    let is_half = (x - x.floor()?)?.eq(0.5)?;
    let even = ((x / 2.0)?.round()? * 2.0)?;
    Ok(is_half.where_cond(&even, &x.round()?)?)
}

/// Values that one task works on.
const CHUNK: usize = 1 << 14;

/// `max(x, 0)`; PyTorch's `F.relu`. The gradient at exactly 0 is 0, as there (candle's own `relu` passes it on).
///
/// f32 on the CPU runs in our kernels, the rest in candle's operators.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let x = Tensor::new(&[-1f32, 0.0, 2.0], &Device::Cpu)?;
/// assert_eq!(ops::relu(&x)?.to_vec1::<f32>()?, [0.0, 0.0, 2.0]);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If the tensor operation fails.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    if is_cpu_f32(&[x]) {
        return Ok(x.contiguous()?.apply_op1(Relu)?);
    }
    Ok(x.le(0.0)?.where_cond(&x.zeros_like()?, x)?)
}

/// `max(x + skip, 0)`, the end of a residual block. Both `[N, C, H, W]`. The gradient at exactly 0 is 0.
///
/// f32 on the CPU runs in our kernels, the rest in candle's operators.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let x = Tensor::new(&[[[[-1f32, 2.0]]]], &Device::Cpu)?;
/// let skip = Tensor::new(&[[[[-1f32, 1.0]]]], &Device::Cpu)?;
/// assert_eq!(ops::add_relu(&x, &skip)?.flatten_all()?.to_vec1::<f32>()?, [0.0, 3.0]);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If the shapes differ.
pub fn add_relu(x: &Tensor, skip: &Tensor) -> Result<Tensor> {
    if is_cpu_f32(&[x, skip]) {
        return Ok(x.contiguous()?.apply_op2(&skip.contiguous()?, AddRelu)?);
    }
    relu(&(x + skip)?)
}

/// The mean over height and width: `[N, C, H, W]` to `[N, C]`; PyTorch's `F.adaptive_avg_pool2d(x, 1)`, flattened.
///
/// f32 on the CPU runs in our kernels, the rest in candle's operators.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let x = Tensor::new(&[[[[1f32, 3.0]], [[5.0, 7.0]]]], &Device::Cpu)?; // two channels of 1 x 2 pixels
/// assert_eq!(ops::global_average_pool(&x)?.to_vec2::<f32>()?, [[2.0, 6.0]]);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If `x` is not of rank 4.
pub fn global_average_pool(x: &Tensor) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    if is_cpu_f32(&[x]) && height * width > 0 {
        return Ok(x.contiguous()?.apply_op1(GlobalAveragePool)?);
    }
    Ok(x.mean((2, 3))?)
}

/// `x weightᵀ + bias`: `x [N, I]`, `weight [O, I]`, `bias [O]`, the result `[N, O]`; PyTorch's `F.linear`, on candle's
/// matrix product.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let x = Tensor::new(&[[1f32, 2.0]], &Device::Cpu)?;
/// let weight = Tensor::new(&[[1f32, 0.0], [0.0, 1.0], [1.0, 1.0]], &Device::Cpu)?;
/// let bias = Tensor::new(&[0f32, 0.0, 10.0], &Device::Cpu)?;
/// assert_eq!(ops::linear(&x, &weight, &bias)?.to_vec2::<f32>()?, [[1.0, 2.0, 13.0]]);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If the shapes do not fit together.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    Ok(x.matmul(&weight.t()?)?.broadcast_add(bias)?)
}

/// `y_gradient` where `y > 0`: the gradient of both activations by their sum.
fn gate(y: &Tensor, y_gradient: &Tensor) -> candle_core::Result<Tensor> {
    let y_gradient = y_gradient.contiguous()?;
    let mut gradient = vec![0.0; y.elem_count()];
    gradient
        .par_chunks_mut(CHUNK)
        .zip(Values::of(y)?.par_chunks(CHUNK))
        .zip(Values::of(&y_gradient)?.par_chunks(CHUNK))
        .for_each(|((gradient, y), dy)| {
            for ((gradient, y), dy) in gradient.iter_mut().zip(y).zip(dy) {
                *gradient = if *y > 0.0 { *dy } else { 0.0 };
            }
        });
    Tensor::from_vec(gradient, y.dims(), y.device())
}

/// `max(x, 0)`; not-a-number stays.
fn positive(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

struct Relu;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = values(x, layout)?;
        let mut y = vec![0.0; x.len()];
        y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| {
            for (y, x) in y.iter_mut().zip(x) {
                *y = positive(*x);
            }
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, y_gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        gate(y, y_gradient).map(Some)
    }
}

struct AddRelu;

impl CustomOp2 for AddRelu {
    fn name(&self) -> &'static str {
        "add-relu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        skip: &CpuStorage,
        skip_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        if x_layout.shape() != skip_layout.shape() {
            let (expected, found) = (format!("{:?}", x_layout.dims()), format!("{:?}", skip_layout.dims()));
            return Err(Error::argument("skip", expected, found).into());
        }
        let (x, skip) = (values(x, x_layout)?, values(skip, skip_layout)?);
        let mut y = vec![0.0; x.len()];
        y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).zip(skip.par_chunks(CHUNK)).for_each(
            |((y, x), skip)| {
                for ((y, x), skip) in y.iter_mut().zip(x).zip(skip) {
                    *y = positive(x + skip);
                }
            },
        );
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        _x: &Tensor,
        _skip: &Tensor,
        y: &Tensor,
        y_gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gate(y, y_gradient)?;
        Ok((Some(gradient.clone()), Some(gradient)))
    }
}

struct GlobalAveragePool;

impl CustomOp1 for GlobalAveragePool {
    fn name(&self) -> &'static str {
        "global-average-pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (batch, channels, height, width) = layout.shape().dims4()?;
        let plane = height * width;
        if plane == 0 {
            candle_core::bail!("an image of {height} x {width} has no mean")
        }
        let y = values(x, layout)?.par_chunks(plane).map(|x| sum(x, |&x| x) / plane as f32).collect();
        Ok((CpuStorage::F32(y), Shape::from((batch, channels))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, y_gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let (batch, channels, height, width) = x.dims4()?;
        let plane = height * width;
        let gradient = (y_gradient / plane as f64)?.reshape((batch, channels, 1, 1))?;
        gradient.broadcast_as(x.shape())?.contiguous().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::*;

    #[test]
    fn activations_and_pooling_agree_with_candle_in_f64() {
        for shape in [[1, 1, 1, 1], [2, 3, 5, 7], [3, 16, 40, 40]] {
            let (x, skip) = (random(&shape, 1), random(&shape, 2));
            assert_same_gradients(std::slice::from_ref(&x), |t| relu(&t[0]), |t| Ok(t[0].relu()?));
            assert_same_gradients(
                &[x.clone(), skip],
                |t| add_relu(&t[0], &t[1]),
                |t| Ok((&t[0] + &t[1])?.relu()?),
            );
            assert_same_gradients(&[x], |t| global_average_pool(&t[0]), |t| Ok(t[0].mean((2, 3))?));
        }
    }

    #[test]
    fn relu_has_no_gradient_at_zero_and_keeps_not_a_number() {
        for dtype in [candle_core::DType::F32, candle_core::DType::F64] {
            let x = Tensor::new(&[-1.0f64, 0.0, 2.0, f64::NAN], &candle_core::Device::Cpu).unwrap();
            let x = candle_core::Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap();
            let y = relu(&x).unwrap();
            let gradient = y.sum_all().unwrap().backward().unwrap().get(&x).unwrap().clone();
            let to_f64 = |t: &Tensor| t.to_dtype(candle_core::DType::F64).unwrap().to_vec1::<f64>().unwrap();
            assert_eq!(to_f64(&gradient)[..3], [0.0, 0.0, 1.0]);
            assert_eq!(to_f64(&y)[..3], [0.0, 0.0, 2.0]);
            assert!(to_f64(&y)[3].is_nan());
        }
    }

    #[test]
    fn the_operations_themselves_refuse_what_does_not_fit() {
        let x = random(&[2, 3, 4, 5], 1);
        let turned = x.transpose(2, 3).unwrap();
        let doubles = x.to_dtype(candle_core::DType::F64).unwrap();
        for x in [&turned, &doubles] {
            x.apply_op1(Relu).unwrap_err();
            x.apply_op1(GlobalAveragePool).unwrap_err();
            x.apply_op2(x, AddRelu).unwrap_err();
        }
        x.apply_op2(&random(&[2, 3, 4, 4], 2), AddRelu).unwrap_err();
        x.flatten_from(2).unwrap().apply_op1(GlobalAveragePool).unwrap_err();
        random(&[2, 3, 0, 4], 1).apply_op1(GlobalAveragePool).unwrap_err();
        let error = add_relu(&x, &random(&[3, 2, 4, 5], 2)).unwrap_err().to_string();
        assert_eq!(error, "skip: expected [2, 3, 4, 5], found [3, 2, 4, 5]");
    }
}
