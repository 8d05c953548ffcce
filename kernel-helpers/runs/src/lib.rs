//! Training, fine-tuning and testing; the course's `train_util.py`.
//!
//! [`train`], [`finetune`] and [`iterative_prune`] can be trusted with long runs of a network that has a
//! [`Network::description`]. With [`TrainConfig::save_to`] they save
//! their state after every epoch, so that the same call continues where it was interrupted, with the same bits in the
//! end; and they record a finished run beside its best weights, so that the same call finds it in place of training
//! again. A run is told by its whole configuration, [`RunIdentity`], and none is ever replaced by another, see
//! [`RunFiles`]. A loop of one's own around a [`Trainer`] always runs.

mod comparison;
mod distillation;
mod history;
mod identity;
mod kept;
pub mod machine;
mod plot;
mod progress;
mod record;
mod recording;
mod run_files;
mod seeds;
mod sensitivity;
mod state;
mod sweep;
mod trainer;

#[cfg(test)]
mod tests;

pub use comparison::{Compared, Comparison, Contender, Timing, compare};
pub use distillation::Distillation;
pub use history::{EpochRecord, History, last_history, recorded_note};
pub use identity::{Examples, Procedure, RunIdentity};
pub use kept::{KeptRun, Progress, kept_runs, table_of_runs};
pub use plot::{plot_history, plot_sparsity, plot_test_accuracy};
pub use record::RunRecord;
pub use run_files::RunFiles;
pub use seeds::{mean_and_deviation, records_over_seeds};
pub use sensitivity::{Budget, Cut, LayerCut, LayerSensitivity, Mix, SensitivityScan, sensitivity_scan};
pub use sweep::{SweepResults, SweepRun};
pub use trainer::{EpochStatistics, TrainConfig, Trainer};

use crate::progress::TestWatch;
use base::{Error, Result};
use candle_core::D;
use display::{MimeBundle, Show, shows_itself};
use nn::data::{Data, DataLoader, Dataset};
use nn::optim::StepDecay;
use nn::prune::Pruning;
use nn::{Network, Predictor, ops};
use notebook::stop;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Images in a batch of [`test`]; the loss is a mean over batches, so it belongs to the definition.
const TEST_BATCH: usize = 100;

/// Trains for `config.epochs` epochs; the course's `train`. Unless `config.schedule` says otherwise, the learning rate
/// is cut to a tenth after half and again after three quarters of them. With `config.save_to` the run is recorded, and
/// the network has its best weights in the end.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let data = Cifar10::striped(64, 32);
/// let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
///     .build(0, &Device::Cpu)?;
/// let config = TrainConfig { epochs: 4, learning_rate: 0.1, batch_size: 16, ..Default::default() };
/// let history = train(&net, &data, &config)?;
/// assert!(history.epochs[3].train_loss < history.epochs[0].train_loss);
/// assert_eq!(history.last_accuracy(), test(&net, &data)?.accuracy);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If the configuration is not usable, a tensor operation fails or a file cannot be written.
pub fn train<N: Network>(net: &N, data: &Data, config: &TrainConfig) -> Result<History> {
    let schedule = match config.schedule.schedule() {
        Some(_) => config.schedule.clone(),
        None => StepDecay.into(),
    };
    let config = TrainConfig { schedule, ..config.clone() };
    recording::run(Procedure::Train, net, data, &config, |trainer, _| {
        trainer.run_epoch(net, false)?;
        trainer.test(net, true)
    })
}

/// Trains for `config.epochs` epochs; the course's `finetune`. Unless `config.schedule` says otherwise, the learning
/// rate is constant. With `config.keep_zeros` the weights that are zero at the start stay zero. With `config.save_to`
/// the run is recorded, and the network has its best weights in the end.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let pruned = prune_layers(&net, 0.75)?;
/// let history = finetune(&net, &data, &TrainConfig { epochs: 2, keep_zeros: true, ..Default::default() })?;
/// assert_eq!(history.last().unwrap().sparsity, pruned.total());
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If the configuration is not usable, a tensor operation fails or a file cannot be written.
pub fn finetune<N: Network>(net: &N, data: &Data, config: &TrainConfig) -> Result<History> {
    let procedure = Procedure::Finetune { keep_zeros: config.keep_zeros };
    recording::run(procedure, net, data, config, |trainer, _| {
        trainer.run_epoch(net, config.keep_zeros)?;
        trainer.test(net, true)
    })
}

