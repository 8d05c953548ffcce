//! Files that are on this machine already: the official archive, or a folder with the six files.

use super::at_most::AtMost;
use super::{Manifest, commit, files, write_file};
use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use kernel_helpers::files::PartialFolder;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// So many bytes an archive may hold beside the six files.
const OTHERS: u64 = 16 << 20;

/// Unpacks the six files of an archive into `data`.
pub fn unpack(archive: &Path, data: &Path, manifest: &Manifest) -> Result<()> {
    let file = File::open(archive).with_context(|| format!("could not read {}", archive.display()))?;
    let folder = PartialFolder::new_in(data)?;
    extract(file, folder.path(), manifest)
        .and_then(|()| commit(folder.path(), data, manifest))
        .with_context(|| format!("{} is not CIFAR-10's binary archive, or is damaged", archive.display()))
}

/// Copies the six files of a folder into `data`.
pub fn import_folder(source: &Path, data: &Path, manifest: &Manifest) -> Result<()> {
    let folder = PartialFolder::new_in(data)?;
    for name in files() {
        // Where the official archive's own folder was given, or the one that it was unpacked in.
        let candidates = [source.join(name), source.join("cifar-10-batches-bin").join(name)];
        let Some(file) = candidates.iter().find(|file| file.is_file()) else {
            bail!("{} does not hold {name}", source.display());
        };
        let found = fs::metadata(file).with_context(|| format!("could not read {}", file.display()))?.len();
        let size = manifest.of(name)?.size;
        ensure!(found == size, "{} should have {size} bytes, and has {found}", file.display());
        fs::copy(file, folder.path().join(name))
            .with_context(|| format!("could not copy {}", file.display()))?;
    }
    commit(folder.path(), data, manifest)
        .with_context(|| format!("{} does not hold CIFAR-10", source.display()))
}

/// Writes the six files of an archive into `folder`. How much is unpacked is known before: each has one size.
fn extract(archive: impl Read, folder: &Path, manifest: &Manifest) -> Result<()> {
    let mut missing: Vec<_> =
        files().map(|name| Ok((name, manifest.of(name)?.size))).collect::<Result<_>>()?;
    let most = missing.iter().map(|(_, size)| size).sum::<u64>() + OTHERS;
    let mut archive = tar::Archive::new(AtMost::new(GzDecoder::new(archive), most));
    // Raw, as the archive's extensions may hold names and attributes of any length, which would come into memory.
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let path = entry.header().path()?.into_owned();
        let wanted = |(name, _): &(&str, u64)| path.file_name().is_some_and(|file| file == *name);
        let Some(index) = missing.iter().position(wanted) else { continue };
        let (name, size) = missing.swap_remove(index);
        let found = entry.header().entry_size()?;
        ensure!(found == size, "{name} should have {size} bytes, and has {found}");
        write_file(&folder.join(name), |file| Ok(io::copy(&mut entry, file).map(drop)?))?;
        if missing.is_empty() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up::read_made_up;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    const SIZE: u64 = 600;

    fn archive(header: fn() -> tar::Header) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for name in ["readme.html"].into_iter().chain(files()) {
            let mut header = header();
            header.set_size(SIZE);
            let name = format!("cifar-10-batches-bin/{name}");
            archive.append_data(&mut header, name, io::repeat(7).take(SIZE)).unwrap();
        }
        archive.into_inner().unwrap()
    }

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut file = GzEncoder::new(Vec::new(), Compression::fast());
        file.write_all(bytes).unwrap();
        file.finish().unwrap()
    }

    /// Unpacks into an empty folder, and looks at what comes of it.
    fn read(file: &[u8]) -> bool {
        let manifest: String = files().map(|name| format!("0 {SIZE} {name}\n")).collect();
        let folder = tempfile::tempdir().unwrap();
        let whole = extract(file, folder.path(), &Manifest::parse(&manifest)).is_ok();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            assert!(files().any(|name| entry.file_name() == name), "{entry:?}");
            assert!(entry.metadata().unwrap().len() <= SIZE, "{entry:?}");
        }
        whole
    }

    #[test]
    fn whatever_an_archive_holds_six_files_of_one_size_come_of_it() {
        let seeds = [tar::Header::new_gnu, tar::Header::new_ustar, tar::Header::new_old].map(archive);
        assert!(seeds.iter().all(|seed| read(&compressed(seed))));
        let words = ["data_batch_1.bin", "../", "/", "\0", "77777777777", "x", "L", "S", "\u{ff}\u{ff}"];
        read_made_up!(seeds.clone(), &words, |file: &[u8]| {
            read(&compressed(file));
        });
        let seeds = seeds.map(|seed| compressed(&seed));
        read_made_up!(seeds, &words, |file: &[u8]| {
            read(file);
        });
    }
}
