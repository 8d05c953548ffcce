//! Where the homework's files are.

use crate::Scale;
use base::paths::{checkpoints_dir, data_dir};
use base::{Error, Result};
use nn::data::GENERATED_MARKER;
use std::path::PathBuf;

/// Where the runs that start from the [`pretrained_model`] save: the folder of its name in the checkpoints folder, such
/// as `checkpoints/resnet20`, at full scale and with seed 0, and otherwise `quick`, `seed-1` or `quick/seed-1` in it,
/// on the generated stand-in for CIFAR-10 all of this in `generated`, so that no run replaces another.
///
/// ```no_run
/// use kernel_helpers::homework::prelude::*;
///
/// let folder = output_dir(Scale::Quick, 1)?;
/// assert!(folder.ends_with("checkpoints/resnet20/quick/seed-1"));
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
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
/// ```no_run
/// use kernel_helpers::homework::prelude::*;
/// use kernel_helpers::prelude::*;
///
/// let net = resnet_cifar(ResNetConfig::default())?.build(0, &best_device()?)?;
/// net.load_weights(pretrained_model()?)?;
/// # Ok::<(), Error>(())
/// ```
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
