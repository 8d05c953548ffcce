//! What a network is to those who only ask it.

use crate::Network;
use base::Result;
use candle_core::{Device, Tensor};
use std::time::Instant;

/// A network in whatever form it is used: in training, prepared, or in integers. All that can be trained is one.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// /// Takes every image for one of class 3.
/// struct Always3;
///
/// impl Predictor for Always3 {
///     fn logits(&self, images: &Tensor) -> Result<Tensor> {
///         let classes = Tensor::arange(0u32, 10, images.device())?.eq(3u32)?.to_dtype(DType::F32)?;
///         Ok(classes.broadcast_as((images.dim(0)?, 10))?.contiguous()?)
///     }
/// }
///
/// assert_eq!(test(&Always3, &Cifar10::striped(64, 30))?.accuracy, 0.1);
/// # Ok::<(), Error>(())
/// ```
pub trait Predictor {
    /// The logits `[N, K]` of images `[N, C, H, W]`, in evaluation mode.
    ///
    /// # Errors
    /// If the images do not fit the network, or a tensor operation fails.
    fn logits(&self, images: &Tensor) -> Result<Tensor>;

    /// The seconds that [`Self::logits`] takes for these images; of what computes elsewhere, without the way there.
    ///
    /// # Errors
    /// As [`Self::logits`].
    fn seconds(&self, images: &Tensor) -> Result<f64> {
        let start = Instant::now();
        self.logits(images)?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// Where the images should be.
    fn input_device(&self) -> &Device {
        &Device::Cpu
    }

    /// The multiplications by weights that are not zero, for one image, if the network knows them.
    fn multiplications(&self) -> Option<usize> {
        None
    }
}

impl<N: Network + ?Sized> Predictor for N {
    fn logits(&self, images: &Tensor) -> Result<Tensor> {
        Ok(self.forward_t(images, false)?.detach())
    }

    fn input_device(&self) -> &Device {
        self.device()
    }

    fn multiplications(&self) -> Option<usize> {
        self.nonzero_multiplications()
    }
}
