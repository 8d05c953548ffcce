//! The runs that a folder keeps.

use super::identity::{Procedure, RunIdentity};
use super::record::RunRecord;
use super::state::RunState;
use base::{Error, Result, files};
use display::table::{Table, percent};
use nn::checkpoint::LONGEST_RECORD;
use nn::prune::PruneSchedule;
use std::fmt;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

/// A run that is kept, finished or not.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// # let folder = tempfile::tempdir().unwrap();
/// # let save_to = Some(folder.path().join("net.safetensors"));
/// # train(&net, &data, &TrainConfig { epochs: 1, save_to, ..Default::default() })?;
/// let kept: KeptRun = kept_runs(&folder)?.remove(0);
/// assert_eq!(kept.name, folder.path().join("net"));
/// kept.remove()?;
/// assert!(kept_runs(&folder)?.is_empty());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct KeptRun {
    /// The path of its files as far as they have it in common, such as `checkpoints/net` or, where another run has that
    /// name, `checkpoints/net.1a2b3c4d`.
    pub name: PathBuf,
    /// How far it is.
    pub progress: Progress,
    /// Its configuration, as far as that can be read.
    pub run: Option<RunIdentity>,
    /// The length of its files together.
    pub bytes: u64,
    files: Vec<PathBuf>,
}

/// How far a run is.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// # let folder = tempfile::tempdir().unwrap();
/// # let save_to = Some(folder.path().join("net.safetensors"));
/// # train(&net, &data, &TrainConfig { epochs: 1, save_to, ..Default::default() })?;
/// for kept in kept_runs(&folder)? {
///     assert!(matches!(kept.progress, Progress::Finished { best_accuracy, .. } if best_accuracy <= 1.0));
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// It is finished.
    Finished {
        /// The day on which it was (UTC).
        made_on: String,
        /// The best test accuracy, from 0 to 1.
        best_accuracy: f64,
    },
    /// It was interrupted, or is being trained.
    Unfinished {
        /// How many epochs are finished.
        epochs: usize,
    },
    /// Its state cannot be read any more.
    Damaged,
}

/// The runs in a folder and the folders in it, by name. What is no run's is passed over.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let graph = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?;
/// # let folder = tempfile::tempdir().unwrap();
/// for (name, epochs) in [("short", 1), ("long", 2)] {
///     let save_to = Some(folder.path().join(name));
///     let config = TrainConfig { epochs, save_to, ..Default::default() };
///     train(&graph.clone().build(0, &Device::Cpu)?, &data, &config)?;
/// }
/// let epochs: Vec<_> = kept_runs(&folder)?.into_iter().map(|kept| kept.run.unwrap().epochs).collect();
/// assert_eq!(epochs, [2, 1]);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If a folder cannot be read.
pub fn kept_runs(folder: impl AsRef<Path>) -> Result<Vec<KeptRun>> {
    let mut runs = Vec::new();
    let mut folders = vec![folder.as_ref().to_owned()];
    while let Some(folder) = folders.pop() {
        let refused = |e| Error::io(&folder, e, "Check the folder's permissions.");
        for entry in std::fs::read_dir(&folder).map_err(refused)? {
            let entry = entry.map_err(refused)?;
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) if metadata.is_file() => runs.extend(KeptRun::of(entry.path(), &metadata)),
                _ => {}
            }
        }
    }
    runs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(runs)
}

