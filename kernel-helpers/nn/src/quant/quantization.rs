//! What a layer holds of its quantizer.

use super::Quantizer;
use base::Result;
use candle_core::{Tensor, Var};
use std::fmt;
use std::sync::Arc;

/// How a layer's weight is quantized: a [`Quantizer`] and its learned parameters. The default is floating point.
///
/// Any quantizer can be turned into one with `into`. Its learned parameters, if it has any, begin with
/// [`Self::started_on`]; layers do that where they are made.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let weight = Tensor::new(&[-1f32, -0.4, 0.6, 2.0], &Device::Cpu)?;
/// let quantization = Quantization::from(Lsq { n_bits: 4, per_channel: false }).started_on(&weight)?;
/// assert_eq!(quantization.parameters()[0].0, "step");
/// assert_eq!(quantization.apply(&weight)?.dims(), [4]);
/// assert_eq!(Quantization::default().to_string(), "floating point");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Quantization {
    quantizer: Option<Arc<dyn Quantizer>>,
    parameters: Vec<(String, Var)>,
}

impl Quantization {
    /// The weight as the layer uses it.
    ///
    /// # Errors
    /// If the quantizer's settings are not possible, or a tensor operation fails.
    pub fn apply(&self, weight: &Tensor) -> Result<Tensor> {
        let Some(quantizer) = &self.quantizer else { return Ok(weight.clone()) };
        let parameters: Vec<Tensor> =
            self.parameters.iter().map(|(_, var)| var.as_tensor().clone()).collect();
        quantizer.quantize(weight, &parameters)
    }

    /// This quantizer with learned parameters of its own, at their start for a weight.
    ///
    /// # Errors
    /// If the quantizer's settings are not possible, or a tensor operation fails.
    pub fn started_on(&self, weight: &Tensor) -> Result<Self> {
        let var = |(name, tensor): (String, Tensor)| Ok((name, Var::from_tensor(&tensor)?));
        let parameters = self.start(weight)?.into_iter().map(var).collect::<Result<_>>()?;
        Ok(Self { quantizer: self.quantizer.clone(), parameters })
    }

    /// The same quantizer with other learned parameters.
    pub(crate) fn mapped(&self, parameter: impl Fn(&dyn Quantizer, &Var) -> Result<Var>) -> Result<Self> {
        let Some(quantizer) = &self.quantizer else { return Ok(Self::default()) };
        let mapped = |(name, var): &(String, Var)| Ok((name.clone(), parameter(&**quantizer, var)?));
        let parameters = self.parameters.iter().map(mapped).collect::<Result<_>>()?;
        Ok(Self { quantizer: Some(quantizer.clone()), parameters })
    }

    /// Where the learned parameters start for a weight.
    pub(crate) fn start(&self, weight: &Tensor) -> Result<Vec<(String, Tensor)>> {
        self.quantizer.as_ref().map_or(Ok(Vec::new()), |quantizer| quantizer.parameters(weight))
    }

    /// The learned parameters, each under the quantizer's name for it.
    pub fn parameters(&self) -> &[(String, Var)] {
        &self.parameters
    }

    /// The quantizer; `None` for floating point.
    pub fn quantizer(&self) -> Option<&dyn Quantizer> {
        self.quantizer.as_deref()
    }
}

impl<Q: Quantizer + 'static> From<Q> for Quantization {
    fn from(quantizer: Q) -> Self {
        Self::from(Arc::new(quantizer) as Arc<dyn Quantizer>)
    }
}

impl From<Arc<dyn Quantizer>> for Quantization {
    fn from(quantizer: Arc<dyn Quantizer>) -> Self {
        Self { quantizer: Some(quantizer).filter(|quantizer| !quantizer.is_float()), parameters: Vec::new() }
    }
}

impl From<Option<Arc<dyn Quantizer>>> for Quantization {
    fn from(quantizer: Option<Arc<dyn Quantizer>>) -> Self {
        quantizer.map_or_else(Self::default, Self::from)
    }
}

impl fmt::Display for Quantization {
    /// The quantizer's description, or `floating point`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.quantizer {
            Some(quantizer) => f.write_str(&quantizer.description()),
            None => f.write_str("floating point"),
        }
    }
}

impl fmt::Debug for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quantization({self})")
    }
}
