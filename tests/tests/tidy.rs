//! The rules of the repository that a compiler does not check.

use homework_tests::project_root;
use std::path::{Path, PathBuf};

/// The Rust files of the three packages.
fn sources() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        ["kernel-helpers", "lab", "tests"].map(|name| project_root().join(name)).into();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("rs") => files.push(path),
                _ if path.is_dir() => folders.push(path),
                _ => {}
            }
        }
    }
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn unsafe_code_is_in_two_places_alone() {
    // Vector instructions, and the loading of compiled cells.
    let places = ["kernel-helpers/cpu-kernels", "lab/src/kernel/cells/loaded.rs"]
        .map(|place| project_root().join(place));
    let allowed = ["allow(", "unsafe_code)"].concat();
    let offenders: Vec<PathBuf> = sources()
        .into_iter()
        .filter(|path| !places.iter().any(|place| path.starts_with(place)) && read(path).contains(&allowed))
        .collect();
    assert!(offenders.is_empty(), "{offenders:?}");
}

#[test]
fn files_fit_in_a_head() {
    let lines = |path: &PathBuf| read(path).lines().count();
    let long: Vec<PathBuf> = sources().into_iter().filter(|path| lines(path) > 450).collect();
    assert!(long.is_empty(), "over 450 lines: {long:?}");
}

#[test]
fn nothing_is_left_unfinished() {
    let words = ["todo", "unimplemented"].map(|word| format!("{word}!("));
    let unfinished: Vec<PathBuf> =
        sources().into_iter().filter(|path| words.iter().any(|word| read(path).contains(word))).collect();
    assert!(unfinished.is_empty(), "{unfinished:?}");
}
