//! The files of runs: their names, who may write them, and how one run makes room for another.

use super::identity::RunIdentity;
use super::record::RunRecord;
use super::state::RunState;
use base::digest::{sha256, sha256_of_file};
use base::files::{self, write_whole};
use base::{Error, Result};
use nn::checkpoint::{Weights, beside, file_name, record_of};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The files of the runs that save to the same weights, `NAME.safetensors` say.
///
/// | file beside it | holds |
/// |---|---|
/// | `NAME.safetensors`, `NAME.json` | the best weights and the record of the run that was asked for last |
/// | `NAME.KEY.safetensors`, `NAME.KEY.json` | those of another finished run |
/// | `NAME.KEY.state.safetensors` | an unfinished run after its last finished epoch |
/// | `NAME.KEY.lock` | nothing: the process that trains the run has it locked |
///
/// KEY is the [`RunIdentity::key`] of the run. Weights of another name, such as `q=0.5`, have the record `q=0.5.json`.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use std::path::Path;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let files = RunFiles::of("runs/net.safetensors");
/// assert_eq!(files.record(), Path::new("runs/net.json"));
/// let run = RunIdentity::of(Procedure::Train, &net, &data, &TrainConfig::default())?.unwrap();
/// assert_eq!(files.state(&run), Path::new(&format!("runs/net.{}.state.safetensors", run.key())));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFiles {
    weights: PathBuf,
}

/// A record that is there, and where.
pub(super) struct Kept {
    pub record: RunRecord,
    pub path: PathBuf,
    pub weights: PathBuf,
}

impl Kept {
    /// Whether the weights beside the record are those that it describes.
    pub fn is_whole(&self) -> bool {
        sha256_of_file(&self.weights).is_ok_and(|sum| sum == self.record.weights.sha256)
    }
}

impl RunFiles {
    /// Those of the runs that save their best weights to `weights`.
    pub fn of(weights: impl AsRef<Path>) -> Self {
        Self { weights: weights.as_ref().to_owned() }
    }

    /// The best weights of the finished run that was asked for last.
    pub fn weights(&self) -> &Path {
        &self.weights
    }

    /// The record of that run.
    pub fn record(&self) -> PathBuf {
        record_of(&self.weights)
    }

    /// The state of an unfinished run.
    pub fn state(&self, run: &RunIdentity) -> PathBuf {
        beside(&self.weights, &format!(".{}.state.safetensors", run.key()))
    }

    /// The states of all unfinished runs that are there.
    pub(super) fn states(&self) -> Vec<PathBuf> {
        self.keyed(".state.safetensors")
    }

    fn lock_file(&self, run: &RunIdentity) -> PathBuf {
        beside(&self.weights, &format!(".{}.lock", run.key()))
    }

    /// Takes a run for this call alone, until the value is dropped, with the process at the latest.
    ///
    /// # Errors
    /// If the run is being trained, or the folder cannot be written.
    pub(super) fn lock(&self, run: &RunIdentity) -> Result<File> {
        let path = self.lock_file(run);
        files::try_lock(&path)?.ok_or_else(|| {
            Error::file(
                &path,
                "the run for this call alone",
                "another notebook or command that trains it",
                "Wait for its end, or save to another file.",
            )
        })
    }

    /// Removes what is left of an unfinished run that has been finished.
    pub(super) fn remove_unfinished(&self, run: &RunIdentity) -> Result<()> {
        files::remove(self.state(run))?;
        self.remove_lock(run)
    }

    /// Removes what a process has left of a finished run that died just before it would have done so: its state, and
    /// copies of its weights without a record, under the run's key or, where they made room before they had one, under
    /// their sum. A state that lacks epochs is another matter: somebody has begun to train the run anew.
    pub(super) fn remove_finished(&self, record: &RunRecord) -> Result<()> {
        let (run, sum) = (&record.run, &record.weights.sha256);
        for name in [&run.key(), &sum[..8]] {
            let copy = beside(&self.weights, &format!(".{name}.safetensors"));
            if copy.exists() {
                let _folder = files::lock_folder(files::folder_of(&self.weights))?;
                if !record_of(&copy).exists() && sha256_of_file(&copy)? == *sum {
                    files::remove(&copy)?;
                }
            }
        }
        let is_finished =
            |(state, _): (RunState, _)| state.run == *run && state.history.epochs.len() == run.epochs;
        if (self.state(run).exists() || self.lock_file(run).exists())
            && let Some(_lock) = files::try_lock(&self.lock_file(run))?
        {
            if self.state(run).exists() && RunState::load(&self.state(run)).is_ok_and(is_finished) {
                files::remove(self.state(run))?;
            }
            self.remove_lock(run)?;
        }
        Ok(())
    }

    /// Removes the file that says that a run is being trained; by who has it locked.
    pub(super) fn remove_lock(&self, run: &RunIdentity) -> Result<()> {
        files::remove(self.lock_file(run))
    }

    /// The record of the run that was asked for last, if there is one.
    ///
    /// # Errors
    /// If there is a file of its name that is not the record of these weights.
    pub(super) fn last(&self) -> Result<Option<Kept>> {
        let path = self.record();
        if !path.exists() {
            return Ok(None);
        }
        let record = RunRecord::load(&path)?;
        if record.weights.file != file_name(&self.weights) {
            return Err(Error::file(
                &path,
                format!("the record of {}", file_name(&self.weights)),
                format!("that of {}", record.weights.file),
                "Save the weights under another name.",
            ));
        }
        Ok(Some(Kept { record, path, weights: self.weights.clone() }))
    }

