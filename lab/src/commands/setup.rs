//! `cargo lab setup`: the Python environment, the kernel, the compiled helpers.

use crate::project::Project;
use crate::{kernel, python};
use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use kernel_helpers::files;
use std::time::{Duration, Instant};

/// Sets up what is missing and says so.
pub fn setup(project: &Project) -> Result<()> {
    ensure(project)?;
    println!(
        "Everything is set up. `cargo lab jupyter` opens the notebooks, `cargo lab doctor` shows what is where."
    );
    Ok(())
}

/// Sets up what is missing; quick and silent when nothing is.
pub fn ensure(project: &Project) -> Result<()> {
    project.check_place()?;
    let started = Instant::now();
    let spinner = ProgressBar::new_spinner()
        .with_style(ProgressStyle::with_template("{spinner} {msg} {elapsed}").expect("a valid template"));
    if !python::Environment::notebooks(project).is_current() {
        spinner.set_message("Installing JupyterLab, pandoc and Typst into .lab/venv");
        spinner.enable_steady_tick(Duration::from_millis(200));
    }
    let installed = python::Environment::notebooks(project).install();
    spinner.finish_and_clear();
    if installed? {
        eprintln!("Installed JupyterLab, pandoc and Typst into .lab/venv in {}.", seconds(started));
    }
    python::register_kernels(project)?;
    // What an export has left that was killed.
    files::sweep(&project.temporary());
    let started = Instant::now();
    if kernel::warm::build(project)? {
        eprintln!("Compiled the helpers for the notebooks in {}.", seconds(started));
    }
    Ok(())
}

fn seconds(since: Instant) -> String {
    format!("{:.0} s", since.elapsed().as_secs_f64())
}
