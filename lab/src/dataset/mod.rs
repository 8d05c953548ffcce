//! CIFAR-10's files: which there are, whether they are whole, and the ways to get them.

pub mod archive;
mod at_most;
pub mod download;
pub mod generated;
pub mod npm;
mod pictures;
mod watched;

use anyhow::{Context, Result, bail};
use kernel_helpers::data::{GENERATED_MARKER, RECORD_BYTES, RECORDS_PER_FILE, TEST_FILE, TRAIN_FILES};
use kernel_helpers::digest::sha256_of_file;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

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
    match (complete, folder.join(GENERATED_MARKER).exists()) {
        (false, _) => State::Incomplete,
        (true, true) => State::Generated,
        (true, false) => State::Official,
    }
}

/// What is in `folder`, by the files' checksums.
pub fn verify(folder: &Path, manifest: &Manifest) -> Result<State> {
    if folder.join(GENERATED_MARKER).exists() {
        return Ok(look(folder));
    }
    for name in files() {
        let file = folder.join(name);
        if !file.is_file() || !manifest.of(name)?.is(&file)? {
            return Ok(State::Incomplete);
        }
    }
    Ok(State::Official)
}

/// What each file should be: in each line a SHA-256 sum, a size in bytes and a name.
pub struct Manifest(Vec<(String, Expected)>);

/// What a file should be.
pub struct Expected {
    /// How many bytes it has.
    pub size: u64,
    sha256: String,
}

impl Manifest {
    /// That of CIFAR-10.
    pub fn official() -> Self {
        Manifest::parse(include_str!("cifar-10.txt"))
    }

    /// That in a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
        Ok(Manifest::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut words = line.split_whitespace();
            let (sha256, size, name) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
            Some((name.to_owned(), Expected { size, sha256: sha256.to_owned() }))
        };
        Manifest(text.lines().filter_map(line).collect())
    }

    /// What a file of this name should be.
    pub fn of(&self, name: &str) -> Result<&Expected> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, expected)| expected).with_context(|| format!("there is no checksum of {name}"))
    }
}

impl Expected {
    /// Whether the file is this one.
    pub fn is(&self, file: &Path) -> Result<bool> {
        let found = fs::metadata(file).with_context(|| format!("could not read {}", file.display()))?;
        Ok(found.len() == self.size && sha256_of_file(file)? == self.sha256)
    }
}

/// Checks the six files that were made in a folder inside `data`, and moves them to their places.
fn commit(made: &Path, data: &Path, manifest: &Manifest) -> Result<()> {
    for name in files() {
        let file = made.join(name);
        if !file.is_file() {
            bail!("{name} is missing");
        }
        if !manifest.of(name)?.is(&file)? {
            bail!("{name} does not have CIFAR-10's checksum");
        }
    }
    replace(made, data, None)
}

/// Moves the six files into `data`, with a note if they are not CIFAR-10. What was there goes first: whenever this process is
/// killed, some of the six are missing, and never do files of two kinds lie side by side.
fn replace(made: &Path, data: &Path, note: Option<&str>) -> Result<()> {
    for name in files() {
        remove(&data.join(name))?;
    }
    let marker = data.join(GENERATED_MARKER);
    match note {
        None => remove(&marker)?,
        Some(note) => {
            fs::write(&marker, note).with_context(|| format!("could not write {}", marker.display()))?
        }
    }
    for name in files() {
        fs::rename(made.join(name), data.join(name))
            .with_context(|| format!("could not move {name} into place"))?;
    }
    Ok(())
}

/// Removes a file if it is there.
pub fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a new file with one closure.
fn write_file(path: &Path, write: impl FnOnce(&mut io::BufWriter<File>) -> Result<()>) -> Result<()> {
    let file = File::create(path).with_context(|| format!("could not write {}", path.display()))?;
    let mut file = io::BufWriter::with_capacity(1 << 18, file);
    write(&mut file)?;
    file.flush().with_context(|| format!("could not write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_and_the_archive_are_in_the_manifest() {
        let size = (RECORDS_PER_FILE * RECORD_BYTES) as u64;
        let manifest = Manifest::official();
        assert!(files().all(|name| manifest.of(name).unwrap().size == size));
        assert_eq!(manifest.of(ARCHIVE).unwrap().size, 170_052_171);
    }

    #[test]
    fn an_interrupted_replacement_is_noticed_and_mixes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let write = |folder: &Path, name: &str, byte: u8| {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join(name), vec![byte; RECORDS_PER_FILE * RECORD_BYTES]).unwrap();
        };
        let (data, made) = (folder.path().join("data"), folder.path().join("made"));
        for note in [None, Some("generated")] {
            files().for_each(|name| write(&data, name, 1));
            // The fourth cannot be moved, which is where this ends.
            files().take(3).for_each(|name| write(&made, name, 2));
            replace(&made, &data, note).unwrap_err();
            assert_eq!(look(&data), State::Incomplete);
            let here: Vec<_> = files().filter(|name| data.join(name).exists()).collect();
            assert_eq!(here, TRAIN_FILES[..3]);
            assert!(here.iter().all(|name| fs::read(data.join(name)).unwrap()[0] == 2));
            assert_eq!(data.join(GENERATED_MARKER).exists(), note.is_some());
        }
    }
}
