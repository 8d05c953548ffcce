//! Files that are on this machine already: the official archive, or a folder with the six files.

use super::{Checksums, Staging, files, write_file};
use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Unpacks the six files of an archive into `data`.
pub fn unpack(archive: &Path, data: &Path, checksums: &Checksums) -> Result<()> {
    let staging = Staging::new(data)?;
    extract(archive, &staging)
        .and_then(|()| staging.commit(data, checksums))
        .with_context(|| format!("{} is not CIFAR-10's binary archive, or is damaged", archive.display()))
}

/// Copies the six files of a folder into `data`.
pub fn import_folder(folder: &Path, data: &Path, checksums: &Checksums) -> Result<()> {
    let staging = Staging::new(data)?;
    for name in files() {
        // Where the official archive's own folder was given, or the one that it was unpacked in.
        let candidates = [folder.join(name), folder.join("cifar-10-batches-bin").join(name)];
        let Some(source) = candidates.iter().find(|file| file.is_file()) else {
            bail!("{} does not hold {name}", folder.display());
        };
        fs::copy(source, staging.path(name))
            .with_context(|| format!("could not copy {}", source.display()))?;
    }
    staging.commit(data, checksums).with_context(|| format!("{} does not hold CIFAR-10", folder.display()))
}

fn extract(archive: &Path, staging: &Staging) -> Result<()> {
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(archive)?));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if let Some(name) = files().find(|name| path.file_name().is_some_and(|file| file == *name)) {
            write_file(&staging.path(name), |file| Ok(io::copy(&mut entry, file).map(|_| ())?))?;
        }
    }
    Ok(())
}
