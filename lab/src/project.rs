//! Where the command keeps its files. All that it installs or builds lies in `.lab/`, which may be deleted at any time.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The project's folder, the root of all paths here.
#[derive(Clone, Debug)]
pub struct Project {
    root: PathBuf,
}

impl Project {
    /// The project that the working directory is in.
    pub fn find() -> Result<Self> {
        Ok(Project { root: kernel_helpers::paths::project_root()? })
    }

    /// The project at `root`.
    pub fn at(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        let root = root.canonicalize().with_context(|| format!("{}", root.display()))?;
        Ok(Project { root })
    }

    /// The folder of the clone.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The notebooks.
    pub fn notebooks(&self) -> PathBuf {
        self.root.join("notebooks")
    }

    /// Python scripts of this command.
    pub fn python_scripts(&self) -> PathBuf {
        self.root.join("lab/python")
    }

    /// JupyterLab's settings, where they differ from its defaults.
    pub fn jupyter_settings(&self) -> PathBuf {
        self.root.join("lab/jupyter")
    }

    /// All that the command installs or builds.
    pub fn installed(&self) -> PathBuf {
        self.root.join(".lab")
    }

    /// Copies of notebooks that were executed otherwise than usual, with another seed or in the other kernel.
    pub fn executed(&self, how: &str) -> PathBuf {
        self.installed().join("executed").join(how)
    }

    /// The Python environment.
    pub fn venv(&self) -> PathBuf {
        self.installed().join("venv")
    }

    /// The kernel's build folders.
    pub fn kernel(&self) -> PathBuf {
        self.installed().join("kernel")
    }

    /// `path` as the user would type it from the project's folder.
    pub fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}
