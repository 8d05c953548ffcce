//! The record of a finished run.

use super::identity::RunIdentity;
use super::{EpochRecord, History};
use crate::machine::Machine;
use base::digest::sha256;
use base::files::{self, write_whole};
use base::{Error, Result};
use nn::checkpoint::Weights;
use nn::graph::NUMERICS;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How a finished run came about and how it went, beside its weights as JSON.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// # let folder = tempfile::tempdir().unwrap();
/// let weights = folder.path().join("net.safetensors");
/// let config = TrainConfig { epochs: 2, save_to: Some(weights.clone()), ..Default::default() };
/// let history = train(&net, &data, &config)?;
/// let record = RunRecord::load(RunFiles::of(&weights).record())?;
/// assert_eq!((record.run.epochs, record.run.procedure), (2, Procedure::Train));
/// assert_eq!(record.last.as_ref(), history.last());
/// # Ok::<(), Error>(())
/// ```
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
    /// The version of the helpers.
    pub version: String,
    /// The [`NUMERICS`] that the run was computed with, where they are known; of a resumed run, at its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numerics: Option<u32>,
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
    /// The SHA-256 sum of all the rest, in the form that [`Self::save`] writes but without line breaks and spaces.
    /// Absent from what the first version wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}

impl RunRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// If the file cannot be read, holds something else, or was altered since it was written.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        const HELP: &str = "Move it away, or save the weights under another name.";
        let path = path.as_ref();
        let not_a_record = |found: String| Error::file(path, "the record of a run", found, HELP);
        let record: Self =
            serde_json::from_slice(&files::read(path)?).map_err(|e| not_a_record(e.to_string()))?;
        match &record.checksum {
            Some(checksum) if *checksum != record.sum() => {
                Err(not_a_record("one that was altered since it was written".to_owned()))
            }
            _ => Ok(record),
        }
    }

    /// Writes the record with its checksum.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let whole = Self { checksum: Some(self.sum()), ..self.clone() };
        let json = serde_json::to_string_pretty(&whole).expect("a record is plain data");
        write_whole(path, (json + "\n").as_bytes())
    }

    fn sum(&self) -> String {
        let rest = Self { checksum: None, ..self.clone() };
        sha256(&serde_json::to_vec(&rest).expect("a record is plain data"))
    }

    /// What has to be said of a record's numerics, if they are not today's.
    pub(super) fn numerics_note(&self) -> Option<String> {
        let numerics = self.numerics.filter(|numerics| *numerics < NUMERICS)?;
        Some(format!(
            "computed with numerics {numerics}, where today's are {NUMERICS}: the last digits can differ"
        ))
    }
}
