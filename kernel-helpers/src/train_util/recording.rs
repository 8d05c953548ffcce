//! Runs that are saved as they go, continued where they were, and recorded when they are done.

use super::history::remember;
use super::identity::{Procedure, RunIdentity};
use super::record::{RunFiles, RunRecord, Weights, file_name};
use super::state::RunState;
use super::{History, TestResult, TrainConfig, Trainer};
use crate::checkpoint::{StateDict, load_state_dict};
use crate::cifar10::Cifar10;
use crate::digest::{sha256_of_file, sha256_of_state};
use crate::files::write_whole;
use crate::machine::Machine;
use crate::network::set_state;
use crate::progress::Watch;
use crate::{Error, Network, Result, state_dict};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Instant;

/// The environment variable that asks to train even what is recorded.
const RETRAIN: &str = "LAB_RETRAIN";

/// All epochs of a run. What `epoch` does with the trainer has to be determined by `procedure`, the network, the data and
/// the configuration alone, for these are the identity under which the run is found again.
///
/// With `config.save_to`, the network has the best weights in the end, as that file holds them: it makes no difference
/// whether the run was trained, resumed or found recorded. A run that the notebook's stop button or an error ends is an
/// interrupted one; the network then has the best weights so far, or those of the start if there are none. Either way, the
/// same call with the network as it was left is about the same run, so that a cell can be executed again.
pub(super) fn run<N: Network>(
    procedure: Procedure,
    net: &N,
    data: &Cifar10,
    config: &TrainConfig,
    mut epoch: impl FnMut(&mut Trainer, usize) -> Result<TestResult>,
) -> Result<History> {
    let mut trainer = Trainer::new(net, data, config)?;
    trainer.watch().begin();
    let mut recording = Recording::of(procedure, net, data, config, trainer.watch())?;
    if let Some(recording) = &mut recording {
        if let Some((history, provenance)) = recording.finished(net, trainer.watch())? {
            remember(&history);
            trainer.watch().end(&history, Some(&provenance));
            return Ok(history);
        }
        recording.begin(net, &mut trainer)?;
    }
    let mut epochs = || -> Result<()> {
        while let Some(number) = trainer.next_epoch() {
            epoch(&mut trainer, number)?;
            match &recording {
                Some(recording) if !trainer.is_stopped() => recording.save(net, &trainer)?,
                _ => {}
            }
        }
        Ok(())
    };
    let trained = epochs();
    if let Some(recording) = &recording
        && (trained.is_err() || trainer.is_stopped())
    {
        let left = recording.leave(net, &trainer);
        trained.and(left)?;
        trainer.watch().warn("the same call continues after the last epoch that was finished");
        return Ok(trainer.finish());
    }
    trained?;
    let record = match &recording {
        Some(recording) => {
            recording.finish(net, &trainer)?.map(|record| provenance(&record, &recording.files))
        }
        None => None,
    };
    if let (Some(best), Some(_)) = (&config.save_to, trainer.history().best()) {
        net.load_weights(best)?;
    }
    trainer.watch().end(trainer.history(), record.as_deref());
    Ok(trainer.history().clone())
}

/// How a recorded run came about, and how to have it anew.
fn provenance(record: &RunRecord, files: &RunFiles) -> String {
    let RunRecord { made_on, minutes, machine, .. } = record;
    let name = file_name(&files.record());
    format!("Recorded on {made_on} in {minutes:.1} minutes on {machine} ({name}); {RETRAIN}=1 trains anew")
}

/// Where a run of known identity is kept.
struct Recording {
    run: RunIdentity,
    files: RunFiles,
    /// Held for as long as it trains: the run's files are one process's alone.
    lock: Option<File>,
    /// The network before the run.
    start: StateDict,
    retrain: bool,
    started: Instant,
    /// What the run had taken before it was resumed.
    minutes_before: f64,
}

impl Recording {
    /// None where nothing is to be saved, or the network does not describe itself.
    fn of<N: Network>(
        procedure: Procedure,
        net: &N,
        data: &Cifar10,
        config: &TrainConfig,
        watch: &Watch,
    ) -> Result<Option<Self>> {
        let Some(weights) = &config.save_to else { return Ok(None) };
        let Some(run) = RunIdentity::of(procedure, net, data, config)? else {
            let file = file_name(weights);
            watch.warn(&format!(
                "{file}: will be saved, but the run is not recorded and cannot be resumed; that takes a Network::description"
            ));
            return Ok(None);
        };
        let files = RunFiles::of(weights);
        Ok(Some(Self {
            run,
            lock: None,
            files,
            start: state_dict(net)?,
            retrain: config.retrain || std::env::var(RETRAIN).is_ok_and(|value| value == "1"),
            started: Instant::now(),
            minutes_before: 0.0,
        }))
    }

    /// Whether a kept run is this one: it began with the network as it is now, or it left the network as it is now, with
    /// the weights in the file `left`.
    fn is_this(&mut self, kept: &RunIdentity, left: &Path) -> bool {
        let again = RunIdentity { start_sha256: kept.start_sha256.clone(), ..self.run.clone() };
        let is_left =
            || load_state_dict(left).is_ok_and(|weights| sha256_of_state(&weights) == self.run.start_sha256);
        let same = self.run == *kept || (again == *kept && is_left());
        if same {
            self.run = again;
        }
        same
    }

