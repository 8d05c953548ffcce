//! Training, fine-tuning and testing; the course's `train_util.py`.

mod history;
mod progress;
mod sgd;
mod trainer;

pub use history::{EpochRecord, History};
pub use sgd::{Sgd, SgdConfig};
pub use trainer::{EpochStatistics, TrainConfig, Trainer};

use crate::cifar10::{Cifar10, DataLoader};
use crate::{Network, Result, ops, stop};
use candle_core::D;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Images in a batch of [`test`]; the loss is a mean over batches, so it belongs to the definition.
const TEST_BATCH: usize = 100;

/// Trains for `config.epochs` epochs with the learning rate cut to a tenth after half and again after three quarters of
/// them; the course's `train`. The best weights are saved to `config.save_to`.
///
/// # Errors
/// If the configuration is not usable, a tensor operation fails or the weights cannot be saved.
pub fn train<N: Network>(net: &N, data: &Cifar10, config: &TrainConfig) -> Result<History> {
    let mut trainer = Trainer::new(net, data, config)?;
    while let Some(epoch) = trainer.next_epoch() {
        trainer.set_learning_rate(config.learning_rate * step_decay(epoch - 1, config.epochs));
        trainer.run_epoch(net, false)?;
        trainer.test(net, true)?;
    }
    Ok(trainer.finish())
}

/// Trains for `config.epochs` epochs with a constant learning rate; the course's `finetune`. The best weights are saved
/// to `config.save_to`. With `config.keep_zeros` the weights that are zero at the start stay zero.
///
/// # Errors
/// If the configuration is not usable, a tensor operation fails or the weights cannot be saved.
pub fn finetune<N: Network>(net: &N, data: &Cifar10, config: &TrainConfig) -> Result<History> {
    let mut trainer = Trainer::new(net, data, config)?;
    while trainer.next_epoch().is_some() {
        trainer.run_epoch(net, config.keep_zeros)?;
        trainer.test(net, true)?;
    }
    Ok(trainer.finish())
}

/// One epoch of fine-tuning a pruned network; the course's `finetune_after_prune`. With `prune`, the weights that are
/// zero at the start of the epoch are set to zero again after every step; without, they may come back.
///
/// # Errors
/// If a tensor operation fails.
pub fn finetune_after_prune<N: Network>(
    net: &N,
    trainer: &mut Trainer,
    prune: bool,
) -> Result<EpochStatistics> {
    trainer.run_epoch(net, prune)
}

/// The factor on the learning rate in an epoch counted from 0: 1, 0.1 from half of the epochs on, 0.01 from three
/// quarters on; PyTorch's `MultiStepLR`.
pub fn step_decay(epoch: usize, epochs: usize) -> f64 {
    match epoch {
        epoch if epoch < epochs / 2 => 1.0,
        epoch if epoch < epochs * 3 / 4 => 0.1,
        _ => 0.01,
    }
}

/// The accuracy and loss of a network on the test images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// Cross-entropy, the mean over the batches of 100 images.
    pub loss: f64,
    /// The share of images classified correctly, from 0 to 1.
    pub accuracy: f64,
    /// How many images were tested.
    pub images: usize,
    /// What has to be said of these numbers, such as that they come from a subset.
    pub note: Option<String>,
}

/// Tests the network in evaluation mode on the test images, in batches of 100; the course's `test`.
///
/// # Errors
/// If a tensor operation fails, or the notebook's stop button is pressed: an accuracy on a part of the images would be
/// another number.
pub fn test<N: Network>(net: &N, data: &Cifar10) -> Result<TestResult> {
    let loader = DataLoader::new(&data.test, TEST_BATCH)?.on(net.device());
    let (mut loss, mut correct) = (0.0, 0);
    for (index, batch) in loader.epoch(0).enumerate() {
        stop::check(|| format!("{} of {} images were tested", index * TEST_BATCH, data.test.len()))?;
        let batch = batch?;
        let logits = net.forward_t(&batch.images, false)?.detach();
        loss += f64::from(ops::cross_entropy(&logits, &batch.labels)?.to_scalar::<f32>()?);
        correct += correct_predictions(&logits, &batch.labels)?;
    }
    let images = data.test.len();
    Ok(TestResult {
        loss: loss / loader.batches_per_epoch() as f64,
        accuracy: correct as f64 / images as f64,
        images,
        note: data.note().map(str::to_owned),
    })
}

/// How many rows of `logits [N, C]` are largest at their label `[N]`.
fn correct_predictions(logits: &candle_core::Tensor, labels: &candle_core::Tensor) -> Result<usize> {
    let hits = logits.argmax(D::Minus1)?.eq(labels)?;
    Ok(hits.to_dtype(candle_core::DType::U32)?.sum_all()?.to_scalar::<u32>()? as usize)
}

impl fmt::Display for TestResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Test Loss={:.4}, Test accuracy={:.4}", self.loss, self.accuracy)?;
        self.note.iter().try_for_each(|note| write!(f, " ({note})"))
    }
}

impl TestResult {
    /// Prints the line that the course's `test` prints, when the value stands at the end of a cell.
    pub fn evcxr_display(&self) {
        println!("{self}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_falls_at_half_and_at_three_quarters() {
        let factors: Vec<f64> = (0..8).map(|epoch| step_decay(epoch, 8)).collect();
        assert_eq!(factors, [1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01]);
    }
}
