//! What evcxr's rust-analyzer gets to read.
//!
//! To learn the types of variables, and for completion, evcxr loads the sources of all that a cell depends on into a
//! rust-analyzer of its own, twice at each start: the standard library and more than 200 crates, the larger part of
//! a start's time. But a cell meets the types of only a few of these crates. So evcxr and rust-analyzer are led to a
//! folder that looks like a Rust toolchain: its `cargo` leaves the other crates out of `cargo metadata` (see
//! [metadata](super::metadata)), and runs the real cargo for all else. The standard library's sources are a copy without
//! tests and without the processors' intrinsics, and empty the first time, when there are no cells yet.

use super::BuildFolder;
use crate::project::Project;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The crates of the standard library that define what programs use.
const LIBRARY: [&str; 3] = ["alloc", "core", "std"];

/// The folder of the toolchain that compiles.
pub fn sysroot() -> Result<PathBuf> {
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .context("`rustc` did not start. Install Rust from https://rustup.rs and open a new terminal")?;
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// Copies the standard library's sources for all kernels.
pub fn copy_library(project: &Project) -> Result<()> {
    let source = sysroot()?.join("lib/rustlib/src/rust/library");
    if !source.exists() {
        // Without rustup, the message below says what is missing.
        let _ = Command::new("rustup").args(["component", "add", "rust-src"]).stdout(Stdio::null()).status();
    }
    if !source.exists() {
        bail!(
            "the sources of Rust's standard library are not in {}: notebooks learn the types of variables from them. \
             Connect to the network once and run `rustup component add rust-src`, or install your system's package",
            source.display()
        );
    }
    let library = library(project);
    if library.exists() {
        fs::remove_dir_all(&library).with_context(|| format!("could not remove {}", library.display()))?;
    }
    for name in LIBRARY {
        let path = Path::new(name).join("src");
        copy_sources(&source.join(&path), &library.join(&path))
            .with_context(|| format!("could not copy {} to {}", source.display(), library.display()))?;
    }
    Ok(())
}

/// Whether the copy of the standard library's sources is there.
pub fn has_library(project: &Project) -> bool {
    // Written last.
    library(project).join(LIBRARY[LIBRARY.len() - 1]).exists()
}

fn library(project: &Project) -> PathBuf {
    project.kernel().join("library")
}

fn copy_sources(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == "tests" || name == "tests.rs" || name == "benches" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_sources(&entry.path(), &to.join(name))?;
        } else {
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}

/// The standard library's sources as a kernel's rust-analyzer sees them, in its build folder: a link to empty ones until
/// [`show_library`] puts the other link in its place.
const SEEN_LIBRARY: &str = "library";
const WHOLE_LIBRARY: &str = "whole-library";

/// Lets rust-analyzer see the whole standard library from its next load on.
pub fn show_library(folder: &BuildFolder) {
    // The first time only: afterwards the link has been moved.
    let _ = fs::rename(folder.path().join(WHOLE_LIBRARY), folder.path().join(SEEN_LIBRARY));
}

/// Makes the links to the empty and to the whole standard library.
fn hide_library(project: &Project, folder: &Path) -> std::io::Result<()> {
    for name in LIBRARY {
        let source = folder.join("empty-library").join(name).join("src");
        fs::create_dir_all(&source)?;
        fs::write(source.join("lib.rs"), "")?;
    }
    for (link, target) in [(SEEN_LIBRARY, folder.join("empty-library")), (WHOLE_LIBRARY, library(project))] {
        let link = folder.join(link);
        if link.is_symlink() {
            fs::remove_file(&link)?;
        }
        std::os::unix::fs::symlink(target, link)?;
    }
    Ok(())
}

/// Writes the folder that looks like a toolchain into a build folder, and returns the environment variables that lead
/// evcxr and rust-analyzer there. `lab` is the executable with the command that
/// [`print`](super::metadata::print) is.
pub fn prepare(project: &Project, folder: &BuildFolder, lab: &Path) -> Result<[(&'static str, OsString); 4]> {
    let (toolchain, real) = (folder.path().join("toolchain"), sysroot()?.join("bin"));
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    let rustc = format!(
        "#!/bin/sh\n[ \"$*\" = '--print sysroot' ] && exec echo {}\nexec {} \"$@\"\n",
        quoted(&toolchain),
        quoted(&real.join("rustc"))
    );
    // evcxr asks it for the compiler that it uses. Where there is no rustup, it is still asked.
    let rustup = format!(
        "#!/bin/sh\ncase \"$*\" in\n'which cargo') exec echo {};;\n'which rustc') exec echo {};;\nesac\n\
         PATH=${{PATH#*:}} exec rustup \"$@\"\n",
        quoted(&toolchain.join("bin/cargo")),
        quoted(&real.join("rustc"))
    );
    let cargo = format!(
        r#"#!/bin/sh
unset RUSTUP_TOOLCHAIN
case "$*" in
    # Asked of a nightly cargo; rust-analyzer does without.
    '-Z '*|'rustc -Z '*) exit 1;;
    metadata*--no-deps*) ;;
    metadata*) exec {lab} kernel --metadata-by {cargo} -- "$@";;
    build*|check*) exec {lab} kernel --compile-like {cargo} -- "$@";;
esac
exec {cargo} "$@"
"#,
        lab = quoted(lab),
        cargo = quoted(&real.join("cargo")),
    );
    let (bin, first) = (toolchain.join("bin"), toolchain.join("path"));
    // rustup takes a folder for a toolchain if it has this one.
    fs::create_dir_all(toolchain.join("lib"))
        .and_then(|()| fs::create_dir_all(&bin))
        .and_then(|()| fs::create_dir_all(&first))
        .and_then(|()| write_script(&bin.join("rustc"), &rustc))
        .and_then(|()| write_script(&bin.join("cargo"), &cargo))
        .and_then(|()| write_script(&first.join("rustup"), &rustup))
        .and_then(|()| hide_library(project, folder.path()))
        .with_context(|| format!("could not write {}", toolchain.display()))?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(first).chain(std::env::split_paths(&path)))?;
    Ok([
        ("PATH", path),
        ("RUSTC", bin.join("rustc").into()),
        ("CARGO", bin.join("cargo").into()),
        ("RUST_SRC_PATH", folder.path().join(SEEN_LIBRARY).into()),
    ])
}

fn write_script(path: &Path, text: &str) -> std::io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}
