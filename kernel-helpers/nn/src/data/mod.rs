//! Labelled examples to train and test on: CIFAR-10 and -100, MNIST's format, tensors and types of one's own.
//!
//! A [`Dataset`] says how many examples there are and writes one; [`Images`] and [`TensorDataset`] are the built-in
//! ones. [`Data`] is one to train on and one to test on, with the [`Augmentation`]s of the training. A [`DataLoader`]
//! cuts a dataset into batches.

mod augmentation;
mod cifar;
mod images;
mod loader;
mod mnist;
mod subset;
mod tensors;

pub use augmentation::{Augmentation, Example, RandomCrop, RandomErasing, RandomHorizontalFlip};
pub use cifar::{
    CIFAR10_CLASSES, Cifar10, Cifar100, GENERATED_MARKER, RECORD_BYTES, RECORDS_PER_FILE, SIDE, TEST_FILE,
    TRAIN_FILES,
};
pub use images::Images;
pub use loader::{Batch, Batches, DataLoader};
pub use mnist::Mnist;
pub use subset::Subset;
pub use tensors::TensorDataset;

use base::{Error, Result};
use candle_core::{Device, Tensor};
use display::{ImageSource, Measurable, MimeBundle, Show, shows_itself};
use std::fmt;
use std::sync::Arc;

/// Labelled examples of one shape; PyTorch's map-style `Dataset`. Implement the first five methods for data of your
/// own, and they can be trained and tested on, and runs on them are recorded.
///
/// ```
/// use kernel_helpers::data::{Data, Dataset};
///
/// /// Is the point inside of the circle?
/// struct Circle(Vec<[f32; 2]>);
///
/// impl Dataset for Circle {
///     fn len(&self) -> usize {
///         self.0.len()
///     }
///     fn shape(&self) -> Vec<usize> {
///         vec![2]
///     }
///     fn classes(&self) -> Vec<String> {
///         vec!["outside".into(), "inside".into()]
///     }
///     fn label(&self, index: usize) -> usize {
///         let [x, y] = self.0[index];
///         usize::from(x * x + y * y < 1.0)
///     }
///     fn write(&self, index: usize, values: &mut [f32]) {
///         values.copy_from_slice(&self.0[index]);
///     }
/// }
///
/// let data = Data::new(Circle(vec![[0.1, 0.2], [2.0, 1.0]]), Circle(vec![[0.5, 0.5]]))?;
/// assert_eq!(data.to_string(), "train [2, 2], test [1, 2]");
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
pub trait Dataset: Send + Sync + 'static {
    /// How many examples there are.
    fn len(&self) -> usize;

    /// The shape of an example, such as `[3, 32, 32]` of a color image.
    fn shape(&self) -> Vec<usize>;

    /// The names of the classes; a label is a place in this list.
    fn classes(&self) -> Vec<String>;

    /// The class of an example, from 0.
    fn label(&self, index: usize) -> usize;

    /// Writes the values of an example as a network takes them, row by row. `values` is as long as [`Self::shape`] asks
    /// for.
    fn write(&self, index: usize, values: &mut [f32]);

    /// Writes an example as a picture shows it, with values from 0 to 1: before normalization, say. If not told
    /// otherwise, as [`Self::write`].
    fn write_picture(&self, index: usize, values: &mut [f32]) {
        self.write(index, values);
    }

    /// What an empty place has for a value in each of the channels, the first dimension of [`Self::shape`]:
    /// augmentations fill with it. 0 if not told otherwise.
    fn blank(&self) -> Vec<f32> {
        vec![0.0; self.shape().first().copied().unwrap_or(1)]
    }

    /// What was done to the values that have the sum [`Self::sha256`], such as normalization, in words.
    fn preparation(&self) -> Option<String> {
        None
    }

    /// A SHA-256 sum that tells these examples from all others. It is a part of a run's identity. If not told
    /// otherwise, that of all labels and values; each call computes it.
    fn sha256(&self) -> String {
        images::sha256_of_examples(self)
    }

    /// Whether there is no example.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how many bytes the examples take in memory.
    fn size_in_bytes(&self) -> usize {
        self.len() * (self.shape().iter().product::<usize>() * size_of::<f32>() + 1)
    }
}

