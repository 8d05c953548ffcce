//! Tensors of one's own as a dataset.

use super::Dataset;
use base::{Error, Result};
use candle_core::{DType, Tensor};
use std::sync::Arc;

/// Inputs and labels from tensors; PyTorch's `TensorDataset`.
///
/// ```
/// use kernel_helpers::data::{Data, Dataset, TensorDataset};
/// use kernel_helpers::prelude::{Device, Tensor};
///
/// let inputs = Tensor::new(&[[0.0f32, 1.0], [1.0, 0.0], [1.0, 1.0]], &Device::Cpu)?;
/// let labels = Tensor::new(&[1u32, 1, 0], &Device::Cpu)?;
/// let xor = TensorDataset::new(&inputs, &labels)?;
/// assert_eq!((xor.len(), xor.shape(), xor.label(2)), (3, vec![2], 0));
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
#[derive(Clone)]
pub struct TensorDataset {
    values: Arc<[f32]>,
    labels: Arc<[u32]>,
    shape: Vec<usize>,
    classes: Arc<[String]>,
}

impl TensorDataset {
    /// From inputs `[N, …]` of any float or integer type and labels `[N]` of an integer type, from 0. The classes are
    /// called by their numbers. The values are copied.
    ///
    /// # Errors
    /// If the shapes do not belong together, a label is negative, or there are more than a million classes.
    pub fn new(inputs: &Tensor, labels: &Tensor) -> Result<Self> {
        let (count, shape) = match inputs.dims() {
            [count, shape @ ..] if labels.dims() == [*count] => (*count, shape.to_vec()),
            found => {
                let found = format!("{found:?} and {:?}", labels.dims());
                return Err(Error::argument("inputs and labels", "shapes [N, …] and [N]", found));
            }
        };
        let labels: Vec<i64> = labels.to_dtype(DType::I64)?.to_vec1()?;
        if let Some(index) = labels.iter().position(|label| !(0..1_000_000).contains(label)) {
            let found = format!("{} of example {index}", labels[index]);
            return Err(Error::argument("labels", "classes from 0, fewer than a million", found));
        }
        let labels: Arc<[u32]> = labels.into_iter().map(|label| label as u32).collect();
        let classes = labels.iter().max().map_or(0, |largest| largest + 1);
        let values: Vec<f32> = inputs.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        debug_assert_eq!(values.len(), count * shape.iter().product::<usize>());
        let classes = (0..classes).map(|class| class.to_string()).collect();
        Ok(Self { values: values.into(), labels, shape, classes })
    }

    /// The same with names for the classes, which can be more than there are in these labels.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let tensor = |values: &[u32]| Tensor::new(values, &Device::Cpu);
    /// let points = TensorDataset::new(&tensor(&[1, 2, 3])?, &tensor(&[0, 1, 0])?)?;
    /// assert_eq!(points.with_classes(["odd", "even"])?.classes(), ["odd", "even"]);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If there are fewer names than classes.
    pub fn with_classes(self, classes: impl IntoIterator<Item = impl Into<String>>) -> Result<Self> {
        let classes: Arc<[String]> = classes.into_iter().map(Into::into).collect();
        if classes.len() < self.classes.len() {
            let expected = format!("at least {} names", self.classes.len());
            return Err(Error::argument("classes", expected, classes.len()));
        }
        Ok(Self { classes, ..self })
    }
}

impl Dataset for TensorDataset {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn classes(&self) -> Vec<String> {
        self.classes.to_vec()
    }

    fn label(&self, index: usize) -> usize {
        self.labels[index] as usize
    }

    fn write(&self, index: usize, values: &mut [f32]) {
        let size = values.len();
        values.copy_from_slice(&self.values[index * size..(index + 1) * size]);
    }

    fn size_in_bytes(&self) -> usize {
        4 * (self.values.len() + self.labels.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn shapes_and_labels_are_checked() {
        let tensor = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let labels = |values: &[i64]| Tensor::new(values, &Device::Cpu).unwrap();
        let message =
            |inputs: &Tensor, labels: &Tensor| TensorDataset::new(inputs, labels).err().unwrap().to_string();
        assert!(message(&tensor(&[3, 4]), &labels(&[0, 1])).contains("[3, 4] and [2]"));
        assert!(message(&tensor(&[2, 4]), &labels(&[0, -1])).contains("-1 of example 1"));
        let dataset = TensorDataset::new(&tensor(&[2, 4]), &labels(&[0, 2])).unwrap();
        assert_eq!(dataset.classes(), ["0", "1", "2"]);
        assert!(dataset.clone().with_classes(["a", "b"]).is_err());
        assert_eq!(dataset.with_classes(["a", "b", "c", "d"]).unwrap().classes().len(), 4);
    }
}
