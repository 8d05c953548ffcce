//! The training loop, an epoch at a time.

use super::distillation::Distillation;
use super::history::remember;
use super::run_files::RunFiles;
use super::{EpochRecord, History, TestResult, correct_predictions, test_watched};
use crate::progress::{Plan, Watch};
use base::{Error, Result, paths};
use candle_core::Var;
use candle_core::backprop::GradStore;
use nn::checkpoint::{StateDict, file_name};
use nn::data::{Data, DataLoader};
use nn::optim::{Optimizer, OptimizerChoice, ScheduleChoice, SgdConfig};
use nn::prune::{Masks, Pruning, Sparsity, sparsity};
use nn::{Network, ops};
use notebook::stop;
use std::path::PathBuf;

/// How to train. The defaults are those of the course's fine-tuning, for 20 epochs.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let config = TrainConfig {
///     epochs: 40,
///     learning_rate: 1e-3,
///     optimizer: AdamWConfig::default().into(),
///     schedule: Cosine.into(),
///     save_to: Some(checkpoints_dir()?.join("net.safetensors")),
///     ..Default::default()
/// };
/// assert_eq!((config.batch_size, config.weight_decay, config.seed), (256, 1e-4, 0));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TrainConfig {
    /// How often the training images are gone through.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// The learning rate, the course's `lr`.
    pub learning_rate: f64,
    /// The weight decay, the course's `reg`.
    pub weight_decay: f64,
    /// The momentum of SGD.
    pub momentum: f64,
    /// The optimizer; by default SGD.
    pub optimizer: OptimizerChoice,
    /// How the learning rate changes from epoch to epoch; by default as the procedure has it.
    pub schedule: ScheduleChoice,
    /// Where progress is told in lines, a line every so many steps, but none within 20 s of the last line; 0 for none.
    pub log_every_n: usize,
    /// Where progress is told in lines, a line every so many epochs, and after the last; 0 for none. With 0 here and in
    /// `log_every_n`, a notebook or terminal shows no progress either.
    pub log_every_epochs: usize,
    /// The seed of shuffling and augmentation.
    pub seed: u64,
    /// Another network to learn from, beside the labels.
    pub distillation: Option<Distillation>,
    /// Whether the weights that are zero at the start stay zero; for [`super::finetune`].
    pub keep_zeros: bool,
    /// Where the best weights are saved when the run is finished, and beside them the run's state and record, see
    /// [`super::RunFiles`], if the network has a [`Network::description`]. What is recorded there of another run is
    /// kept under another name. Without a description, the best weights are saved as they come. `None` keeps nothing.
    pub save_to: Option<PathBuf>,
    /// Whether to train even if `save_to` holds a finished run of this configuration; one that was interrupted
    /// continues. The environment variable `LAB_RETRAIN=1` asks for the same.
    pub retrain: bool,
}

impl Default for TrainConfig {
    fn default() -> Self {
        let SgdConfig { learning_rate, momentum, weight_decay } = SgdConfig::default();
        Self {
            epochs: 20,
            batch_size: 256,
            learning_rate,
            weight_decay,
            momentum,
            optimizer: OptimizerChoice::default(),
            schedule: ScheduleChoice::default(),
            log_every_n: 50,
            log_every_epochs: 1,
            seed: 0,
            distillation: None,
            keep_zeros: false,
            save_to: None,
            retrain: false,
        }
    }
}

impl TrainConfig {
    /// What it has of numbers for an optimizer.
    pub(super) fn rates(&self) -> SgdConfig {
        let Self { learning_rate, momentum, weight_decay, .. } = *self;
        SgdConfig { learning_rate, momentum, weight_decay }
    }
}

/// How the training images fared in an epoch.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let mut trainer = Trainer::new(&net, &data, &TrainConfig::default())?;
/// trainer.next_epoch();
/// let EpochStatistics { loss, accuracy } = trainer.run_epoch(&net, false)?;
/// assert!(loss > 1.0 && accuracy < 0.5, "the network has seen each image once");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochStatistics {
    /// Mean loss of the batches: the cross-entropy, or that of a distillation.
    pub loss: f64,
    /// The share of images classified correctly, from 0 to 1.
    pub accuracy: f64,
}

