//! Batches of examples, shuffled and augmented.

use super::{Augmentation, Dataset, Example};
use base::{Error, Result};
use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::sync::Arc;

/// Examples and their classes.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let data = Cifar10::striped(64, 32);
/// let Batch { images, labels } = data.train_loader(16, 0)?.epoch(0).next().unwrap()?;
/// assert_eq!((images.dims(), labels.dims()), (&[16, 3, 32, 32][..], &[16][..]));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Batch {
    /// The examples, `[N, …]` with the dataset's shape behind N, f32; images are `[N, C, H, W]`.
    pub images: Tensor,
    /// Classes, `[N]`, u32.
    pub labels: Tensor,
}

/// Cuts a dataset into batches; PyTorch's `DataLoader`. The last batch of an epoch may be smaller.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let data = Cifar10::striped(64, 32);
/// let loader = DataLoader::new(&data.test, 10)?.shuffled(7);
/// assert_eq!(loader.batches_per_epoch(), 4);
/// let labels = |epoch| loader.epoch(epoch).next().unwrap()?.labels.to_vec1::<u32>().map_err(Error::from);
/// assert_eq!(labels(1)?, labels(1)?);
/// assert_ne!(labels(1)?, labels(2)?);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct DataLoader {
    dataset: Arc<dyn Dataset>,
    batch_size: usize,
    device: Device,
    /// The seed of shuffling and augmentation; `None` leaves order and examples as they are.
    seed: Option<u64>,
    augmentations: Vec<Arc<dyn Augmentation>>,
}

impl DataLoader {
    /// All examples in their order, unaugmented, on the CPU.
    ///
    /// # Errors
    /// If the batch size is 0.
    pub fn new(dataset: &Arc<dyn Dataset>, batch_size: usize) -> Result<Self> {
        if batch_size == 0 {
            return Err(Error::argument("batch_size", "at least 1", 0));
        }
        let (dataset, augmentations) = (dataset.clone(), Vec::new());
        Ok(Self { dataset, batch_size, device: Device::Cpu, seed: None, augmentations })
    }

    /// Shuffles. What an epoch sees depends on the seed and the epoch's number alone, so a run can be continued at any
    /// epoch.
    pub fn shuffled(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Changes each example at random whenever it is used, if the loader shuffles.
    pub fn augmented(mut self, augmentations: &[Arc<dyn Augmentation>]) -> Self {
        self.augmentations = augmentations.to_vec();
        self
    }

    /// Makes the batches on this device.
    pub fn on(mut self, device: &Device) -> Self {
        self.device = device.clone();
        self
    }

    /// How many batches an epoch has.
    pub fn batches_per_epoch(&self) -> usize {
        self.dataset.len().div_ceil(self.batch_size)
    }

    /// The batches of one epoch.
    pub fn epoch(&self, epoch: usize) -> Batches {
        let mut order: Vec<u32> = (0..self.dataset.len() as u32).collect();
        let rng = self.seed.map(|seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(epoch as u64);
            order.shuffle(&mut rng);
            rng
        });
        let (shape, blank) = (self.dataset.shape(), self.dataset.blank());
        Batches { loader: self.clone(), shape, blank, order, rng, next: 0 }
    }
}

/// The batches of one epoch, as an iterator.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let data = Cifar10::striped(64, 40);
/// let mut seen = 0;
/// for batch in data.train_loader(30, 0)?.epoch(0) {
///     seen += batch?.labels.elem_count();
/// }
/// assert_eq!(seen, 64);
/// # Ok::<(), Error>(())
/// ```
pub struct Batches {
    loader: DataLoader,
    shape: Vec<usize>,
    blank: Vec<f32>,
    order: Vec<u32>,
    rng: Option<ChaCha8Rng>,
    next: usize,
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = (self.next + self.loader.batch_size).min(self.order.len());
        let indices = self.order[self.next..end].to_vec();
        self.next = end;
        (!indices.is_empty()).then(|| self.batch(&indices))
    }
}

impl Batches {
    fn batch(&mut self, indices: &[u32]) -> Result<Batch> {
        let dataset = &*self.loader.dataset;
        let size: usize = self.shape.iter().product();
        let mut values = vec![0f32; indices.len() * size];
        values
            .par_chunks_mut(size.max(1))
            .zip(indices)
            .for_each(|(values, &index)| dataset.write(index as usize, values));
        // One after the other, so that the examples do not depend on the number of threads.
        if let Some(rng) = &mut self.rng {
            for values in values.chunks_mut(size.max(1)) {
                let mut example = Example { values, shape: &self.shape, blank: &self.blank };
                self.loader
                    .augmentations
                    .iter()
                    .for_each(|augmentation| augmentation.apply(&mut example, rng));
            }
        }
        let labels: Vec<u32> = indices.iter().map(|&index| dataset.label(index as usize) as u32).collect();
        let device = &self.loader.device;
        let shape: Vec<usize> = [indices.len()].iter().chain(&self.shape).copied().collect();
        Ok(Batch {
            images: Tensor::from_vec(values, shape, device)?,
            labels: Tensor::from_vec(labels, indices.len(), device)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Cifar10;

    fn tiny() -> crate::data::Data {
        Cifar10::striped(256, 100)
    }

    fn labels(batches: Batches) -> Vec<u32> {
        batches.flat_map(|batch| batch.unwrap().labels.to_vec1::<u32>().unwrap()).collect()
    }

    #[test]
    fn an_epoch_holds_every_image_once_and_repeats_with_its_seed() {
        let loader = tiny().train_loader(100, 1).unwrap();
        let sizes: Vec<usize> = loader.epoch(0).map(|b| b.unwrap().images.dims()[0]).collect();
        assert_eq!(sizes, [100, 100, 56]);
        let (first, second) = (labels(loader.epoch(0)), labels(loader.epoch(1)));
        assert_ne!(first, second, "another epoch, another order");
        assert_eq!(first, labels(loader.epoch(0)), "the same epoch, the same order");
        let count = |labels: &[u32], class| labels.iter().filter(|&&l| l == class).count();
        assert_eq!(count(&first, 3), 26, "records 3, 13, …, 253");
    }

    #[test]
    fn images_do_not_depend_on_the_number_of_threads() {
        let loader = tiny().train_loader(64, 5).unwrap();
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| loader.epoch(2).next().unwrap().unwrap().images.flatten_all().unwrap())
        };
        assert_eq!(with(1).to_vec1::<f32>().unwrap(), with(3).to_vec1::<f32>().unwrap());
    }

    #[test]
    fn without_a_seed_order_and_images_stay() {
        let data = tiny();
        let loader = DataLoader::new(&data.train, 10).unwrap().augmented(&data.augmentations);
        let batch = loader.epoch(0).next().unwrap().unwrap();
        assert_eq!(batch.labels.to_vec1::<u32>().unwrap(), (0..10).collect::<Vec<u32>>());
        assert_eq!(batch.images.dims(), [10, 3, 32, 32]);
        let mut first = vec![0.0; 3072];
        data.train.write(0, &mut first);
        assert_eq!(batch.images.get(0).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(), first);
        assert!(DataLoader::new(&data.train, 0).is_err());
    }
}