/// Examples to train on and examples to test on, and what has to be said of every number computed on them.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu)?.reshape(((), 2));
/// let label = |values: &[u32]| Tensor::new(values, &Device::Cpu);
/// let train = TensorDataset::new(&tensor(&[0.0, 0.0, 0.0, 1.0, 1.0, 1.0])?, &label(&[0, 1, 0])?)?;
/// let test = TensorDataset::new(&tensor(&[1.0, 0.0])?, &label(&[1])?)?;
/// let xor = Data::new(train, test)?.noted("four examples in all");
/// assert_eq!(xor.to_string(), "train [3, 2], test [1, 2] (four examples in all)");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Data {
    /// The examples to train on.
    pub train: Arc<dyn Dataset>,
    /// The examples by which the best epoch is chosen; without them it is chosen on the test examples.
    pub validation: Option<Arc<dyn Dataset>>,
    /// The examples to test on.
    pub test: Arc<dyn Dataset>,
    /// What is done at random to an example whenever it is trained on, one after the other.
    pub augmentations: Vec<Arc<dyn Augmentation>>,
    note: Option<String>,
}

impl Data {
    /// Data without augmentation.
    ///
    /// # Errors
    /// If both do not have the same shape and classes, or a label is not one of the classes.
    pub fn new(train: impl Dataset, test: impl Dataset) -> Result<Self> {
        for (what, here, there) in [
            ("the shape of the test examples", format!("{:?}", train.shape()), format!("{:?}", test.shape())),
            ("the classes of the test examples", train.classes().join(", "), test.classes().join(", ")),
        ] {
            if here != there {
                let expected = format!("those of the examples to train on, {here}");
                return Err(Error::argument(what, expected, there));
            }
        }
        let (train, test): (Arc<dyn Dataset>, Arc<dyn Dataset>) = (Arc::new(train), Arc::new(test));
        let classes = train.classes().len();
        for dataset in [&train, &test] {
            if let Some(index) = (0..dataset.len()).find(|&index| dataset.label(index) >= classes) {
                let found = format!("{} of example {index}", dataset.label(index));
                return Err(Error::argument("a label", format!("less than the {classes} classes"), found));
            }
        }
        Ok(Self { train, validation: None, test, augmentations: Vec::new(), note: None })
    }

    /// The same with another augmentation behind those that are there.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let data = Cifar10::striped(64, 32); // has the crop and the flip already
    /// assert_eq!(data.augmented(RandomErasing { side: 8 })?.augmentations.len(), 3);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If the augmentation is not for examples of this shape.
    pub fn augmented(mut self, augmentation: impl Augmentation) -> Result<Self> {
        augmentation.check(&self.train.shape())?;
        self.augmentations.push(Arc::new(augmentation));
        Ok(self)
    }

    /// The same with something to say of every number computed on it, behind what there is to say already.
    pub fn noted(mut self, note: impl fmt::Display) -> Self {
        let notes = self.note.take().into_iter().chain([note.to_string()]);
        self.note = Some(notes.collect::<Vec<_>>().join("; "));
        self
    }

    /// What every figure and number computed on these examples has to say of itself: that they are a subset, or a
    /// generated stand-in. `None` if there is nothing to say.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The first examples of each, for a short try.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let few = Cifar10::striped(64, 32).first(10, 5)?;
    /// assert_eq!((few.train.len(), few.test.len(), few.augmentations.len()), (10, 5, 2));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If there are fewer.
    pub fn first(&self, train: usize, test: usize) -> Result<Self> {
        Ok(Self {
            train: Arc::new(Subset::new(&self.train, 0..train)?),
            test: Arc::new(Subset::new(&self.test, 0..test)?),
            ..self.clone()
        })
    }

