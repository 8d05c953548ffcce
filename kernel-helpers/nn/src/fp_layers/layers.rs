//! The convolution and the linear layer.

use crate::ops;
use crate::quant::Quantization;
use base::Result;
use candle_core::{Device, Module, Tensor, Var};
use rand::Rng;
use rand::distr::Uniform;
use rand_distr::{Distribution, Normal};

/// A two-dimensional convolution without bias whose weight may be quantized; the course's `FP_Conv`.
/// Input `[N, in, H, W]`, output `[N, out, (H + 2 padding - K) / stride + 1, …]`.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let mut rng = ChaCha8Rng::seed_from_u64(0);
/// let conv = FpConv::new((3, 16), 3, 2, Ste::BINARY, &mut rng, &Device::Cpu)?;
/// let images = randn(0f32, 1.0, (8, 3, 32, 32), &mut rng, &Device::Cpu)?;
/// assert_eq!(conv.forward(&images)?.dims(), [8, 16, 16, 16]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FpConv {
    /// The float weight, `[out, in, K, K]`.
    pub weight: Var,
    /// How the weight is quantized.
    pub quantization: Quantization,
    /// Step between neighboring outputs, in pixels.
    pub stride: usize,
    /// Zeros around the input, in pixels.
    pub padding: usize,
}

/// A linear layer whose weight may be quantized; the course's `FP_Linear`. Input `[N, in]`, output `[N, out]`.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let mut rng = ChaCha8Rng::seed_from_u64(0);
/// let mut layer = FpLinear::new(64, 10, Ste::default(), &mut rng, &Device::Cpu)?;
/// layer.quantize_with(Lsq { n_bits: 4, per_channel: false })?;
/// let features = randn(0f32, 1.0, (8, 64), &mut rng, &Device::Cpu)?;
/// assert_eq!(layer.forward(&features)?.dims(), [8, 10]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FpLinear {
    /// The float weight, `[out, in]`.
    pub weight: Var,
    /// The bias, `[out]`, never quantized.
    pub bias: Var,
    /// How the weight is quantized.
    pub quantization: Quantization,
}

impl FpConv {
    /// A `kernel` x `kernel` convolution that keeps the size at stride 1 (padding `kernel / 2`). The weight is drawn
    /// from a normal distribution with standard deviation `sqrt(2 / (n + m))`, n and m the kernel's area times the
    /// output and input channels (Glorot and Bengio, 2010).
    ///
    /// # Errors
    /// If the tensor cannot be made on the device, or the quantizer's settings are not possible.
    pub fn new(
        channels: (usize, usize),
        kernel: usize,
        stride: usize,
        quantization: impl Into<Quantization>,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Result<Self> {
        let (input, output) = channels;
        let weight =
            glorot((output, input, kernel, kernel), kernel * kernel * (input + output), rng, device)?;
        let quantization = quantization.into().started_on(&weight)?;
        Ok(Self { weight, quantization, stride, padding: kernel / 2 })
    }

    /// The weight as the forward pass uses it, `[out, in, K, K]`.
    ///
    /// # Errors
    /// If the quantizer's settings are not possible.
    pub fn quantized_weight(&self) -> Result<Tensor> {
        self.quantization.apply(&self.weight)
    }

    /// Quantizes the weight with another quantizer from now on; its learned parameters start with the weight as it is.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let mut rng = ChaCha8Rng::seed_from_u64(0);
    /// let mut conv = FpConv::new((3, 16), 3, 1, Ste::default(), &mut rng, &Device::Cpu)?;
    /// conv.quantize_with(PerChannel(Ste { n_bits: Some(4), symmetric: true }))?;
    /// assert_eq!(conv.quantization.to_string(), "4 bits, symmetric per output channel");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If the quantizer's settings are not possible.
    pub fn quantize_with(&mut self, quantization: impl Into<Quantization>) -> Result<()> {
        self.quantization = quantization.into().started_on(&self.weight)?;
        Ok(())
    }
}

impl FpLinear {
    /// A linear layer with the weight drawn as in [`FpConv::new`] and the bias as in PyTorch's `nn.Linear`: uniform in
    /// ±1/sqrt(in).
    ///
    /// # Errors
    /// If the tensors cannot be made on the device, or the quantizer's settings are not possible.
    pub fn new(
        input: usize,
        output: usize,
        quantization: impl Into<Quantization>,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Result<Self> {
        let weight = glorot((output, input), input + output, rng, device)?;
        let bias = uniform(output, 1.0 / (input as f32).sqrt(), rng, device)?;
        let quantization = quantization.into().started_on(&weight)?;
        Ok(Self { weight, bias, quantization })
    }

    /// The weight as the forward pass uses it, `[out, in]`.
    ///
    /// # Errors
    /// If the quantizer's settings are not possible.
    pub fn quantized_weight(&self) -> Result<Tensor> {
        self.quantization.apply(&self.weight)
    }

    /// Quantizes the weight with another quantizer from now on; its learned parameters start with the weight as it is.
    ///
    /// # Errors
    /// If the quantizer's settings are not possible.
    pub fn quantize_with(&mut self, quantization: impl Into<Quantization>) -> Result<()> {
        self.quantization = quantization.into().started_on(&self.weight)?;
        Ok(())
    }
}

impl Module for FpConv {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        Ok(ops::conv2d(x, &self.quantized_weight()?, self.stride, self.padding)?)
    }
}

impl Module for FpLinear {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        Ok(ops::linear(x, &self.quantized_weight()?, &self.bias)?)
    }
}

/// A weight drawn from a normal distribution with standard deviation `sqrt(2 / fans)`.
pub(crate) fn glorot(
    shape: impl Into<candle_core::Shape>,
    fans: usize,
    rng: &mut impl Rng,
    device: &Device,
) -> Result<Var> {
    let shape = shape.into();
    let normal = Normal::new(0.0, (2.0 / fans as f32).sqrt()).expect("the deviation is finite");
    let values: Vec<f32> = (0..shape.elem_count()).map(|_| normal.sample(rng)).collect();
    Ok(Var::from_vec(values, shape, device)?)
}

/// A parameter drawn uniformly from ±`bound`.
pub(crate) fn uniform(
    shape: impl Into<candle_core::Shape>,
    bound: f32,
    rng: &mut impl Rng,
    device: &Device,
) -> Result<Var> {
    let shape = shape.into();
    let uniform = Uniform::new_inclusive(-bound, bound).expect("the bounds are finite and ordered");
    let values: Vec<f32> = (0..shape.elem_count()).map(|_| uniform.sample(rng)).collect();
    Ok(Var::from_vec(values, shape, device)?)
}