    /// The history of this run if it is recorded, and how it came about; the network then has its best weights.
    fn finished<N: Network>(&mut self, net: &N, watch: &Watch) -> Result<Option<(History, String)>> {
        let path = self.files.record();
        if self.retrain || !path.exists() {
            return Ok(None);
        }
        let (name, record) = (file_name(&path), RunRecord::load(&path)?);
        let weights = self.files.weights().to_owned();
        if !self.is_this(&record.run, &weights) {
            let differences = self.run.differences(&record.run).join("; ");
            watch.warn(&format!("{name} records another run ({differences}): training anew"));
            return Ok(None);
        }
        let found = if weights.exists() { Some(sha256_of_file(&weights)?) } else { None };
        if found.as_deref() != Some(&record.weights.sha256) {
            let what = if found.is_some() { "are not those" } else { "are missing" };
            watch.warn(&format!("The weights of the recorded run {name} {what}: training anew"));
            return Ok(None);
        }
        net.load_weights(&weights)?;
        let provenance = provenance(&record, &self.files);
        Ok(Some((History { recorded_on: Some(record.made_on), ..record.history }, provenance)))
    }

    /// Takes the run for this process, and brings network and trainer to where it was interrupted, if there is such a
    /// state.
    fn begin<N: Network>(&mut self, net: &N, trainer: &mut Trainer) -> Result<()> {
        self.lock = Some(lock(&self.files.lock())?);
        trainer.save_best_to(self.files.best_so_far());
        let path = self.files.state();
        if !path.exists() {
            return Ok(());
        }
        let name = file_name(&path);
        let (state, tensors) = match self.usable_state(&path) {
            Ok(state) => state,
            Err(reason) => {
                trainer.watch().warn(&format!("{name} is of no use ({reason}): starting with epoch 1"));
                return Ok(());
            }
        };
        self.minutes_before = state.minutes;
        let epochs = state.history.epochs.len();
        trainer.watch().say(&format!("Continuing after epoch {epochs} of {} ({name})", self.run.epochs));
        state.restore(&tensors, net, trainer, &self.files.best_so_far(), &path)
    }

    /// The state in a file, or why it is not this run's.
    fn usable_state(&mut self, path: &Path) -> Result<(RunState, StateDict), String> {
        let (state, tensors) = RunState::load(path).map_err(|error| match error {
            Error::File { found, .. } => format!("damaged: {found}"),
            other => other.to_string(),
        })?;
        if !self.is_this(&state.run, &self.files.best_so_far()) {
            return Err(format!("another run: {}", self.run.differences(&state.run).join("; ")));
        }
        Ok((state, tensors))
    }

    /// Saves the state after an epoch.
    fn save<N: Network>(&self, net: &N, trainer: &Trainer) -> Result<()> {
        let history = trainer.history().clone();
        let state = RunState { run: self.run.clone(), minutes: self.minutes(), history };
        state.save(net, trainer, &self.files.best_so_far(), &self.files.state())
    }

    /// Leaves the network with the best weights so far, or with those of the start.
    fn leave<N: Network>(&self, net: &N, trainer: &Trainer) -> Result<()> {
        let best = self.files.best_so_far();
        match trainer.history().best() {
            Some(_) => net.load_weights(best),
            None => set_state(net, &self.start, &best),
        }
    }

    /// Puts the best weights into their place, writes the record and removes the state. There is no record of a run
    /// without a candidate for the best weights.
    fn finish<N: Network>(&self, net: &N, trainer: &Trainer) -> Result<Option<RunRecord>> {
        let refused = |path: &Path, e| Error::io(path, e, "Check the folder's permissions.");
        let (history, weights) = (trainer.history().clone(), self.files.weights());
        let (state, best) = (self.files.state(), self.files.best_so_far());
        let mut written = None;
        if history.best().is_some() {
            write_whole(weights, &std::fs::read(&best).map_err(|e| refused(&best, e))?)?;
            let record = RunRecord {
                made_on: chrono::Utc::now().date_naive().to_string(),
                command: None,
                minutes: (self.minutes() * 100.0).round() / 100.0,
                machine: Machine::here(net.device())?,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                run: self.run.clone(),
                weights: Weights::of(weights)?,
                last_state_sha256: Some(sha256_of_state(&state_dict(net)?)),
                best: history.best().cloned(),
                last: history.last().cloned(),
                history,
            };
            record.save(self.files.record())?;
            written = Some(record);
        }
        std::fs::remove_file(&state).map_err(|e| refused(&state, e))?;
        for file in [best, self.files.lock()] {
            match std::fs::remove_file(&file) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(refused(&file, e)),
                _ => {}
            }
        }
        Ok(written)
    }

    fn minutes(&self) -> f64 {
        self.minutes_before + self.started.elapsed().as_secs_f64() / 60.0
    }
}

/// Takes a run's lock, which ends when the file is closed, with the process at the latest.
fn lock(path: &Path) -> Result<File> {
    let refused = |e| Error::io(path, e, "Check the folder's permissions.");
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(refused)?;
    }
    let file = File::create(path).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::file(
            path,
            "the run for this call alone",
            "another notebook or command that trains it",
            "Wait for its end, or save to another file.",
        )),
        Err(TryLockError::Error(e)) => Err(refused(e)),
    }
}