    /// The same with a validation split: the last `count` training examples are not trained on, and the best epoch is
    /// chosen on them.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let data = Cifar10::striped(64, 32).hold_out(10)?;
    /// assert_eq!(data.to_string(), "train [54, 3, 32, 32], validation [10, 3, 32, 32], test [32, 3, 32, 32]");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If there are fewer training examples.
    pub fn hold_out(&self, count: usize) -> Result<Self> {
        let all = self.train.len();
        let first = all.saturating_sub(count);
        Ok(Self {
            train: Arc::new(Subset::new(&self.train, 0..first)?),
            validation: Some(Arc::new(Subset::new(&self.train, first..first + count)?)),
            ..self.clone()
        })
    }

    /// The training examples in batches, shuffled and augmented anew in each epoch.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let loader = Cifar10::striped(64, 32).train_loader(20, 0)?;
    /// let sizes: Vec<usize> = loader.epoch(0).map(|batch| batch.unwrap().labels.elem_count()).collect();
    /// assert_eq!(sizes, [20, 20, 20, 4]);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If the batch size is 0.
    pub fn train_loader(&self, batch_size: usize, seed: u64) -> Result<DataLoader> {
        Ok(DataLoader::new(&self.train, batch_size)?.shuffled(seed).augmented(&self.augmentations))
    }
}

fn describe(dataset: &dyn Dataset) -> String {
    let dimensions: Vec<String> =
        [dataset.len()].into_iter().chain(dataset.shape()).map(|size| size.to_string()).collect();
    format!("[{}]", dimensions.join(", "))
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "train {}, ", describe(&*self.train))?;
        if let Some(validation) = &self.validation {
            write!(f, "validation {}, ", describe(&**validation))?;
        }
        write!(f, "test {}", describe(&*self.test))?;
        self.note.iter().try_for_each(|note| write!(f, " ({note})"))
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Data({self})")
    }
}

impl fmt::Display for dyn Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&describe(self))
    }
}

impl fmt::Debug for dyn Dataset {
    /// Of the values, how many there are: all of them would be hundreds of megabytes of text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dataset({self})")
    }
}

impl Show for Data {
    fn forms(&self) -> MimeBundle {
        MimeBundle::plain(self)
    }
}

impl Show for dyn Dataset {
    fn forms(&self) -> MimeBundle {
        MimeBundle::plain(self)
    }
}

shows_itself!(Data);

impl ImageSource for dyn Dataset {
    fn count(&self) -> Result<usize> {
        match *self.shape() {
            [1 | 3, height, width] if height > 0 && width > 0 => Ok(self.len()),
            _ => {
                let expected = "examples of a shape [C, H, W] with C of 1 (gray) or 3 (red, green, blue)";
                Err(Error::argument("the images", expected, format!("{:?}", self.shape())))
            }
        }
    }

    fn select(&self, indices: &[usize]) -> Result<Tensor> {
        let shape = self.shape();
        let size: usize = shape.iter().product();
        let mut values = vec![0.0; indices.len() * size];
        for (&index, values) in indices.iter().zip(values.chunks_exact_mut(size)) {
            self.write_picture(index, values);
        }
        let shape: Vec<usize> = [indices.len()].into_iter().chain(shape).collect();
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }

    fn title(&self, index: usize) -> Option<String> {
        self.classes().get(self.label(index)).cloned()
    }
}

impl Measurable for dyn Dataset {
    fn extent(&self) -> Option<String> {
        Some(self.to_string())
    }

    fn beyond(&self) -> usize {
        self.size_in_bytes()
    }
}

impl Measurable for Data {
    fn extent(&self) -> Option<String> {
        Some(format!("{}, {}", self.train, self.test))
    }

    fn beyond(&self) -> usize {
        self.train.beyond() + self.test.beyond()
    }
}
