//! The record of a finished run, and the files that a run keeps.

use super::identity::RunIdentity;
use super::state::RunState;
use super::{EpochRecord, History};
use crate::digest::sha256_of_file;
use crate::files::write_whole;
use crate::machine::Machine;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How a finished run came about and how it went, beside its weights as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The day on which the run was finished (UTC), such as `2026-11-23`.
    pub made_on: String,
    /// The command that asked for the run, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// How long it took, in minutes, without the pauses between interruptions.
    pub minutes: f64,
    /// What it was computed on; of a resumed run, at the end.
    pub machine: Machine,
    /// The version of this crate.
    pub version: String,
    /// The run's configuration.
    pub run: RunIdentity,
    /// The file of the best weights.
    pub weights: Weights,
    /// The SHA-256 sum of the network's parameters and buffers after the last epoch, where it is known.
    pub last_state_sha256: Option<String>,
    /// The best epoch.
    pub best: Option<EpochRecord>,
    /// The last epoch.
    pub last: Option<EpochRecord>,
    /// All epochs.
    pub history: History,
}

/// A file of weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// The file's name.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 sum of its bytes.
    pub sha256: String,
}

impl RunRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// If the file cannot be read or holds something else.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        const HELP: &str = "Move it away, or save the weights under another name.";
        let path = path.as_ref();
        let json = std::fs::read_to_string(path).map_err(|e| Error::io(path, e, HELP))?;
        serde_json::from_str(&json).map_err(|e| Error::file(path, "the record of a run", e, HELP))
    }

    /// Writes the record.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let json = serde_json::to_string_pretty(self).expect("a record is plain data");
        write_whole(path, (json + "\n").as_bytes())
    }
}

impl Weights {
    /// Describes a file that is there.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|e| Error::io(path, e, "Check its permissions."))?;
        Ok(Self { file: file_name(path), bytes: metadata.len(), sha256: sha256_of_file(path)? })
    }
}

/// The files of a run, all beside its best weights `NAME.safetensors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFiles {
    weights: PathBuf,
}

impl RunFiles {
    /// Those of the run that saves its best weights to `weights`.
    pub fn of(weights: impl AsRef<Path>) -> Self {
        Self { weights: weights.as_ref().to_owned() }
    }

    /// The best weights of the finished run.
    pub fn weights(&self) -> &Path {
        &self.weights
    }

    /// The record of the finished run, `NAME.json`.
    pub fn record(&self) -> PathBuf {
        self.weights.with_extension("json")
    }

    /// The state of an unfinished run, `NAME.state.safetensors`.
    pub fn state(&self) -> PathBuf {
        self.weights.with_extension("state.safetensors")
    }

    /// The best weights of an unfinished run so far, `NAME.state-best.safetensors`; a finished run keeps its own until
    /// the next one is finished.
    pub fn best_so_far(&self) -> PathBuf {
        self.weights.with_extension("state-best.safetensors")
    }

    /// The file that the process holds locked that trains the run, `NAME.state.lock`.
    pub fn lock(&self) -> PathBuf {
        self.weights.with_extension("state.lock")
    }

    /// Checks that nothing is there but this run, finished or not.
    ///
    /// # Errors
    /// If there are weights, a record or a state of another run.
    pub fn check_no_other_run(&self, run: &RunIdentity) -> Result<()> {
        const HELP: &str = "Move it away, or save under another name, as with `--out`.";
        if self.weights.exists() && !self.record().exists() {
            return Err(Error::file(
                &self.weights,
                "no run or the same one",
                "weights without a record",
                HELP,
            ));
        }
        if self.record().exists() {
            let record = RunRecord::load(self.record())?;
            if record.run != *run {
                let found = format!("another ({})", run.differences(&record.run).join("; "));
                return Err(Error::file(&self.weights, "no run or the same one", found, HELP));
            }
        }
        if self.state().exists() {
            let (state, _) = RunState::load(&self.state())?;
            if state.run != *run {
                let found = format!("a part of another run ({})", run.differences(&state.run).join("; "));
                return Err(Error::file(self.state(), "no run or a part of the same one", found, HELP));
            }
        }
        Ok(())
    }
}

/// A path's last component, for messages in a notebook that others read too.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
