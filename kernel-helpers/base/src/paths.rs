//! Where the project keeps its files, found from wherever a notebook or a command runs.

use crate::{Error, Result};
use std::path::PathBuf;

/// The project's folder: the nearest one upwards from the working directory that holds `kernel-helpers/Cargo.toml`.
///
/// ```
/// use kernel_helpers::paths::project_root;
///
/// assert!(project_root()?.join("notebooks").is_dir());
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If no folder upwards is the project's.
pub fn project_root() -> Result<PathBuf> {
    let here = std::env::current_dir().map_err(|e| Error::io(".", e, "Start from the project's folder."))?;
    let root = here.ancestors().find(|folder| folder.join("kernel-helpers/Cargo.toml").is_file());
    root.map(PathBuf::from).ok_or_else(|| {
        Error::file(
            &here,
            "a folder inside the project",
            "no `kernel-helpers` here or above",
            "Start from the project's folder.",
        )
    })
}

/// The folder of the CIFAR-10 files: `data/` in the project, or what the environment variable `LAB_DATA` names, from
/// the project's folder on if that is not an absolute path.
///
/// ```
/// use kernel_helpers::paths::{data_dir, project_root};
///
/// // Without LAB_DATA.
/// assert_eq!(data_dir()?, project_root()?.join("data"));
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If the project's folder is not found.
pub fn data_dir() -> Result<PathBuf> {
    folder("LAB_DATA", "data")
}

/// The folder of weights and results: `checkpoints/` in the project, or what the environment variable
/// `LAB_CHECKPOINTS` names, from the project's folder on if that is not an absolute path.
///
/// ```
/// use kernel_helpers::paths::project_root;
/// use kernel_helpers::prelude::*;
///
/// // Without LAB_CHECKPOINTS.
/// assert_eq!(checkpoints_dir()?, project_root()?.join("checkpoints"));
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If the project's folder is not found.
pub fn checkpoints_dir() -> Result<PathBuf> {
    folder("LAB_CHECKPOINTS", "checkpoints")
}

fn folder(variable: &str, name: &str) -> Result<PathBuf> {
    from_project(std::env::var_os(variable).map_or_else(|| PathBuf::from(name), PathBuf::from))
}

/// An absolute path as it is, another from the project's folder on: a notebook runs in another folder than a command.
fn from_project(path: PathBuf) -> Result<PathBuf> {
    if path.is_absolute() { Ok(path) } else { Ok(project_root()?.join(path)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_folder_is_one_of_the_project() {
        // Tests run in the package's folder.
        let root = std::env::current_dir().unwrap().ancestors().nth(2).unwrap().to_owned();
        assert_eq!(from_project("runs/a".into()).unwrap(), root.join("runs/a"));
        let absolute = root.join("elsewhere");
        assert_eq!(from_project(absolute.clone()).unwrap(), absolute);
    }
}