    /// The records of the other finished runs, as far as they can be read.
    pub(super) fn others(&self) -> Vec<Kept> {
        let records = self.keyed(".json").into_iter();
        let kept = records.filter_map(|path| {
            let record = RunRecord::load(&path).ok()?;
            Some(Kept { record, weights: path.with_extension("safetensors"), path })
        });
        kept.collect()
    }

    /// Makes a finished run the one that was asked for last. Returns where the one before it is now, if there was one.
    ///
    /// # Errors
    /// If a file cannot be read or written; what was there is then still there.
    pub(super) fn bring_back(&self, kept: &Kept) -> Result<Option<PathBuf>> {
        let _folder = files::lock_folder(files::folder_of(&self.weights))?;
        let moved = self.make_room(Some((&kept.record.run, &kept.record.weights.sha256)))?;
        self.put(&files::read(&kept.weights)?, |weights| RunRecord { weights, ..kept.record.clone() })?;
        files::remove(&kept.path)?;
        files::remove(&kept.weights)?;
        Ok(moved)
    }

    /// Puts the best weights of a run that has just been finished into their place, and its record beside them. Returns
    /// the record, and where that of the run before it is now, if there was one.
    ///
    /// # Errors
    /// If a file cannot be read or written; what was there is then still there.
    pub(super) fn finish(
        &self,
        run: &RunIdentity,
        weights: &[u8],
        record: impl FnOnce(Weights) -> RunRecord,
    ) -> Result<(RunRecord, Option<PathBuf>)> {
        let _folder = files::lock_folder(files::folder_of(&self.weights))?;
        let moved = self.make_room(Some((run, &sha256(weights))))?;
        Ok((self.put(weights, record)?, moved))
    }

    /// Keeps a run that is there under a name of its own, for weights that are not recorded to take its place. Returns
    /// where it is now.
    ///
    /// # Errors
    /// If a file cannot be read or written; what was there is then still there.
    pub(super) fn keep_recorded(&self) -> Result<Option<PathBuf>> {
        let _folder = files::lock_folder(files::folder_of(&self.weights))?;
        if self.record().exists() { self.make_room(None) } else { Ok(None) }
    }

    fn put(&self, weights: &[u8], record: impl FnOnce(Weights) -> RunRecord) -> Result<RunRecord> {
        write_whole(&self.weights, weights)?;
        let record = record(Weights::of(&self.weights)?);
        record.save(self.record())?;
        Ok(record)
    }

    /// Keeps what is in the place of a new run's weights under a name of its own: a finished run under its key, weights
    /// that are not recorded under the start of their sum. All is copied before the record goes, and the weights are
    /// replaced after that: at no instant is a run nowhere, or a record beside weights that are not its own.
    fn make_room(&self, new: Option<(&RunIdentity, &str)>) -> Result<Option<PathBuf>> {
        let found = if self.weights.exists() { Some(sha256_of_file(&self.weights)?) } else { None };
        let (others, last) = (self.others(), self.last()?);
        let is_kept =
            |sum: &str| others.iter().any(|kept| kept.record.weights.sha256 == sum && kept.is_whole());
        let mut moved = None;
        if let Some(Kept { record, path, .. }) = &last {
            let sum = &record.weights.sha256;
            if found.as_ref() == Some(sum) && new == Some((&record.run, sum)) {
                return Ok(None);
            }
            let twice = others.iter().any(|kept| kept.record.run == record.run && is_kept(sum));
            if !twice {
                let to = self.free(&record.run.key(), sum)?;
                if found.as_ref() == Some(sum) {
                    write_whole(&to, &files::read(&self.weights)?)?;
                }
                let weights = Weights { file: file_name(&to), ..record.weights.clone() };
                RunRecord { weights, ..record.clone() }.save(record_of(&to))?;
                moved = Some(record_of(&to));
            }
            files::remove(path)?;
        }
        match found {
            // Weights without a record that are neither the new ones, nor kept already.
            Some(found)
                if last.is_none_or(|last| last.record.weights.sha256 != found)
                    && new.is_none_or(|(_, new)| new != found)
                    && !is_kept(&found) =>
            {
                let to = self.free(&found[..8], &found)?;
                write_whole(&to, &files::read(&self.weights)?)?;
                Ok(moved.or(Some(to)))
            }
            _ => Ok(moved),
        }
    }

    /// Where weights with this sum can be kept: under the key, or with a number behind it if others are there.
    fn free(&self, key: &str, sum: &str) -> Result<PathBuf> {
        for number in 1.. {
            let number = if number == 1 { String::new() } else { format!("-{number}") };
            let path = beside(&self.weights, &format!(".{key}{number}.safetensors"));
            if !path.exists() && !record_of(&path).exists() || path.exists() && sha256_of_file(&path)? == sum
            {
                return Ok(path);
            }
        }
        unreachable!("numbers do not end")
    }

    /// The files beside the weights whose names have a key between the weights' name and this end.
    fn keyed(&self, end: &str) -> Vec<PathBuf> {
        let start = file_name(&beside(&self.weights, "."));
        let is_key = |text: &str| {
            let (key, number) = text.split_once('-').unwrap_or((text, "1"));
            key.len() == 8
                && key.bytes().all(|byte| byte.is_ascii_hexdigit())
                && number.parse::<u32>().is_ok()
        };
        let entries = std::fs::read_dir(files::folder_of(&self.weights)).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name()).filter(|name| {
            let name = name.to_string_lossy();
            name.strip_prefix(&start).and_then(|rest| rest.strip_suffix(end)).is_some_and(is_key)
        });
        let mut paths: Vec<PathBuf> = names.map(|name| self.weights.with_file_name(name)).collect();
        paths.sort();
        paths
    }
}
