//! Where the command keeps its files. All that it installs or builds lies in `.lab/`, which may be deleted at any time.

use anyhow::{Context, Result, bail};
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

    /// Fails if the project lies where what it needs from others cannot work: cargo and Python's environments put their
    /// folders into lists that are divided by colons, and Jupyter and cargo write paths as lines of text.
    pub fn check_place(&self) -> Result<()> {
        let root = self.root.display();
        let advice = "Move or clone the project to a folder without it in its path";
        let Some(path) = self.root.to_str() else {
            bail!("the path {root} is not UTF-8, which cargo and Jupyter ask for. {advice}");
        };
        match path.chars().find(|&character| character == ':' || character.is_control()) {
            Some(character) => bail!(
                "the path {path:?} contains the character {character:?}, with which neither cargo nor Python's \
                 environments work. {advice}"
            ),
            None => Ok(()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_place_where_nothing_works_is_named_with_its_character() {
        let check = |root: &OsStr| Project { root: root.into() }.check_place();
        for path in ["/home/a b", "/home/#%20{}'\"$", "/home/u\u{308}ber/é", "/C/x;y"] {
            assert!(check(OsStr::new(path)).is_ok(), "{path}");
        }
        for (path, character) in [("/home/a:b", "':'"), ("/home/a\nb", "'\\n'")] {
            let message = check(OsStr::new(path)).unwrap_err().to_string();
            assert!(message.contains(character), "{message}");
        }
        let message = check(OsStr::from_bytes(b"/home/\xff")).unwrap_err().to_string();
        assert!(message.contains("UTF-8"), "{message}");
    }
}
