//! A sweep: one run for each combination of some values, as a file describes it.
//!
//! A run is told by its record alone, wherever it was made, so that engines need to know nothing of each other, a sweep that is
//! interrupted goes on where it was, and one that grows makes only what is new.

mod description;
pub mod engine;
mod hyperqueue;
mod local;
mod slurm;
mod watch;

pub use watch::watch;

use crate::project::Project;
use anyhow::{Context, Result, bail, ensure};
use description::Description;
use kernel_helpers::homework::Scale;
use kernel_helpers::runs::{RunRecord, SweepResults, SweepRun};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A sweep, as its file has it.
pub struct Sweep {
    /// The file's name without its ending.
    pub name: String,
    /// The names of what varies.
    pub axes: Vec<String>,
    /// The runs, the last axis varying fastest.
    pub rows: Vec<Row>,
    /// How much of the data and how many epochs.
    pub scale: Scale,
    /// How many threads a run computes with; all there are if not said.
    pub threads: Option<usize>,
    /// What `sbatch` is told.
    pub slurm: Vec<String>,
}

/// One run of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The values that make it up, such as `bits=2,seed=1`.
    pub name: String,
    /// The value on each axis.
    pub values: Vec<String>,
    /// The command as people type it, word by word.
    pub command: Vec<String>,
    /// Where its record is, once it is finished.
    pub record: PathBuf,
}

impl Sweep {
    /// Reads the file of a sweep. `record_of` tells the record of a command that begins with `cargo lab`, whose other words it
    /// gets.
    pub fn read(
        project: &Project,
        path: &Path,
        record_of: impl Fn(&[String], Scale) -> Result<PathBuf>,
    ) -> Result<Self> {
        let name = path.file_stem().and_then(|name| name.to_str()).context("a sweep is a file NAME.toml")?;
        let sweep = Description::read(path).and_then(|description| {
            let mut rows = Vec::new();
            for (values, command, record) in description.combinations()? {
                let record = match (own_words(&command), record) {
                    (Some(words), None) => record_of(words, description.scale)
                        .with_context(|| format!("`{}`", command.join(" ")))?,
                    (None, Some(record)) => project.root().join(record),
                    (Some(_), Some(_)) => bail!("`record` is for programs of your own: remove it"),
                    (None, None) => bail!(
                        "`{}` is a program of your own: say with `record = \"…\"` where the record of its run is",
                        command[0]
                    ),
                };
                let named = description.axes.keys().zip(&values).map(|(axis, value)| format!("{axis}={value}"));
                rows.push(Row { name: named.collect::<Vec<_>>().join(","), values, command, record });
            }
            let mut records = HashSet::new();
            if let Some(row) = rows.iter().find(|row| !records.insert(row.record.clone())) {
                bail!("two runs would have the record {}: name each value in it", row.record.display());
            }
            Ok(Sweep {
                name: name.to_owned(),
                axes: description.axes.keys().cloned().collect(),
                rows,
                scale: description.scale,
                threads: description.threads,
                slurm: description.slurm.options,
            })
        });
        sweep.with_context(|| format!("{} is not a sweep", path.display()))
    }

    /// The runs that are not finished.
    pub fn unfinished(&self) -> Vec<&Row> {
        self.rows.iter().filter(|row| !row.is_finished()).collect()
    }

    /// What the finished runs have come to.
    pub fn results(&self) -> Result<SweepResults> {
        let finished = self.rows.iter().filter(|row| row.is_finished());
        let runs = finished.map(|row| {
            let record = RunRecord::load(&row.record)?;
            Ok(SweepRun::new(row.values.clone(), row.command.join(" "), &record))
        });
        let runs = runs.collect::<Result<Vec<_>>>()?;
        Ok(SweepResults::new(&self.axes, runs, self.rows.len()))
    }
}

impl Row {
    /// Whether its record is there.
    pub fn is_finished(&self) -> bool {
        self.record.is_file()
    }

    /// The command as a program and its arguments: of `cargo lab`, this executable, so that runs of a sweep neither wait for
    /// cargo nor meet another version.
    pub fn program(&self) -> Result<Vec<String>> {
        let Some(words) = own_words(&self.command) else { return Ok(self.command.clone()) };
        let lab = std::env::current_exe().context("could not find this executable")?;
        let lab = lab.to_str().context("the path of this executable is not UTF-8")?.to_owned();
        Ok([lab].into_iter().chain(words.iter().cloned()).collect())
    }

    /// Its name, as the name of a file.
    pub fn file_name(&self) -> String {
        let allowed = |character: char| character.is_alphanumeric() || "=,.-+".contains(character);
        self.name.chars().map(|character| if allowed(character) { character } else { '_' }).collect()
    }
}

/// The words behind `cargo lab`.
fn own_words(command: &[String]) -> Option<&[String]> {
    command.strip_prefix(&["cargo".to_owned(), "lab".to_owned()])
}

/// What the runs find in their environment: settings of this process that say where things are, and what the sweep sets.
pub fn environment(sweep: &Sweep) -> Vec<(String, String)> {
    let places = ["LAB_DATA", "LAB_CHECKPOINTS", "KERNEL_HELPERS_ISA"];
    let places = places.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let threads = sweep.threads.map(|threads| ("RAYON_NUM_THREADS".to_owned(), threads.to_string()));
    places.chain([("LAB_SCALE".to_owned(), sweep.scale.to_string())]).chain(threads).collect()
}

/// Where the logs of a sweep's runs are, and what an engine has to remember.
pub fn folder(project: &Project, sweep: &Sweep) -> Result<PathBuf> {
    let folder = project.own().join("sweeps").join(&sweep.name);
    std::fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    Ok(folder)
}

/// Fails where an engine that shares machines has to know how much of one a run takes.
fn threads(sweep: &Sweep, engine: &str) -> Result<usize> {
    let threads = sweep.threads.unwrap_or_default();
    ensure!(
        threads > 0,
        "{engine} has to know how many threads a run takes: add `threads = 2`, or another number"
    );
    Ok(threads)
}

/// What a run that did not finish said last.
pub fn last_words(project: &Project, sweep: &Sweep, row: &Row) -> Result<String> {
    let log = local::log(&folder(project, sweep)?, row);
    let line = watch::last_line(&log).unwrap_or_else(|| "nothing was said".to_owned());
    Ok(format!("{line} ({})", project.relative(&log)))
}
