//! How tensors are shown.

use crate::{MimeBundle, Show};
use candle_core::{Tensor, Var};

impl Show for Tensor {
    /// The values as candle prints them, cut where there are many, and under them shape, type and device.
    fn forms(&self) -> MimeBundle {
        MimeBundle::plain(self)
    }
}

impl Show for Var {
    /// As [`Tensor`].
    fn forms(&self) -> MimeBundle {
        MimeBundle::plain(self)
    }
}

/// The bytes that a tensor's values take.
///
/// ```
/// use kernel_helpers::display::size;
/// use kernel_helpers::prelude::*;
///
/// let weight = Tensor::zeros((16, 3, 3, 3), DType::F32, &Device::Cpu)?;
/// assert_eq!(size(&weight), 16 * 3 * 3 * 3 * 4);
/// # Ok::<(), Error>(())
/// ```
pub fn size(tensor: &Tensor) -> usize {
    tensor.elem_count() * tensor.dtype().size_in_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    fn plain(value: &impl Show) -> String {
        value.forms().get("text/plain").unwrap().to_owned()
    }

    #[test]
    fn a_tensor_is_its_values_cut_with_shape_and_type() {
        let device = Device::Cpu;
        assert_eq!(
            plain(&Tensor::new(&[[1f32, 2.0], [3.0, 4.5]], &device).unwrap()),
            "[[1.0000, 2.0000],\n [3.0000, 4.5000]]\nTensor[[2, 2], f32]"
        );
        let long = plain(&Var::zeros((1000, 1000), DType::F64, &device).unwrap());
        assert!(long.contains("...") && long.ends_with("Tensor[[1000, 1000], f64]"), "{long}");
        assert!(long.len() < 1000);
        let empty = plain(&Tensor::zeros((0, 3), DType::F32, &device).unwrap());
        assert!(empty.ends_with("Tensor[[0, 3], f32]"), "{empty}");
    }
}