/// Prunes a little before each epoch of the ramp, and trains on after it. From the last pruning step on the zeros stay,
/// and only the epochs after the ramp may count as the best. How to prune is told by a
/// [`PruneSchedule`](nn::prune::PruneSchedule) or a [`Pruning`]. With `config.save_to` the run is recorded, and the
/// network has its best weights in the end.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let config = TrainConfig { epochs: 4, ..Default::default() };
/// let history = iterative_prune(&net, &data, &config, Pruning::new(0.75, 3).scope(PruneScope::Global))?;
/// assert_eq!(history.epochs.iter().map(|epoch| epoch.candidate).collect::<Vec<_>>(), [false, false, false, true]);
/// assert!((sparsity(&net)?.total() - 0.75).abs() < 0.01);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If the configuration is not usable, the ramp leaves no epoch, a tensor operation fails or a file cannot be written.
pub fn iterative_prune<N: Network>(
    net: &N,
    data: &Data,
    config: &TrainConfig,
    pruning: impl Into<Pruning>,
) -> Result<History> {
    let pruning = pruning.into();
    let ramp = pruning.ramp;
    if ramp == 0 || ramp >= config.epochs {
        return Err(Error::argument("ramp", format!("1 to {}", config.epochs.saturating_sub(1)), ramp));
    }
    recording::run(Procedure::of_pruning(&pruning), net, data, config, |trainer, epoch| {
        if epoch <= ramp {
            trainer.prune(net, &pruning)?;
        }
        trainer.run_epoch(net, epoch >= ramp)?;
        trainer.test(net, epoch > ramp)
    })
}

/// One epoch of fine-tuning a pruned network; the course's `finetune_after_prune`. With `prune`, the weights that are
/// zero at the start of the epoch are set to zero again after every step; without, they may come back.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let pruned = prune_layers(&net, 0.75)?;
/// let mut trainer = Trainer::new(&net, &data, &TrainConfig { epochs: 1, ..Default::default() })?;
/// trainer.next_epoch();
/// finetune_after_prune(&net, &mut trainer, true)?;
/// assert_eq!(sparsity(&net)?, pruned);
/// # Ok::<(), Error>(())
/// ```
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

/// The accuracy and loss of a network on the test images.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let result = TestResult { loss: 0.3127, accuracy: 0.9151, images: 10_000, note: None };
/// assert_eq!(result.to_string(), "Test Loss=0.3127, Test accuracy=0.9151");
/// ```
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
/// ```
/// use kernel_helpers::prelude::*;
///
/// let data = Cifar10::striped(64, 30);
/// let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
///     .build(0, &Device::Cpu)?;
/// net.named_parameters().iter().try_for_each(|(_, values)| values.set(&values.zeros_like()?))?;
/// let result = test(&net, &data)?;
/// // All logits are zero, so every image is taken for class 0, and the loss is ln 10.
/// assert_eq!((result.images, result.accuracy), (30, 0.1));
/// assert!((result.loss - 10_f64.ln()).abs() < 1e-6);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If a tensor operation fails, or the notebook's stop button is pressed: an accuracy on a part of the images would be
/// another number.
pub fn test<P: Predictor + ?Sized>(net: &P, data: &Data) -> Result<TestResult> {
    let mut watch = TestWatch::new(data.test.len());
    let result = test_watched(net, &data.test, |images| watch.done(images))?;
    Ok(TestResult { note: data.note().map(str::to_owned), ..result })
}

/// [`test`] on a dataset, which tells after each batch how many of its images have been tested.
fn test_watched<P: Predictor + ?Sized>(
    net: &P,
    dataset: &Arc<dyn Dataset>,
    mut done: impl FnMut(usize),
) -> Result<TestResult> {
    let images = dataset.len();
    let loader = DataLoader::new(dataset, TEST_BATCH)?.on(net.input_device());
    let (mut loss, mut correct) = (0.0, 0);
    for (index, batch) in loader.epoch(0).enumerate() {
        stop::check(|| format!("{} of {images} images were tested", index * TEST_BATCH))?;
        let batch = batch?;
        let logits = net.logits(&batch.images)?;
        loss += f64::from(ops::cross_entropy(&logits, &batch.labels)?.to_scalar::<f32>()?);
        correct += correct_predictions(&logits, &batch.labels)?;
        done((index * TEST_BATCH + batch.labels.dims()[0]).min(images));
    }
    Ok(TestResult {
        loss: loss / loader.batches_per_epoch() as f64,
        accuracy: correct as f64 / images as f64,
        images,
        note: None,
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

impl Show for TestResult {
    fn forms(&self) -> MimeBundle {
        MimeBundle::plain(self)
    }
}

shows_itself!(TestResult);
