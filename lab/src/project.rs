//! Where the command keeps its files. All that it installs or builds lies in `.lab/`, which may be deleted at any time.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// The project's folder, the root of all paths here.
#[derive(Clone, Debug)]
pub struct Project {
    root: PathBuf,
    own: PathBuf,
}

/// Names the folder of what a user's processes write, where several users share one installation.
const OWN: &str = "LAB_OWN";

const INSTALLED: &str = ".lab";

/// What no path of the project may contain, and whose fault it is: lists of folders are divided by colons, Rust's linker puts
/// random letters in place of `%` in the names of its files, and cargo takes the members of a workspace for patterns.
const REFUSED: [(char, &str); 3] =
    [(':', "cargo and Python's environments"), ('%', "Rust's linker"), ('[', "cargo")];

impl Project {
    /// The project that the working directory is in.
    pub fn find() -> Result<Self> {
        Project::at(kernel_helpers::paths::project_root()?)
    }

    /// The project at `root`.
    pub fn at(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        let root = root.canonicalize().with_context(|| format!("{}", root.display()))?;
        let own = std::env::var_os(OWN).map_or_else(|| root.join(INSTALLED), PathBuf::from);
        Ok(Project { root, own })
    }

    /// The folder of the clone.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Fails if the project lies where what it needs from others cannot work.
    pub fn check_place(&self) -> Result<()> {
        let advice = "Move or clone the project to a folder without it in its path";
        let Some(path) = self.root.to_str() else {
            bail!("the path {} is not UTF-8, which cargo and Jupyter ask for. {advice}", self.root.display());
        };
        let refuse = |character: char, by: &str| {
            bail!("the path {path:?} contains {character:?}, with which {by} cannot work. {advice}")
        };
        if let Some(character) = path.chars().find(|character| character.is_control()) {
            return refuse(character, "cargo");
        }
        let refused = REFUSED.iter().find(|(character, _)| path.contains(*character));
        refused.map_or(Ok(()), |(character, by)| refuse(*character, by))
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

    /// All that the command installs or builds, which several users may share.
    pub fn installed(&self) -> PathBuf {
        self.root.join(INSTALLED)
    }

    /// What this user's processes write on the way: the same folder, if nobody says otherwise.
    pub fn own(&self) -> &Path {
        &self.own
    }

    /// Copies of notebooks that were executed otherwise than usual, with another seed or in the other kernel.
    pub fn executed(&self, how: &str) -> PathBuf {
        self.own.join("executed").join(how)
    }

    /// The Python environment.
    pub fn venv(&self) -> PathBuf {
        self.installed().join("venv")
    }

    /// Folders of Python's that are there only for a while.
    pub fn temporary(&self) -> PathBuf {
        self.own.join("temporary")
    }

    /// The kernel's build folder and what belongs to it.
    pub fn kernel(&self) -> PathBuf {
        self.installed().join("kernel")
    }

    /// The folders of running kernels.
    pub fn running_kernels(&self) -> PathBuf {
        self.own.join("kernel/running")
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
        let check = |root: &OsStr| Project { root: root.into(), own: root.into() }.check_place();
        for path in ["/home/a b", "/home/#{}'\"$", "/home/u\u{308}ber/é", "/C/x;y"] {
            assert!(check(OsStr::new(path)).is_ok(), "{path}");
        }
        for (path, character) in
            [("/home/a:b", "':'"), ("/home/a%20b", "'%'"), ("/home/a[1]", "'['"), ("/home/a\nb", "'\\n'")]
        {
            let message = check(OsStr::new(path)).unwrap_err().to_string();
            assert!(message.contains(character), "{message}");
        }
        let message = check(OsStr::from_bytes(b"/home/\xff")).unwrap_err().to_string();
        assert!(message.contains("UTF-8"), "{message}");
    }
}
