//! Runs that are saved as they go, continued where they were, and recorded when they are done.

use super::history::remember;
use super::identity::{Procedure, RunIdentity};
use super::record::RunRecord;
use super::run_files::{Kept, RunFiles};
use super::state::RunState;
use super::{History, TestResult, TrainConfig, Trainer};
use crate::machine::Machine;
use crate::progress::Watch;
use base::files;
use base::{Error, Result};
use nn::checkpoint::sha256_of_state;
use nn::checkpoint::{StateDict, file_name, from_bytes, load_state_dict_of_size, size_in_bytes};
use nn::data::Data;
use nn::graph::NUMERICS;
use nn::set_state;
use nn::{Network, state_dict};
use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

/// The environment variable that asks to train even what is recorded.
const RETRAIN: &str = "LAB_RETRAIN";

/// All epochs of a run. What `epoch` does with the trainer has to be determined by `procedure`, the network, the data
/// and the configuration alone, for these are the identity under which the run is found again.
///
/// With `config.save_to`, the network has the best weights in the end, as that file holds them: it makes no difference
/// whether the run was trained, resumed or found recorded. A run that the notebook's stop button or an error ends is an
/// interrupted one; the network then has the best weights so far, or those of the start if there are none. Either way,
/// the same call with the network as it was left is about the same run, so that a cell can be executed again.
pub(super) fn run<N: Network>(
    procedure: Procedure,
    net: &N,
    data: &Data,
    config: &TrainConfig,
    mut epoch: impl FnMut(&mut Trainer, usize) -> Result<TestResult>,
) -> Result<History> {
    let mut trainer = Trainer::new(net, data, config)?;
    trainer.watch().begin();
    let mut recording = Recording::of(procedure, net, data, config, trainer.watch())?;
    if let Some(recording) = &mut recording
        && let Some((history, provenance)) = recording.begin(net, &mut trainer)?
    {
        remember(&history);
        trainer.watch().end(&history, Some(&provenance));
        return Ok(history);
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
        Some(recording) => recording.finish(net, &trainer)?.map(|record| recording.provenance(&record)),
        None => None,
    };
    if let (Some(best), Some(_)) = (&config.save_to, trainer.history().best()) {
        net.load_weights(best)?;
    }
    trainer.watch().end(trainer.history(), record.as_deref());
    Ok(trainer.history().clone())
}

/// Where a run of known identity is kept.
struct Recording {
    run: RunIdentity,
    files: RunFiles,
    /// Held for as long as it trains: the run's state is one process's alone.
    lock: Option<File>,
    /// The network before the run.
    start: StateDict,
    retrain: bool,
    started: Instant,
    /// What the run had taken before it was resumed.
    minutes_before: f64,
    /// The numerics that the run began with.
    numerics: u32,
}

impl Recording {
    /// None where nothing is to be saved, or the network does not describe itself.
    fn of<N: Network>(
        procedure: Procedure,
        net: &N,
        data: &Data,
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
        Ok(Some(Self {
            run,
            lock: None,
            files: RunFiles::of(weights),
            start: state_dict(net)?,
            retrain: config.retrain || std::env::var(RETRAIN).is_ok_and(|value| value == "1"),
            started: Instant::now(),
            minutes_before: 0.0,
            numerics: NUMERICS,
        }))
    }

    /// The history of the run and how it came about if it is recorded; the network then has its best weights. Otherwise
    /// takes the run for this process, and brings network and trainer to where it was interrupted, if it was.
    fn begin<N: Network>(&mut self, net: &N, trainer: &mut Trainer) -> Result<Option<(History, String)>> {
        if let Some(found) = self.finished(net, trainer.watch())? {
            return Ok(Some(found));
        }
        trainer.keep_best();
        self.find_interrupted(trainer.watch());
        self.lock = Some(self.files.lock(&self.run)?);
        // Whoever had it until now may have finished it.
        if let Some(found) = self.finished(net, trainer.watch())? {
            self.files.remove_lock(&self.run)?;
            return Ok(Some(found));
        }
        self.say_what_is_there(trainer.watch())?;
        self.resume(net, trainer)?;
        Ok(None)
    }

    /// The history of this run and how it came about if it is recorded, under whatever name; it is brought to the name
    /// that was asked for. A run with the bits of this machine comes first.
    fn finished<N: Network>(&mut self, net: &N, watch: &Watch) -> Result<Option<(History, String)>> {
        if self.retrain {
            return Ok(None);
        }
        let last = self.files.last()?;
        let is_last = |kept: &Kept| kept.path == self.files.record();
        let kept: Vec<Kept> = last.into_iter().chain(self.files.others()).collect();
        let this = kept.iter().find(|kept| self.is_this(kept, RunIdentity::is));
        let this = this.or_else(|| kept.iter().find(|kept| self.is_this(kept, RunIdentity::is_elsewhere)));
        let Some(this) = this else { return Ok(None) };
        if !this.is_whole() {
            let (name, what) =
                (file_name(&this.path), if this.weights.exists() { "are not those" } else { "are missing" });
            watch.warn(&format!("The weights of the recorded run {name} {what}: training anew"));
            return Ok(None);
        }
        if !is_last(this) {
            let moved = self.files.bring_back(this)?;
            self.say_moved(moved, watch);
        }
        self.files.remove_finished(&this.record)?;
        net.load_weights(self.files.weights())?;
        let record = this.record.clone();
        let provenance = self.provenance(&record);
        Ok(Some((History { recorded_on: Some(record.made_on), ..record.history }, provenance)))
    }

