//! What a plot of images takes them from.

use base::{Error, Result};
use candle_core::{IndexOp, Tensor};
use std::sync::Arc;

/// What holds images to be plotted: a tensor `[N, C, H, W]`, or a dataset.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let images = Tensor::zeros((5, 3, 8, 8), DType::F32, &Device::Cpu)?;
/// assert_eq!(images.count()?, 5);
/// assert_eq!(images.select(&[4, 0])?.dims(), [2, 3, 8, 8]);
/// assert_eq!(Cifar10::striped(3, 3).train.title(1).as_deref(), Some("automobile"));
/// # Ok::<(), Error>(())
/// ```
pub trait ImageSource {
    /// How many there are.
    ///
    /// # Errors
    /// If these are no images.
    fn count(&self) -> Result<usize>;

    /// Those at `indices`, all below [`count`](ImageSource::count), as a tensor `[N, C, H, W]`.
    ///
    /// # Errors
    /// If they cannot be read.
    fn select(&self, indices: &[usize]) -> Result<Tensor>;

    /// A title for one of them, such as its class. By default there is none.
    fn title(&self, _index: usize) -> Option<String> {
        None
    }
}

impl ImageSource for Tensor {
    fn count(&self) -> Result<usize> {
        match self.dims() {
            &[count, 1 | 3, height, width] if height > 0 && width > 0 => Ok(count),
            dims => {
                let expected = "a shape [N, C, H, W] with C of 1 (gray) or 3 (red, green, blue)";
                Err(Error::argument("the images", expected, format!("{dims:?}")))
            }
        }
    }

    fn select(&self, indices: &[usize]) -> Result<Tensor> {
        let images: candle_core::Result<Vec<_>> = indices.iter().map(|&index| self.i(index)).collect();
        Ok(Tensor::stack(&images?, 0)?)
    }
}

impl<T: ImageSource + ?Sized> ImageSource for Arc<T> {
    fn count(&self) -> Result<usize> {
        (**self).count()
    }

    fn select(&self, indices: &[usize]) -> Result<Tensor> {
        (**self).select(indices)
    }

    fn title(&self, index: usize) -> Option<String> {
        (**self).title(index)
    }
}