/// A run in progress: optimizer, data, history and best weights, for a loop of one's own over the epochs.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let mut trainer = Trainer::new(&net, &data, &TrainConfig { epochs: 3, ..Default::default() })?;
/// while let Some(epoch) = trainer.next_epoch() {
///     trainer.set_learning_rate(0.01 / epoch as f64);
///     trainer.run_epoch(&net, false)?;
///     trainer.test(&net, true)?;
/// }
/// assert_eq!(trainer.finish().epochs[1].learning_rate, 0.005);
/// # Ok::<(), Error>(())
/// ```
pub struct Trainer {
    config: TrainConfig,
    data: Data,
    loader: DataLoader,
    optimizer: Box<dyn Optimizer>,
    watch: Watch,
    epoch: usize,
    step: usize,
    statistics: EpochStatistics,
    history: History,
    best: Best,
    /// Whether the notebook's stop button has ended the run.
    stopped: bool,
}

/// Where the best weights so far are.
#[derive(Clone, Debug)]
enum Best {
    /// Nowhere, or in the file that the configuration names.
    Saved,
    /// Here, as the content of a file, once there are any.
    Kept(Option<Vec<u8>>),
}

impl Trainer {
    /// Prepares a run of a network.
    ///
    /// # Errors
    /// If the configuration has no epochs, no batch size or a rate that is no number, there are no training images, or
    /// the notebook's stop button was pressed in this cell.
    pub fn new<N: Network>(net: &N, data: &Data, config: &TrainConfig) -> Result<Self> {
        if config.epochs == 0 {
            return Err(Error::argument("epochs", "at least 1", 0));
        }
        let rates = [
            ("learning_rate", config.learning_rate),
            ("weight_decay", config.weight_decay),
            ("momentum", config.momentum),
        ];
        if let Some((name, rate)) = rates.into_iter().find(|(_, rate)| !rate.is_finite()) {
            return Err(Error::argument(name, "a finite number", rate));
        }
        if data.train.is_empty() {
            return Err(Error::argument("training images", "at least 1", 0));
        }
        config.distillation.iter().try_for_each(|distillation| distillation.check(net))?;
        stop::may_start_training()?;
        let loader = data.train_loader(config.batch_size, config.seed)?.on(net.device());
        Ok(Self {
            watch: Watch::new(Plan {
                epochs: config.epochs,
                steps: loader.batches_per_epoch(),
                log_every_n: config.log_every_n,
                log_every_epochs: config.log_every_epochs,
            }),
            optimizer: config.optimizer.make(net.named_parameters(), config.rates()),
            loader,
            config: config.clone(),
            data: data.clone(),
            epoch: 0,
            step: 0,
            statistics: EpochStatistics { loss: 0.0, accuracy: 0.0 },
            history: History { note: data.note().map(str::to_owned), ..Default::default() },
            best: Best::Saved,
            stopped: false,
        })
    }

    /// Goes to the next epoch, with the learning rate that the configuration's schedule has for it, if there is one,
    /// and returns its number, counted from 1; `None` after the last and after a stop.
    pub fn next_epoch(&mut self) -> Option<usize> {
        if self.stopped || self.epoch == self.config.epochs {
            return None;
        }
        if let Some(schedule) = self.config.schedule.schedule() {
            let factor = schedule.factor(self.epoch, self.config.epochs);
            self.optimizer.set_learning_rate(self.config.learning_rate * factor);
        }
        self.epoch += 1;
        Some(self.epoch)
    }

