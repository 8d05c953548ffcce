//! Batches of normalized images, shuffled and augmented.

use super::augment::{Augmentation, Normalization};
use super::{IMAGE_BYTES, SIDE, Split};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::sync::Arc;

/// Images and their classes.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Normalized images, `[N, 3, 32, 32]`, f32.
    pub images: Tensor,
    /// Classes, `[N]`, u32.
    pub labels: Tensor,
}

/// Cuts a split into batches; PyTorch's `DataLoader`. The last batch of an epoch may be smaller.
#[derive(Clone, Debug)]
pub struct DataLoader {
    split: Split,
    batch_size: usize,
    device: Device,
    /// The seed of shuffling and augmentation; `None` leaves order and images as they are.
    seed: Option<u64>,
}

impl DataLoader {
    /// All images in their order, unaugmented, on the CPU.
    ///
    /// # Errors
    /// If the batch size is 0.
    pub fn new(split: &Split, batch_size: usize) -> Result<Self> {
        if batch_size == 0 {
            return Err(Error::argument("batch_size", "at least 1", 0));
        }
        Ok(Self { split: split.clone(), batch_size, device: Device::Cpu, seed: None })
    }

    /// Shuffles, crops and flips at random. What an epoch sees depends on the seed and the epoch's number alone, so a
    /// run can be continued at any epoch.
    pub fn augmented(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Makes the batches on this device.
    pub fn on(mut self, device: &Device) -> Self {
        self.device = device.clone();
        self
    }

    /// How many batches an epoch has.
    pub fn batches_per_epoch(&self) -> usize {
        self.split.len().div_ceil(self.batch_size)
    }

    /// The batches of one epoch.
    pub fn epoch(&self, epoch: usize) -> Batches {
        let mut order: Vec<u32> = (0..self.split.len() as u32).collect();
        let rng = self.seed.map(|seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(epoch as u64);
            order.shuffle(&mut rng);
            rng
        });
        Batches { loader: self.clone(), normalization: Arc::new(Normalization::new()), order, rng, next: 0 }
    }
}

/// The batches of one epoch, as an iterator.
pub struct Batches {
    loader: DataLoader,
    normalization: Arc<Normalization>,
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
        // Drawn one after the other, so that the images do not depend on the number of threads.
        let augmentations: Vec<Augmentation> = match &mut self.rng {
            Some(rng) => indices.iter().map(|_| Augmentation::random(rng)).collect(),
            None => vec![Augmentation::NONE; indices.len()],
        };
        let (split, normalization) = (&self.loader.split, &self.normalization);
        let mut pixels = vec![0f32; indices.len() * IMAGE_BYTES];
        pixels.par_chunks_exact_mut(IMAGE_BYTES).zip(indices).zip(augmentations).for_each(
            |((out, &index), augmentation)| {
                augmentation.apply(split.image(index as usize), normalization, out)
            },
        );
        let labels: Vec<u32> = indices.iter().map(|&index| split.label(index as usize) as u32).collect();
        let device = &self.loader.device;
        Ok(Batch {
            images: Tensor::from_vec(pixels, (indices.len(), 3, SIDE, SIDE), device)?,
            labels: Tensor::from_vec(labels, indices.len(), device)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scale;
    use crate::cifar10::Cifar10;

    fn tiny() -> Split {
        let folder = tempfile::tempdir().unwrap();
        crate::cifar10::tests::write_files(folder.path(), |record, color, y, x| {
            (record + 7 * color + y * x) as u8
        });
        Cifar10::open(folder.path(), Scale::Tiny).unwrap().train
    }

    fn labels(batches: Batches) -> Vec<u32> {
        batches.flat_map(|batch| batch.unwrap().labels.to_vec1::<u32>().unwrap()).collect()
    }

    #[test]
    fn an_epoch_holds_every_image_once_and_repeats_with_its_seed() {
        let loader = DataLoader::new(&tiny(), 100).unwrap().augmented(1);
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
        let loader = DataLoader::new(&tiny(), 64).unwrap().augmented(5);
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| loader.epoch(2).next().unwrap().unwrap().images.flatten_all().unwrap())
        };
        assert_eq!(with(1).to_vec1::<f32>().unwrap(), with(3).to_vec1::<f32>().unwrap());
    }

    #[test]
    fn without_augmentation_the_order_stays() {
        let split = tiny();
        let loader = DataLoader::new(&split, 10).unwrap();
        let batch = loader.epoch(0).next().unwrap().unwrap();
        assert_eq!(batch.labels.to_vec1::<u32>().unwrap(), (0..10).collect::<Vec<u32>>());
        assert_eq!(batch.images.dims(), [10, 3, 32, 32]);
        assert!(DataLoader::new(&split, 0).is_err());
    }
}
