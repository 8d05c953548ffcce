//! What was compiled for the command, and is linked by cells too: candle, and all else that is not the project's own.
//!
//! Cargo takes a crate as compiled where its version, features, profile, compiler and flags are the same, wherever that was. The profile
//! is the project's (see [`super::workspace_manifest`]), the features are what the crate `same-features` is for, and for flags
//! see [`super::compile`].

use super::BuildFolder;
use super::copy::{COMPILED, copy_with_time, is_binary, packages_of};
use super::metadata::HELPERS;
use crate::project::Project;
use anyhow::{Context, Result};
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// How the name of a file or folder begins that is not whole yet.
const PARTIAL: &str = ".partial-";

/// Gives a build folder what this executable was compiled from, so far as the helpers need it and the folder has it not.
///
/// Whatever is missing, cargo compiles.
pub fn take_over(project: &Project, folder: &BuildFolder) -> Result<()> {
    let executable = std::env::current_exe().context("this executable has no path")?;
    let from = executable.parent().context("an executable lies in a folder")?;
    let to = folder.crate_path().join("target/debug");
    let packages = packages(project)?;
    for part in COMPILED {
        take_part(&from.join(part), &to.join(part), &packages)
            .with_context(|| format!("could not copy what was compiled from {}", from.display()))?;
    }
    Ok(())
}

/// The packages that the helpers are compiled from, less the project's own, named with hyphens only.
fn packages(project: &Project) -> Result<HashSet<String>> {
    let features: &[&str] = if cfg!(feature = "cuda") { &["--features", "cuda"] } else { &[] };
    let tree = Command::new("cargo")
        .args(["tree", "--package", "kernel-helpers", "--edges", "normal,build", "--prefix", "none"])
        .args(["--format", "{p}", "--quiet"])
        .args(features)
        .current_dir(project.root())
        .stderr(Stdio::null())
        .output()
        .context("`cargo` did not start")?;
    let names = String::from_utf8_lossy(&tree.stdout);
    let names = names.lines().filter_map(|line| line.split(' ').next()).map(|name| name.replace('_', "-"));
    Ok(names.filter(|name| !HELPERS.contains(&&**name)).collect())
}

/// Copies from one of cargo's folders what belongs to these packages.
fn take_part(from: &Path, to: &Path, packages: &HashSet<String>) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    fs::create_dir_all(to)?;
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_needed = packages_of(&name).iter().any(|package| packages.contains(package));
        if is_needed && !target.exists() {
            // What is there is whole, also if this process is killed.
            let partial = to.join(format!("{PARTIAL}{name}"));
            remove(&partial)?;
            // Another cargo may just be replacing it, and then this one compiles it.
            if take(&entry.path(), &partial).is_ok() {
                fs::rename(&partial, &target)?;
            }
        }
    }
    Ok(())
}

/// Removes what a process has left that was killed.
fn remove(partial: &Path) -> io::Result<()> {
    match partial.is_dir() {
        true => fs::remove_dir_all(partial),
        false if partial.exists() => fs::remove_file(partial),
        false => Ok(()),
    }
}

/// Copies a file, or a folder with all that is in it. Compilers replace what they wrote, so that the copy may be a second name; cargo
/// writes into its notes.
fn take(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        // Not a link to its path: `target/` may be deleted at any time.
        return if is_binary(from) && fs::hard_link(from, to).is_ok() {
            Ok(())
        } else {
            copy_with_time(from, to)
        };
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        take(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn what_is_needed_is_taken_once_and_whole() {
        // Beside this executable, so that it can be linked.
        let beside = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir_in(beside.parent().unwrap()).unwrap();
        let at = |path: &str| folder.path().join(path);
        for file in [
            "deps/libcandle_core-0a.rlib",
            "deps/libnn-0a.rlib",
            "build/libc-0b/out/made",
            "build/ring-0c/output",
        ] {
            let file = at("from").join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "compiled").unwrap();
        }
        // What a process has left that was killed.
        fs::create_dir_all(at("to/build/.partial-libc-0b/old")).unwrap();
        let packages = HashSet::from(["candle-core", "libc"].map(str::to_owned));
        let take_all = || {
            for part in COMPILED {
                take_part(&at("from").join(part), &at("to").join(part), &packages).unwrap();
            }
        };
        take_all();

        let inode = |path: &str| fs::metadata(at(path)).unwrap().ino();
        assert_eq!(inode("from/deps/libcandle_core-0a.rlib"), inode("to/deps/libcandle_core-0a.rlib"));
        assert_ne!(
            inode("from/build/libc-0b/out/made"),
            inode("to/build/libc-0b/out/made"),
            "cargo writes into these"
        );
        for other in
            ["to/deps/libnn-0a.rlib", "to/build/ring-0c", "to/build/.partial-libc-0b", "to/build/libc-0b/old"]
        {
            assert!(!at(other).exists(), "{other}");
        }

        fs::write(at("to/build/libc-0b/out/made"), "compiled anew").unwrap();
        take_all();
        assert_eq!(fs::read_to_string(at("to/build/libc-0b/out/made")).unwrap(), "compiled anew");
    }
}