    /// Changes the learning rate of the following steps.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.optimizer.set_learning_rate(learning_rate);
    }

    /// Trains on every training image once. With `keep_zeros`, the weights that are zero now are set to zero again
    /// after every step.
    ///
    /// The notebook's stop button ends the epoch, and with it the run, before the next batch.
    ///
    /// # Errors
    /// If a tensor operation fails, or the loss is no longer a number.
    pub fn run_epoch<N: Network>(&mut self, net: &N, keep_zeros: bool) -> Result<EpochStatistics> {
        let masks = if keep_zeros { Some(Masks::of(net)?) } else { None };
        let (mut losses, mut correct, mut batches) = (0.0, 0, 0);
        for batch in self.loader.epoch(self.epoch) {
            if stop::stop_requested() {
                self.stop(&format!("step {batches} of epoch {}", self.epoch));
                return Ok(self.statistics);
            }
            let batch = batch?;
            let logits = net.forward_t(&batch.images, true)?;
            let loss = match &self.config.distillation {
                Some(distillation) => distillation.loss(&batch.images, &logits, &batch.labels)?,
                None => ops::cross_entropy(&logits, &batch.labels)?,
            };
            self.optimizer.backward_step(&loss)?;
            if let Some(masks) = &masks {
                masks.apply()?;
            }
            let loss = f64::from(loss.to_scalar::<f32>()?);
            let hits = correct_predictions(&logits, &batch.labels)?;
            (losses, correct, batches) = (losses + loss, correct + hits, batches + 1);
            self.check_loss(loss)?;
            self.watch.step(self.epoch, batches, (loss, hits), batch.labels.dims()[0]);
        }
        let accuracy = correct as f64 / self.data.train.len() as f64;
        self.statistics = EpochStatistics { loss: losses / batches as f64, accuracy };
        Ok(self.statistics)
    }

    /// Prunes to the sparsity that `pruning` has before this epoch; with the [`Self::gradients`] if it needs them.
    ///
    /// # Errors
    /// As [`Pruning::prune`].
    pub fn prune<N: Network>(&self, net: &N, pruning: &Pruning) -> Result<Sparsity> {
        let gradients = pruning.criterion.needs_gradients().then(|| self.gradients(net)).transpose()?;
        pruning.prune(net, self.epoch, gradients.as_ref())
    }

    /// The gradients of the loss on this epoch's first batch, for a [`Criterion`](nn::prune::Criterion). The network's
    /// running statistics are left as they are.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn gradients<N: Network>(&self, net: &N) -> Result<GradStore> {
        let copy = |(_, var): (_, Var)| Ok((var.copy()?, var));
        let buffers = net.named_buffers().into_iter().map(copy).collect::<Result<Vec<_>>>()?;
        let batch = self.loader.epoch(self.epoch).next().expect("there are training images")?;
        let loss = ops::cross_entropy(&net.forward_t(&batch.images, true)?, &batch.labels)?;
        let gradients = ops::backward(&loss)?;
        buffers.iter().try_for_each(|(before, var)| var.set(before))?;
        Ok(gradients)
    }

    /// Tests the network after an epoch, on the validation images too if there are such, adds the epoch to the history
    /// and, if it is a candidate and the best so far, saves the weights, packed. After a stop there is nothing to test: the numbers are NaN, and the history stays as
    /// it is.
    ///
    /// # Errors
    /// If a tensor operation fails or the weights cannot be saved.
    pub fn test<N: Network>(&mut self, net: &N, candidate: bool) -> Result<TestResult> {
        let (validated, result) = match self.tested(net) {
            Err(Error::Stopped(_)) => {
                self.stop(&format!("the test of epoch {}", self.epoch));
                let note = Some("stopped".to_owned());
                return Ok(TestResult { loss: f64::NAN, accuracy: f64::NAN, images: 0, note });
            }
            results => results?,
        };
        let best_so_far = self.history.best_epoch();
        self.history.epochs.push(EpochRecord {
            epoch: self.epoch,
            learning_rate: self.optimizer.learning_rate(),
            train_loss: self.statistics.loss,
            train_accuracy: self.statistics.accuracy,
            validation_loss: validated.as_ref().map(|result| result.loss),
            validation_accuracy: validated.as_ref().map(|result| result.accuracy),
            test_loss: result.loss,
            test_accuracy: result.accuracy,
            sparsity: sparsity(net)?.total(),
            candidate,
        });
        if self.history.best_epoch() != best_so_far {
            self.save_best(net, best_so_far == 0)?;
        }
        remember(&self.history);
        self.watch.epoch(&self.history);
        Ok(result)
    }

    /// What the network gives on the validation images, if there are such, and on the test images.
    fn tested<N: Network>(&self, net: &N) -> Result<(Option<TestResult>, TestResult)> {
        if self.stopped {
            return Err(Error::Stopped(String::new()));
        }
        let Data { validation, test, .. } = &self.data;
        let before = validation.as_ref().map_or(0, |dataset| dataset.len());
        let images = before + test.len();
        let watch = |done| self.watch.testing(self.epoch, done, images);
        let validated = validation.as_ref().map(|dataset| test_watched(net, dataset, watch)).transpose()?;
        let result = test_watched(net, test, |done| watch(before + done))?;
        Ok((validated, TestResult { note: self.data.note().map(str::to_owned), ..result }))
    }

    /// Keeps or saves the network's weights as the best so far.
    fn save_best<N: Network>(&mut self, net: &N, first: bool) -> Result<()> {
        match (&mut self.best, &self.config.save_to) {
            (Best::Kept(best), _) => *best = Some(net.packed_weights()?),
            (Best::Saved, Some(path)) => {
                if first && let Some(moved) = RunFiles::of(path).keep_recorded()? {
                    self.watch.say(&format!("The run that was there is kept as {}", file_name(&moved)));
                }
                net.save_packed(path)?;
            }
            (Best::Saved, None) => {}
        }
        Ok(())
    }

    /// Continues after the epochs of `history`, with the optimizer's state at their end and the best weights so far.
    pub(super) fn resume(
        &mut self,
        history: History,
        optimizer: &StateDict,
        best: Option<Vec<u8>>,
    ) -> Result<()> {
        self.best = Best::Kept(best);
        self.epoch = history.epochs.len();
        self.step = self.epoch * self.loader.batches_per_epoch();
        self.optimizer.set_state(optimizer)?;
        self.history = history;
        remember(&self.history);
        self.watch.resumed(&self.history);
        Ok(())
    }

    /// Keeps the best weights instead of saving them.
    pub(super) fn keep_best(&mut self) {
        self.best = Best::Kept(None);
    }

    /// The best weights so far that have been kept, as the content of a file.
    pub(super) fn best(&self) -> Option<&[u8]> {
        match &self.best {
            Best::Kept(best) => best.as_deref(),
            Best::Saved => None,
        }
    }

    /// Whether the notebook's stop button has ended the run.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The optimizer's state.
    pub(super) fn optimizer_state(&self) -> Result<StateDict> {
        self.optimizer.state()
    }

    /// The epochs so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What is told of the run while it goes on.
    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Ends the run.
    pub fn finish(self) -> History {
        self.watch.end(&self.history, None);
        self.history
    }

    /// Ends the run because of the notebook's stop button, and says where it was and what is left of it.
    fn stop(&mut self, during: &str) {
        if std::mem::replace(&mut self.stopped, true) {
            return;
        }
        stop::obeyed();
        let after = format!("stopped after epoch {} of {}", self.history.epochs.len(), self.config.epochs);
        let left = match (&self.best, self.history.best(), &self.config.save_to) {
            (Best::Kept(_), Some(best), _) => {
                format!("the network has the best weights so far (epoch {})", best.epoch)
            }
            (Best::Saved, Some(best), Some(path)) => {
                let root = paths::project_root().ok();
                let path = root.and_then(|root| path.strip_prefix(root).ok()).unwrap_or(path);
                format!("the best weights so far (epoch {}) are in {}", best.epoch, path.display())
            }
            _ => "no weights were saved".to_owned(),
        };
        self.watch.warn(&format!("{after}, in {during}; {left}"));
        let notes = self.history.note.take().into_iter().chain([after]);
        self.history.note = Some(notes.collect::<Vec<_>>().join("; "));
        remember(&self.history);
    }

    /// Counts a step, and refuses to go on from a loss that is no number.
    fn check_loss(&mut self, loss: f64) -> Result<()> {
        if !loss.is_finite() {
            let found = format!("{loss} at step {} of epoch {}", self.step, self.epoch);
            let expected = "a number (try a smaller learning rate)";
            return Err(Error::argument("the training loss", expected, found));
        }
        self.step += 1;
        Ok(())
    }
}
