//! `cargo lab setup`: the Python environment, the kernel, the compiled helpers.

use super::data;
use crate::progress::{say, spinner};
use crate::project::Project;
use crate::{kernel, python};
use anyhow::{Context, Result};
use kernel_helpers::files;
use std::time::Instant;

/// Sets up what is missing and says so.
pub fn setup(project: &Project) -> Result<()> {
    ensure(project)?;
    println!(
        "Everything is set up. `cargo lab jupyter` opens the notebooks, `cargo lab doctor` shows what is where."
    );
    Ok(())
}

/// Sets up what is missing, and fetches the data meanwhile; quick and silent when all is there.
pub fn ensure_with_data(project: &Project) -> Result<()> {
    project.check_place()?;
    std::thread::scope(|scope| {
        let data = scope.spawn(|| data::ensure(project));
        let set_up = ensure(project);
        set_up.and(data.join().expect("fetching does not panic"))
    })
}

/// Sets up what is missing; quick and silent when nothing is.
pub fn ensure(project: &Project) -> Result<()> {
    project.check_place()?;
    // Its packages come from elsewhere while the processors compile.
    std::thread::scope(|scope| {
        let packages = scope.spawn(|| install(project));
        let compiled = compile(project);
        compiled.and(packages.join().expect("installing does not panic"))
    })
}

fn install(project: &Project) -> Result<()> {
    let environment = python::Environment::notebooks(project);
    if !environment.is_current() {
        let started = Instant::now();
        let spinner = spinner("Installing JupyterLab, pandoc and Typst into .lab/venv");
        let installed = environment.install();
        spinner.finish_and_clear();
        if installed? {
            say(format_args!(
                "Installed JupyterLab, pandoc and Typst into .lab/venv in {}.",
                seconds(started)
            ));
        }
    }
    python::register_kernels(project)?;
    // What an export has left that was killed.
    files::sweep(&project.temporary());
    Ok(())
}

fn compile(project: &Project) -> Result<()> {
    let started = Instant::now();
    if kernel::warm::build(project).context("the helpers for the notebooks")? {
        say(format_args!("Compiled the helpers for the notebooks in {}.", seconds(started)));
    }
    Ok(())
}

fn seconds(since: Instant) -> String {
    format!("{:.0} s", since.elapsed().as_secs_f64())
}
