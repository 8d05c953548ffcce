//! `cargo lab run`: executes notebooks in place.

use super::execute::execute;
use super::setup;
use crate::notebook::{self, Notebook};
use crate::project::Project;
use crate::python::Kernelspec;
use anyhow::{Context, Result, bail};
use kernel_helpers::homework::Scale;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How to execute notebooks.
#[derive(Clone, Copy)]
pub struct Execution {
    /// How much of the data and how many epochs.
    pub scale: Scale,
    /// The seed of shuffling and augmentation.
    pub seed: u64,
    /// Whether to train what is recorded.
    pub retrain: bool,
    /// What runs the cells.
    pub kernel: Kernelspec,
}

impl Execution {
    /// Of a notebook as it is, with recorded runs where there are some.
    pub fn at(scale: Scale) -> Self {
        Execution { scale, seed: 0, retrain: false, kernel: Kernelspec::Rust }
    }

    /// The folder of the executed copies, where it is not the notebook itself that is to have the outputs.
    fn copies(&self) -> Option<String> {
        match (self.kernel, self.seed) {
            (Kernelspec::Rust, 0) => None,
            (Kernelspec::Rust, seed) => Some(format!("seed-{seed}")),
            (Kernelspec::Evcxr, 0) => Some("evcxr".to_owned()),
            (Kernelspec::Evcxr, seed) => Some(format!("evcxr-seed-{seed}")),
        }
    }
}

/// Executes the notebooks, all of them whether or not they have outputs: in place with seed 0 and the project's own kernel,
/// and otherwise copies.
pub fn run(project: &Project, names: &[PathBuf], execution: Execution) -> Result<()> {
    let notebooks = notebook::select(&project.notebooks(), names)?;
    // A broken one is told of before hours of training.
    notebooks.iter().try_for_each(|path| Notebook::read(path).map(drop))?;
    setup::ensure_with_data(project)?;
    for path in notebooks {
        let path = match execution.copies() {
            Some(folder) => copy(&path, &project.executed(&folder))?,
            None => path,
        };
        execute(project, &Notebook::read(&path)?, execution)?;
    }
    Ok(())
}

/// A copy of the notebook in `folder`.
fn copy(notebook: &Path, folder: &Path) -> Result<PathBuf> {
    let copy = folder.join(notebook.file_name().context("a notebook has a name")?);
    fs::create_dir_all(folder)
        .and_then(|()| fs::copy(notebook, &copy))
        .with_context(|| format!("could not copy {} to {}", notebook.display(), folder.display()))?;
    Ok(copy)
}

/// Runs a Python script of this command that takes files and prints only errors.
pub fn script(command: &mut Command, what: &str) -> Result<()> {
    let output = command.output().with_context(|| format!("could not start Python for {what}"))?;
    if !output.status.success() {
        bail!("{what} failed:\n{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
