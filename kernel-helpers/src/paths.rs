//! Where the project keeps its files, found from wherever a notebook or a command runs.

use crate::data::GENERATED_MARKER;
use crate::{Error, Result, Scale};
use std::path::PathBuf;

/// The project's folder: the nearest one upwards from the working directory that holds `kernel-helpers/Cargo.toml`.
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

/// The folder of the CIFAR-10 files: `data/` in the project, or what the environment variable `LAB_DATA` names, from the
/// project's folder on if that is not an absolute path.
///
/// # Errors
/// If the project's folder is not found.
pub fn data_dir() -> Result<PathBuf> {
    folder("LAB_DATA", "data")
}

/// The folder of weights and results: `checkpoints/` in the project, or what the environment variable
/// `LAB_CHECKPOINTS` names, from the project's folder on if that is not an absolute path.
///
/// # Errors
/// If the project's folder is not found.
pub fn checkpoints_dir() -> Result<PathBuf> {
    folder("LAB_CHECKPOINTS", "checkpoints")
}

/// Where the runs that start from the [`pretrained_model`] save: the folder of its name in the checkpoints folder, such as
/// `checkpoints/resnet20`, at full scale and with seed 0, and otherwise `quick`, `seed-1` or `quick/seed-1` in it, on the
/// generated stand-in for CIFAR-10 all of this in `generated`, so that no run replaces another.
///
/// # Errors
/// If there are no pretrained weights, or the folder is not there and cannot be made.
pub fn output_dir(scale: Scale, seed: u64) -> Result<PathBuf> {
    let mut folder = pretrained_model()?.with_extension("");
    if data_dir()?.join(GENERATED_MARKER).exists() {
        folder.push("generated");
    }
    if scale != Scale::Full {
        folder.push(scale.to_string());
    }
    if seed != 0 {
        folder.push(format!("seed-{seed}"));
    }
    std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e, "Check the folder's permissions."))?;
    Ok(folder)
}

/// The pretrained weights that the labs start from: the course's `pretrained_model.pt` if it lies in the checkpoints
/// folder, this project's own `resnet20.safetensors` otherwise.
///
/// # Errors
/// If neither file is there.
pub fn pretrained_model() -> Result<PathBuf> {
    let folder = checkpoints_dir()?;
    let candidates = ["pretrained_model.pt", "resnet20.safetensors"].map(|name| folder.join(name));
    candidates.into_iter().find(|file| file.is_file()).ok_or_else(|| {
        Error::file(
            &folder,
            "`pretrained_model.pt` or `resnet20.safetensors`",
            "neither",
            "Put the course's checkpoint there, or train one with `cargo lab train`.",
        )
    })
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
        let root = std::env::current_dir().unwrap().parent().unwrap().to_owned();
        assert_eq!(from_project("runs/a".into()).unwrap(), root.join("runs/a"));
        let absolute = root.join("elsewhere");
        assert_eq!(from_project(absolute.clone()).unwrap(), absolute);
    }
}
