//! `cargo lab run`: executes notebooks in place.

use super::{data, setup};
use crate::executions::Executions;
use crate::notebook::{self, Notebook};
use crate::project::Project;
use crate::python;
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use kernel_helpers::Scale;
use serde::Deserialize;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How to execute notebooks.
#[derive(Clone, Copy)]
pub struct Execution {
    /// How much of the data and how many epochs.
    pub scale: Scale,
    /// The seed of shuffling and augmentation.
    pub seed: u64,
    /// Whether to train what is recorded.
    pub retrain: bool,
}

impl Execution {
    /// Of a notebook as it is, with recorded runs where there are some.
    pub fn at(scale: Scale) -> Self {
        Execution { scale, seed: 0, retrain: false }
    }
}

/// Executes the notebooks, all of them whether or not they have outputs: in place with seed 0, and otherwise copies.
pub fn run(project: &Project, names: &[PathBuf], execution: Execution) -> Result<()> {
    let notebooks = notebook::select(&project.notebooks(), names)?;
    setup::ensure(project)?;
    data::ensure(project)?;
    for path in notebooks {
        let path = if execution.seed == 0 { path } else { copy(project, &path, execution.seed)? };
        execute(project, &Notebook::read(&path)?, execution)?;
    }
    Ok(())
}

/// A copy of the notebook for the outputs of another seed.
fn copy(project: &Project, notebook: &Path, seed: u64) -> Result<PathBuf> {
    let folder = project.executed(seed);
    let copy = folder.join(notebook.file_name().context("a notebook has a name")?);
    fs::create_dir_all(&folder)
        .and_then(|()| fs::copy(notebook, &copy))
        .with_context(|| format!("could not copy {} to {}", notebook.display(), folder.display()))?;
    Ok(copy)
}

/// What `execute.py` tells, one a line.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    /// The number of code cells.
    Start { cells: u64 },
    /// The cell with this number, counted from 1, begins.
    Cell { number: u64, heading: String },
    /// All cells have run and the notebook is saved.
    Done,
    /// A cell failed; the notebook is saved with the outputs up to there.
    Failed { number: u64, heading: String, source: String, error: String },
}

/// Executes one notebook and saves it with its outputs, showing which cell runs.
pub fn execute(project: &Project, notebook: &Notebook, execution: Execution) -> Result<()> {
    let Execution { scale, seed, retrain } = execution;
    let name = project.relative(notebook.path());
    let log = log_file(project, notebook.path())?;
    let mut command = python::command(project);
    if retrain {
        command.env("LAB_RETRAIN", "1");
    }
    let mut child = command
        .arg(project.python_scripts().join("execute.py"))
        .arg(notebook.path())
        .arg(notebook.execution(scale).to_string())
        .env("LAB_SCALE", scale.to_string())
        .env("LAB_SEED", seed.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&log).with_context(|| format!("could not write {}", log.display()))?)
        .spawn()
        .context("could not start Python to execute the notebook")?;
    let progress = Progress::new(&name, scale);
    let mut end = None;
    for line in BufReader::new(child.stdout.take().expect("a piped stdout")).lines() {
        let line = line.context("could not read the progress of the notebook")?;
        match serde_json::from_str(&line) {
            Ok(Event::Start { cells }) => progress.start(cells),
            Ok(Event::Cell { number, heading }) => progress.cell(number, &heading),
            Ok(event) => end = Some(event),
            Err(_) => {}
        }
    }
    let status = child.wait().context("could not wait for the notebook")?;
    progress.finish();
    match end {
        Some(Event::Done) => {
            Executions::of(project)?.add(notebook, scale)?;
            eprintln!("{name}: executed at {scale} scale in {}", progress.elapsed());
            Ok(())
        }
        Some(Event::Failed { number, heading, source, error }) => {
            bail!("{name}, code cell {number} ({heading}) failed:\n\n{}\n\n{error}", indent(&source))
        }
        _ => bail!(
            "{name} was not executed to its end ({status}):\n{}",
            fs::read_to_string(&log).unwrap_or_default().trim()
        ),
    }
}

/// Runs a Python script of this command that takes files and prints only errors.
pub fn script(command: &mut Command, what: &str) -> Result<()> {
    let output = command.output().with_context(|| format!("could not start Python for {what}"))?;
    if !output.status.success() {
        bail!("{what} failed:\n{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Where the kernel's and nbclient's own messages go, out of the progress bar's way.
fn log_file(project: &Project, notebook: &Path) -> Result<PathBuf> {
    let folder = project.installed().join("log");
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    let name = notebook.file_stem().unwrap_or_default();
    Ok(folder.join(name).with_extension("log"))
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// A bar on a terminal; a line for every heading in a log.
struct Progress {
    bar: ProgressBar,
    name: String,
    last_heading: std::cell::RefCell<String>,
}

impl Progress {
    fn new(name: &str, scale: Scale) -> Self {
        let style = "{prefix} [{bar:24}] cell {pos}/{len} {elapsed} {wide_msg}";
        let bar = ProgressBar::new(0)
            .with_style(ProgressStyle::with_template(style).expect("a valid template").progress_chars("=> "))
            .with_prefix(format!("{name} ({scale})"))
            .with_message("starting the kernel");
        bar.enable_steady_tick(Duration::from_millis(250));
        Progress { bar, name: name.to_owned(), last_heading: Default::default() }
    }

    fn start(&self, cells: u64) {
        self.bar.set_length(cells);
    }

    fn cell(&self, number: u64, heading: &str) {
        self.bar.set_position(number);
        self.bar.set_message(heading.to_owned());
        if self.bar.is_hidden() && *self.last_heading.borrow() != heading {
            eprintln!("{}: {} cell {number}: {heading}", self.name, self.elapsed());
            heading.clone_into(&mut self.last_heading.borrow_mut());
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn elapsed(&self) -> String {
        let seconds = self.bar.elapsed().as_secs();
        format!("{}:{:02}", seconds / 60, seconds % 60)
    }
}
