//! What the project keeps on this disk, part by part.

use crate::project::Project;
use anyhow::{Context, Result};
use kernel_helpers::paths::{checkpoints_dir, data_dir};
use std::fs;
use std::path::{Path, PathBuf};

/// A part that can be removed and comes back.
pub struct Part {
    /// What it is asked for by.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// What brings it back.
    pub again: &'static str,
    /// Its folders, those that are there.
    pub folders: Vec<PathBuf>,
}

/// All parts, the largest ones first as a rule.
pub fn parts(project: &Project) -> Result<Vec<Part>> {
    let root = project.root();
    let installed = |name: &str| project.installed().join(name);
    let part = |name, what, again, folders: Vec<PathBuf>| Part {
        name,
        what,
        again,
        folders: folders.into_iter().filter(|folder| folder.is_dir()).collect(),
    };
    Ok(vec![
        part(
            "compiled",
            "the command, the library and the tests, compiled",
            "the next command compiles what it needs, for some 10 minutes",
            vec![root.join("target")],
        ),
        part(
            "kernel",
            "the helpers compiled for notebooks",
            "the next notebook compiles them, for a minute or three",
            vec![project.kernel()],
        ),
        part(
            "packages",
            "JupyterLab and the PDF tools",
            "the next notebook installs them, from the network",
            vec![project.venv()],
        ),
        part(
            "grading",
            "nbgrader",
            "`cargo lab assignment` and `grade` install it, from the network",
            vec![installed("grading")],
        ),
        part(
            "hyperqueue",
            "HyperQueue's Python package",
            "`cargo lab sweep --engine hyperqueue` installs it, from the network",
            vec![installed("hyperqueue")],
        ),
        part(
            "logs",
            "logs of sweeps, notebooks executed in other ways, temporary files, Jupyter's own",
            "nothing does, and nothing needs them",
            ["sweeps", "executed", "temporary", "jupyter"].map(|name| project.own().join(name)).to_vec(),
        ),
        part(
            "trials",
            "runs and results of quick and tiny scale, and of generated pictures",
            "`cargo lab run --quick` makes them anew",
            trials(&checkpoints_dir()?),
        ),
        part("data", "CIFAR-10", "`cargo lab data` fetches it, from the network", vec![data_dir()?]),
    ])
}

/// The folders of runs that are not the homework's: in each model's folder those of other scales and of generated pictures.
fn trials(checkpoints: &Path) -> Vec<PathBuf> {
    let models = fs::read_dir(checkpoints).into_iter().flatten().flatten();
    models.flat_map(|model| ["quick", "tiny", "generated"].map(|name| model.path().join(name))).collect()
}

impl Part {
    /// How many bytes it takes. A file with several names counts once for each.
    pub fn bytes(&self) -> u64 {
        self.folders.iter().map(|folder| bytes_in(folder)).sum()
    }

    /// Removes it.
    pub fn remove(&self) -> Result<()> {
        self.folders.iter().try_for_each(|folder| {
            fs::remove_dir_all(folder).with_context(|| format!("could not remove {}", folder.display()))
        })
    }
}

/// The size of all files below a folder, as far as they can be looked at.
fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