    /// Whether a record is that of this run: it began with the network as it is now, or it left the network as it is
    /// now.
    fn is_this(&self, kept: &Kept, is: fn(&RunIdentity, &RunIdentity) -> bool) -> bool {
        let run = &kept.record.run;
        let is_left = || {
            let left = load_state_dict_of_size(&kept.weights, size_in_bytes(self.start.values()));
            left.is_ok_and(|left| sha256_of_state(&left) == self.run.start_sha256)
        };
        is(&self.run, run) || (is(&self.run.begun_like(run), run) && is_left())
    }

    /// Takes the run for the one that left the network as it is now when it was interrupted, if there is such a one.
    fn find_interrupted(&mut self, watch: &Watch) {
        if self.files.state(&self.run).exists() {
            return;
        }
        for path in self.files.states() {
            let Ok((state, tensors)) = RunState::load(&path) else { continue };
            let again = self.run.begun_like(&state.run);
            if again.is(&state.run)
                && RunState::best_sha256(&tensors, &path)
                    .is_ok_and(|sum| sum.as_ref() == Some(&self.run.start_sha256))
            {
                self.run = state.run;
                return;
            }
            let (epochs, name) = (state.history.epochs.len(), file_name(&path));
            let differences = self.run.differences(&state.run).join("; ");
            watch.say(&format!("{name} keeps epoch {epochs} of another run ({differences})"));
        }
    }

    /// Says that another run is there, and that it will be kept.
    fn say_what_is_there(&self, watch: &Watch) -> Result<()> {
        if let Some(last) = self.files.last()?.filter(|last| last.record.run != self.run) {
            let (name, differences) =
                (file_name(&last.path), self.run.differences(&last.record.run).join("; "));
            watch.warn(&format!("{name} records another run, which will be kept ({differences})"));
        }
        Ok(())
    }

    fn say_moved(&self, moved: Option<PathBuf>, watch: &Watch) {
        if let Some(moved) = moved {
            let (name, moved) = (file_name(self.files.weights()), file_name(&moved));
            watch.say(&format!("What was in {name} before is kept as {moved}"));
        }
    }

    /// Brings network and trainer to where the run was interrupted, if it was.
    fn resume<N: Network>(&mut self, net: &N, trainer: &mut Trainer) -> Result<()> {
        let path = self.files.state(&self.run);
        if !path.exists() {
            return Ok(());
        }
        let name = file_name(&path);
        let (state, tensors) = match RunState::load(&path) {
            Ok(state) => state,
            Err(Error::File { found, .. }) => {
                let damaged = path.with_added_extension("damaged");
                files::rename(&path, &damaged)?;
                let kept = file_name(&damaged);
                trainer.watch().warn(&format!(
                    "{name} is of no use ({found}), and kept as {kept}: starting with epoch 1"
                ));
                return Ok(());
            }
            Err(other) => return Err(other),
        };
        (self.minutes_before, self.numerics) = (state.minutes, state.numerics);
        let epochs = state.history.epochs.len();
        trainer.watch().say(&format!("Continuing after epoch {epochs} of {} ({name})", self.run.epochs));
        state.restore(&tensors, net, trainer, &path)
    }

    /// Saves the state after an epoch.
    fn save<N: Network>(&self, net: &N, trainer: &Trainer) -> Result<()> {
        let history = trainer.history().clone();
        let state =
            RunState { run: self.run.clone(), numerics: self.numerics, minutes: self.minutes(), history };
        state.save(net, trainer, &self.files.state(&self.run))
    }

    /// Leaves the network with the best weights so far, or with those of the start.
    fn leave<N: Network>(&self, net: &N, trainer: &Trainer) -> Result<()> {
        self.files.remove_lock(&self.run)?;
        let path = self.files.state(&self.run);
        match trainer.best() {
            Some(best) => {
                let size = size_in_bytes(self.start.values());
                set_state(net, &from_bytes(best, size, &path)?, &path)
            }
            None => set_state(net, &self.start, &path),
        }
    }

    /// Puts the best weights into their place, writes the record and removes the state. There is no record of a run
    /// without a candidate for the best weights.
    fn finish<N: Network>(&self, net: &N, trainer: &Trainer) -> Result<Option<RunRecord>> {
        let mut written = None;
        if let Some(best) = trainer.best() {
            let (history, machine) = (trainer.history().clone(), Machine::here(net.device())?);
            let last_state_sha256 = Some(sha256_of_state(&state_dict(net)?));
            let (record, moved) = self.files.finish(&self.run, best, |weights| RunRecord {
                made_on: chrono::Utc::now().date_naive().to_string(),
                command: None,
                minutes: (self.minutes() * 100.0).round() / 100.0,
                machine,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                numerics: Some(self.numerics),
                run: self.run.clone(),
                weights,
                last_state_sha256,
                best: history.best().cloned(),
                last: history.last().cloned(),
                history,
                checksum: None,
            })?;
            self.say_moved(moved, trainer.watch());
            written = Some(record);
        }
        self.files.remove_unfinished(&self.run)?;
        Ok(written)
    }

    /// How a recorded run came about, and how to have it anew.
    fn provenance(&self, record: &RunRecord) -> String {
        let RunRecord { made_on, minutes, machine, .. } = record;
        let name = file_name(&self.files.record());
        let elsewhere = !self.run.begun_like(&record.run).is(&record.run);
        let elsewhere = elsewhere.then(|| "computed here, the last digits can differ".to_owned());
        let notes = elsewhere.into_iter().chain(record.numerics_note()).map(|note| format!("; {note}"));
        let notes: String = notes.collect();
        format!(
            "Recorded on {made_on} in {minutes:.1} minutes on {machine} ({name}){notes}; {RETRAIN}=1 trains anew"
        )
    }

    fn minutes(&self) -> f64 {
        self.minutes_before + self.started.elapsed().as_secs_f64() / 60.0
    }
}
