//! The execution of one notebook, by the Python script `execute.py`.

use super::run::Execution;
use crate::executions::Executions;
use crate::notebook::Notebook;
use crate::project::Project;
use crate::python::{self, Kernelspec};
use crate::stop::Stop;
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use kernel_helpers::homework::Scale;
use serde::Deserialize;
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What `execute.py` tells, one a line.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    /// The number of code cells.
    Start { cells: u64 },
    /// This cell begins.
    Cell(Place),
    /// The run is to end; the cell has some seconds to do so.
    Stopping,
    /// The run was ended in this cell, and the notebook is saved with the outputs up to there; or before the first cell.
    Stopped {
        #[serde(flatten)]
        place: Option<Place>,
    },
    /// All cells have run and the notebook is saved.
    Done,
    /// The cells that wrote to standard error.
    Complaints { cells: Vec<u64> },
    /// A cell failed; the notebook is saved with the outputs up to there.
    Failed {
        #[serde(flatten)]
        place: Place,
        source: String,
        error: String,
    },
    /// It is not a notebook.
    Broken { error: String },
}

/// A code cell by its number, counted from 1, and the heading that it stands under.
#[derive(Deserialize)]
struct Place {
    number: u64,
    heading: String,
}

/// Executes one notebook and saves it with its outputs, showing which cell runs.
pub fn execute(project: &Project, notebook: &Notebook, execution: Execution) -> Result<()> {
    let name = project.relative(notebook.path());
    let log = log_file(project, notebook.path())?;
    let mut child = command(project, notebook, execution)
        .stderr(File::create(&log).with_context(|| format!("could not write {}", log.display()))?)
        .spawn()
        .context("could not start Python to execute the notebook")?;
    let stop = Stop::of(&mut child)?;
    let progress = Progress::new(&name, execution.scale);
    let end = follow(child.stdout.take().expect("a piped stdout"), execution.kernel, &progress)?;
    let status = child.wait().context("could not wait for the notebook")?;
    progress.finish();
    if let Some(Event::Stopped { place }) = &end {
        eprintln!("{name} {}", stopped(place.as_ref()));
    }
    stop.python_has_ended();
    match end {
        Some(Event::Done) => {
            eprintln!("{name}: executed at {} scale in {}", execution.scale, progress.elapsed());
            match execution.kernel {
                Kernelspec::Rust => Executions::of(project)?.add(notebook, execution.scale),
                // Its outputs count for nothing else.
                Kernelspec::Evcxr => Ok(()),
            }
        }
        Some(Event::Failed { place, source, error }) => {
            bail!("{name}, {place} failed:\n\n{}\n\n{error}", indent(&source))
        }
        Some(Event::Broken { error }) => bail!(error),
        Some(Event::Stopped { .. }) => bail!("{name} was not executed to its end"),
        _ => bail!(
            "{name} was not executed to its end ({status}):\n{}",
            fs::read_to_string(&log).unwrap_or_default().trim()
        ),
    }
}

fn command(project: &Project, notebook: &Notebook, execution: Execution) -> Command {
    let mut command = python::command(project);
    if execution.retrain {
        command.env("LAB_RETRAIN", "1");
    }
    command
        .arg(project.python_scripts().join("execute.py"))
        .arg(notebook.path())
        .arg(execution.kernel.name())
        .arg(notebook.execution(execution.scale).to_string())
        .env("LAB_SCALE", execution.scale.to_string())
        .env("LAB_SEED", execution.seed.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Ctrl-C in a terminal comes to this process alone, which tells Python in its own way.
        .process_group(0);
    command
}

/// Shows what Python tells until it has ended, and returns how the notebook did.
fn follow(told: impl Read, kernel: Kernelspec, progress: &Progress) -> Result<Option<Event>> {
    let mut end = None;
    for line in BufReader::new(told).lines() {
        let line = line.context("could not read the progress of the notebook")?;
        // The kernel's own messages come the same way.
        match serde_json::from_str(&line) {
            Ok(Event::Start { cells }) => progress.start(cells),
            Ok(Event::Cell(place)) => progress.cell(&place),
            Ok(Event::Stopping) => progress.stopping(),
            Ok(Event::Complaints { cells }) if kernel == Kernelspec::Evcxr => {
                progress.bar.suspend(|| warn_of(&cells));
            }
            Ok(Event::Complaints { .. }) => {}
            Ok(event) => end = Some(event),
            Err(_) => {}
        }
    }
    Ok(end)
}

fn stopped(place: Option<&Place>) -> String {
    match place {
        Some(place) => format!("was stopped in {place}; its outputs so far are saved"),
        None => "was stopped before its first cell, and is as it was".to_owned(),
    }
}

/// evcxr_jupyter reports a cell that ended by `?` or by a panic as executed, so all that can be told of it is this.
fn warn_of(cells: &[u64]) {
    if !cells.is_empty() {
        let cells = cells.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        eprintln!(
            "Code cells that wrote to standard error: {cells}. evcxr_jupyter does not tell whether one of them failed: \
             it shows `?` and panics that way, and goes on."
        );
    }
}

/// Where the kernel's and nbclient's own messages go, out of the progress bar's way.
fn log_file(project: &Project, notebook: &Path) -> Result<PathBuf> {
    let folder = project.own().join("log");
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    let name = notebook.file_stem().unwrap_or_default();
    Ok(folder.join(name).with_extension("log"))
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Place { number, heading } = self;
        if heading.is_empty() {
            return write!(f, "code cell {number}");
        }
        write!(f, "code cell {number} ({heading})")
    }
}

/// A bar on a terminal; a line for every heading in a log.
struct Progress {
    bar: ProgressBar,
    name: String,
    last_heading: RefCell<String>,
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

    fn cell(&self, place: &Place) {
        let Place { number, heading } = place;
        self.bar.set_position(*number);
        self.bar.set_message(heading.clone());
        if self.bar.is_hidden() && *self.last_heading.borrow() != *heading {
            eprintln!("{}: {} cell {number}: {heading}", self.name, self.elapsed());
            heading.clone_into(&mut self.last_heading.borrow_mut());
        }
    }

    fn stopping(&self) {
        let message = "stopping; a second Ctrl-C ends the run at once, without saving";
        self.bar.set_message(message);
        if self.bar.is_hidden() {
            eprintln!("{}: {message}", self.name);
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
