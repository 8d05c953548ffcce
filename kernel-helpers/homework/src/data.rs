//! The images of the labs.

use crate::Scale;
use base::Result;
use base::paths::data_dir;
use nn::data::{Cifar10, Data};
use std::path::Path;

/// CIFAR-10 of the project's data folder, as many images as the scale asks for.
///
/// ```no_run
/// use kernel_helpers::homework::prelude::*;
///
/// let data = cifar10(Scale::Quick)?;
/// assert_eq!((data.train.len(), data.test.len()), (2_560, 1_000));
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If a file is missing or not in CIFAR-10's binary layout.
pub fn cifar10(scale: Scale) -> Result<Data> {
    cifar10_in(data_dir()?, scale)
}

/// [`cifar10`] of any folder with the six official files: from the start of each split, as many images as the scale
/// asks for.
///
/// ```no_run
/// use kernel_helpers::homework::prelude::*;
///
/// let data = cifar10_in("/datasets/cifar-10-batches-bin", Scale::Tiny)?;
/// assert_eq!(data.note(), Some("tiny scale: 256 training and 100 test images"));
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If a file is missing or not in CIFAR-10's binary layout.
pub fn cifar10_in(folder: impl AsRef<Path>, scale: Scale) -> Result<Data> {
    let (train, test) = (scale.train_images(), scale.test_images());
    let data = Cifar10::open_first(folder, train, test)?;
    Ok(match scale {
        Scale::Full => data,
        _ => data.noted(format!("{scale} scale: {train} training and {test} test images")),
    })
}