/// A row for each run: its name from `folder` on, how far it is, its size and its configuration.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path();
/// # let save_to = Some(folder.join("net.safetensors"));
/// # train(&net, &data, &TrainConfig { epochs: 1, save_to, ..Default::default() })?;
/// let table = table_of_runs(&kept_runs(folder)?, folder).to_string();
/// assert!(table.contains("finished on") && table.contains("train, 1 epochs, 64 images"), "{table}");
/// # Ok::<(), Error>(())
/// ```
pub fn table_of_runs(runs: &[KeptRun], folder: &Path) -> Table {
    let rows = runs.iter().map(|kept| {
        let name = kept.name.strip_prefix(folder).unwrap_or(&kept.name).display();
        let epochs = kept.run.as_ref().map_or(0, |run| run.epochs);
        let (progress, accuracy) = match &kept.progress {
            Progress::Finished { made_on, best_accuracy } => {
                (format!("finished on {made_on}"), percent(*best_accuracy))
            }
            Progress::Unfinished { epochs: done } => (format!("epoch {done} of {epochs}"), String::new()),
            Progress::Damaged => ("damaged".to_owned(), String::new()),
        };
        let run = kept.run.as_ref().map(ToString::to_string).unwrap_or_default();
        [name.to_string(), progress, accuracy, format!("{} KB", kept.bytes.div_ceil(1000)), run]
    });
    Table::new(["run", "progress", "best accuracy", "size", "configuration"]).rows(rows)
}

impl KeptRun {
    /// The run to which a record or a state belongs, if the file is one.
    fn of(path: PathBuf, metadata: &Metadata) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        if let Some(stem) = name.strip_suffix(".json") {
            return (metadata.len() <= LONGEST_RECORD).then(|| Self::finished(&path, stem))?;
        }
        let stem = name.strip_suffix(".state.safetensors");
        let damaged = name.strip_suffix(".state.safetensors.damaged");
        let (run, progress) = match RunState::load(&path) {
            Ok((state, _)) if stem.is_some() => {
                (Some(state.run), Progress::Unfinished { epochs: state.history.epochs.len() })
            }
            _ => (None, Progress::Damaged),
        };
        let name = path.with_file_name(stem.or(damaged)?);
        let files = vec![path, name.with_added_extension("lock")];
        Some(Self { name, progress, run, bytes: metadata.len(), files })
    }

    fn finished(path: &Path, stem: &str) -> Option<Self> {
        let record = RunRecord::load(path).ok()?;
        let files = vec![path.to_owned(), path.with_file_name(&record.weights.file)];
        let length = |file: &PathBuf| std::fs::metadata(file).map_or(0, |metadata| metadata.len());
        Some(Self {
            name: path.with_file_name(stem),
            progress: Progress::Finished {
                made_on: record.made_on,
                best_accuracy: record.history.best_accuracy(),
            },
            run: Some(record.run),
            bytes: files.iter().map(length).sum(),
            files,
        })
    }

    /// Removes the run's files for good.
    ///
    /// # Errors
    /// If it is being trained, or a file cannot be removed.
    pub fn remove(&self) -> Result<()> {
        let lock = self.name.with_added_extension("lock");
        let _lock = match self.progress {
            Progress::Finished { .. } => None,
            _ => Some(files::try_lock(&lock)?.ok_or_else(|| {
                Error::file(&lock, "a run that nobody trains", "one that is being trained", "Stop it first.")
            })?),
        };
        self.files.iter().try_for_each(files::remove)
    }
}

impl fmt::Display for RunIdentity {
    /// Such as `finetune, 20 epochs, 50000 images in batches of 256, learning rate 0.002, …, seed 0: ResNet-20`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.procedure {
            Procedure::Train => f.write_str("train")?,
            Procedure::Finetune { keep_zeros: false } => f.write_str("finetune")?,
            Procedure::Finetune { keep_zeros: true } => f.write_str("finetune with the zeros kept")?,
            Procedure::IterativePrune(PruneSchedule { scope, sparsity, ramp }) => {
                write!(f, "prune {scope} to {} in {ramp} epochs", percent(*sparsity))?;
            }
            Procedure::Pruning { method, sparsity, ramp } => {
                write!(f, "prune ({method}) to {} in {ramp} epochs", percent(*sparsity))?;
            }
        }
        let Self { epochs, batch_size, learning_rate, weight_decay, momentum, seed, network, .. } = self;
        let unusual = [&self.optimizer, &self.schedule].into_iter().flatten();
        let unusual: String = unusual.map(|what| format!(", {what}")).collect();
        write!(
            f,
            ", {epochs} epochs, {} images in batches of {batch_size}, learning rate {learning_rate}, \
             weight decay {weight_decay}, momentum {momentum}{unusual}, seed {seed}: {network}",
            self.training_images.count
        )
    }
}
