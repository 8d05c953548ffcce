//! One target for each reader. As tests they run for a moment; the page says how to let them run.

use crate::compare::accepted;
use crate::corpus;
use crate::edits::{Case, edit};
use crate::instructions::Program;
use crate::promise::{alone, checkpoint, kept};
use kernel_helpers::data::{Cifar10, Dataset};
use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long a target runs as a test.
const MOMENT: Duration = Duration::from_secs(2);

/// How a target went; `--nocapture` shows it.
#[derive(Default)]
struct Count {
    files: AtomicUsize,
    accepted: AtomicUsize,
}

impl Count {
    fn add(&self, accepted: bool) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.accepted.fetch_add(accepted.into(), Ordering::Relaxed);
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        println!("{} files, {} of them accepted", self.files.get_mut(), self.accepted.get_mut());
    }
}

/// The environment variable that names a folder of files to be read, which can be anybody's.
const FILES: &str = "FUZZ_FILES";

#[test]
fn given_files() {
    let (_alone, count) = (alone(), Count::default());
    let Some(folder) = std::env::var_os(FILES) else { return };
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if let Some(extension @ ("pt" | "pth" | "safetensors")) = extension {
            read(&std::fs::read(&path).unwrap(), extension, &count);
        }
    }
}

/// A target that makes up values of this type. It has to be said inside the test, whose name is the target's.
macro_rules! made_up {
    ($type:ty) => {
        bolero::check!().with_type::<$type>().with_iterations(usize::MAX).with_test_time(MOMENT)
    };
}

/// Reads a checkpoint as the promise has it.
fn read(file: &[u8], extension: &str, count: &Count) {
    let state_dict = checkpoint(file);
    count.add(state_dict.is_ok());
    if let Ok(state_dict) = state_dict {
        accepted(file, extension, &state_dict);
    }
}

/// A file of bytes, changed: `inside` it, before `wrap`, or as a whole.
fn changed(case: &Case, seeds: &[Vec<u8>], magic: &[u8], split: impl Fn(&[u8]) -> usize) -> Vec<u8> {
    match case {
        Case::Raw(bytes) => [magic, bytes].concat(),
        Case::Edited { seed, inside, edits } => {
            let mut file = seeds[usize::from(*seed) % seeds.len()].clone();
            match inside {
                false => edit(&mut file, edits),
                true => {
                    let rest = file.split_off(split(&file));
                    let mut header = file.split_off(8.min(file.len()));
                    edit(&mut header, edits);
                    file = [&(header.len() as u64).to_le_bytes(), &header[..], &rest].concat();
                }
            }
            file
        }
    }
}

/// The end of a safetensors file's header.
fn header_end(file: &[u8]) -> usize {
    8 + u64::from_le_bytes(*file.first_chunk().expect("a file of the corpus is whole")) as usize
}

fn changed_torch(
    case: &Case,
    seeds: &[corpus::Torch],
    magic: &[u8],
    wrap: fn(&corpus::Torch) -> Vec<u8>,
) -> Vec<u8> {
    match case {
        Case::Raw(bytes) => [magic, bytes].concat(),
        Case::Edited { seed, inside: true, edits } => {
            let mut file = seeds[usize::from(*seed) % seeds.len()].clone();
            edit(&mut file.pickle, edits);
            wrap(&file)
        }
        Case::Edited { seed, inside: false, edits } => {
            let mut file = wrap(&seeds[usize::from(*seed) % seeds.len()]);
            edit(&mut file, edits);
            file
        }
    }
}

#[test]
fn torch_zip() {
    let (_alone, seeds, count) = (alone(), corpus::torch(), Count::default());
    let file = |case: &Case| changed_torch(case, &seeds, b"PK\x03\x04", corpus::Torch::zip);
    made_up!(Case).for_each(|case| read(&file(case), "pt", &count));
}

#[test]
fn torch_legacy() {
    let (_alone, seeds, count) = (alone(), corpus::torch(), Count::default());
    let file = |case: &Case| changed_torch(case, &seeds, b"\x80\x02", corpus::Torch::legacy);
    made_up!(Case).for_each(|case| read(&file(case), "pt", &count));
}

#[test]
fn pickle_instructions() {
    let (_alone, count) = (alone(), Count::default());
    made_up!(Program).for_each(|program| read(&program.file(), "pt", &count));
}

#[test]
fn safetensors() {
    let (_alone, seeds, count) = (alone(), corpus::safetensors(), Count::default());
    let file = |case: &Case| changed(case, &seeds, b"\x40\0\0\0\0\0\0\0{", header_end);
    made_up!(Case).for_each(|case| read(&file(case), "safetensors", &count));
}

#[test]
fn packed() {
    let (_alone, seeds, count) = (alone(), corpus::packed(), Count::default());
    let file = |case: &Case| changed(case, &seeds, b"\x40\0\0\0\0\0\0\0{", header_end);
    // To others such a file is a list of parts, so there is nothing to compare.
    made_up!(Case).for_each(|case| read(&file(case), "packed", &count));
}

#[test]
fn cifar10() {
    let (_alone, seeds, count) = (alone(), corpus::cifar10(), Count::default());
    made_up!(Case).for_each(|case| {
        let file = changed(case, &seeds, &[3], |file| file.len());
        let images = kept(&file, |file| Cifar10::from_records(Cursor::new(file)));
        count.add(images.is_ok());
        if let Ok(images) = images {
            let record = |index| [&[images.label(index) as u8], images.pixels(index)].concat();
            assert_eq!((0..images.len()).map(record).collect::<Vec<_>>().concat(), file);
        }
    });
}
