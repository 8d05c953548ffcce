//! Some of a dataset's examples.

use super::Dataset;
use base::digest::sha256;
use base::{Error, Result};
use std::ops::Range;
use std::sync::Arc;

/// A range of the examples of a dataset, which it shares; PyTorch's `Subset`.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let data = Cifar10::striped(64, 32);
/// let second_half = Subset::new(&data.train, 32..64)?;
/// assert_eq!((second_half.len(), second_half.label(0)), (32, data.train.label(32)));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Subset {
    dataset: Arc<dyn Dataset>,
    range: Range<usize>,
}

impl Subset {
    /// The examples whose places are in the range.
    ///
    /// # Errors
    /// If the dataset has fewer examples.
    pub fn new(dataset: &Arc<dyn Dataset>, range: Range<usize>) -> Result<Self> {
        if range.start > range.end || range.end > dataset.len() {
            let expected = format!("a range within the {} examples", dataset.len());
            return Err(Error::argument("subset", expected, format!("{range:?}")));
        }
        Ok(Self { dataset: dataset.clone(), range })
    }
}

impl Dataset for Subset {
    fn len(&self) -> usize {
        self.range.len()
    }

    fn shape(&self) -> Vec<usize> {
        self.dataset.shape()
    }

    fn classes(&self) -> Vec<String> {
        self.dataset.classes()
    }

    fn label(&self, index: usize) -> usize {
        self.dataset.label(self.range.start + index)
    }

    fn write(&self, index: usize, values: &mut [f32]) {
        self.dataset.write(self.range.start + index, values);
    }

    fn write_picture(&self, index: usize, values: &mut [f32]) {
        self.dataset.write_picture(self.range.start + index, values);
    }

    fn blank(&self) -> Vec<f32> {
        self.dataset.blank()
    }

    fn preparation(&self) -> Option<String> {
        self.dataset.preparation()
    }

    /// Of the range and the whole dataset's sum, which is known already.
    fn sha256(&self) -> String {
        sha256(format!("{:?} of {}", self.range, self.dataset.sha256()).as_bytes())
    }

    /// Nothing beside the dataset.
    fn size_in_bytes(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cifar10, Dataset};
    use super::*;

    #[test]
    fn a_subset_has_the_examples_of_its_range() {
        let data = Cifar10::striped(8, 4);
        let subset = Subset::new(&data.train, 3..5).unwrap();
        let (mut here, mut there) = (vec![0.0; 3072], vec![0.0; 3072]);
        subset.write(1, &mut here);
        data.train.write(4, &mut there);
        assert_eq!(here, there);
        let other = Subset::new(&data.train, 3..6).unwrap();
        assert_ne!(subset.sha256(), other.sha256());
    }

    #[test]
    fn a_range_that_is_not_there_is_refused() {
        let data = Cifar10::striped(8, 4);
        let message = Subset::new(&data.train, 4..9).err().unwrap().to_string();
        assert_eq!(message, "subset: expected a range within the 8 examples, found 4..9");
    }
}
