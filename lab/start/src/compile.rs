//! The call of cargo.

use crate::meter::Meter;
use std::collections::VecDeque;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};

/// Of what cargo says, so many lines are kept for the case that it fails.
const KEPT: usize = 200;

/// Compiles the command if need be, and returns its executable.
///
/// # Errors
/// What cargo said, if it failed.
pub fn lab(root: &Path) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root).args(["build", "--package", "lab", "--bin", "lab"]);
    if cfg!(feature = "cuda") {
        command.args(["--features", "cuda"]);
    }
    forget_own_package(&mut command);
    // Cargo counts what it compiles only where somebody seems to look.
    command.envs([("CARGO_TERM_PROGRESS_WHEN", "always"), ("CARGO_TERM_PROGRESS_WIDTH", "120")]);
    command.env("CARGO_TERM_QUIET", "false");
    let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("cargo did not start: {error}"))?;
    let said = watch(child.stderr.take().expect("a piped standard error"));
    let status = child.wait().map_err(|error| format!("could not wait for cargo: {error}"))?;
    if !status.success() {
        return Err(format!("{said}\nThe command could not be compiled; what is compiled is kept."));
    }
    let folder =
        std::env::current_exe().map_err(|error| format!("could not find this executable: {error}"))?;
    Ok(folder.with_file_name(format!("lab{}", std::env::consts::EXE_SUFFIX)))
}

/// Leaves out what `cargo run` says of this package to what it runs: build scripts that ask for such variables would run anew
/// whenever cargo is called by other ways, and with them all that depends on theirs.
pub fn forget_own_package(command: &mut Command) {
    let names = std::env::vars_os().map(|(name, _)| name);
    let told = names.filter(|name| name.to_str().is_some_and(is_of_package));
    told.for_each(|name| {
        command.env_remove(name);
    });
}

/// Whether cargo tells a package of itself by this variable.
fn is_of_package(name: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.starts_with(start))
        || ["CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"].contains(&name)
}

/// Shows the progress that cargo tells of, and returns what else it says, without what it has compiled.
fn watch(mut stderr: ChildStderr) -> String {
    let mut meter = Meter::new();
    let mut kept = VecDeque::new();
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        // A stream that breaks off ends as one that ends: cargo's exit code tells what became of it.
        let read = stderr.read(&mut buffer).unwrap_or(0);
        if read == 0 {
            break;
        }
        for byte in &buffer[..read] {
            if !matches!(byte, b'\n' | b'\r') {
                line.push(*byte);
                continue;
            }
            let text = String::from_utf8_lossy(&line).into_owned();
            line.clear();
            match Step::of(&text) {
                Step::Counted { done, all } => meter.count(done, all),
                Step::Downloading(what) => meter.download(&what),
                Step::Compiled => {}
                Step::Said => {
                    if kept.len() == KEPT {
                        kept.pop_front();
                    }
                    kept.push_back(text);
                }
            }
        }
    }
    meter.end();
    Vec::from(kept).join("\n")
}

/// What a line of cargo's means.
#[derive(Debug, PartialEq)]
enum Step {
    /// So many crates of all are compiled.
    Counted { done: usize, all: usize },
    /// Sources come from the network.
    Downloading(String),
    /// One of the lines on what is compiled, which come by the hundreds.
    Compiled,
    /// Anything else.
    Said,
}

impl Step {
    fn of(line: &str) -> Self {
        let line = without_escapes(line);
        let line = line.trim();
        match line.split(' ').next().unwrap_or_default() {
            "Building" => count(line).map_or(Step::Compiled, |(done, all)| Step::Counted { done, all }),
            "Downloading" | "Updating" => Step::Downloading(line.to_owned()),
            "" | "Compiling" | "Downloaded" | "Finished" | "Blocking" | "Locking" | "Fresh" | "Adding" => {
                Step::Compiled
            }
            _ => Step::Said,
        }
    }
}

/// The numbers in `Building [==>   ] 12/345: a, b`.
fn count(line: &str) -> Option<(usize, usize)> {
    let numbers = line.split(']').nth(1)?.split(':').next()?.trim();
    let (done, all) = numbers.split_once('/')?;
    Some((done.parse().ok()?, all.parse().ok()?))
}

/// The text without what colors it and clears the line.
fn without_escapes(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // `ESC [`, numbers, and a letter that ends it.
            let _ = characters.by_ref().skip(1).find(char::is_ascii_alphabetic);
        } else {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_says_of_this_package_is_not_passed_on() {
        let told = ["CARGO_PKG_NAME", "CARGO_PKG_VERSION", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH"];
        assert!(told.iter().all(|name| is_of_package(name)));
        // What its users set stays.
        let set = ["CARGO", "CARGO_HOME", "CARGO_BUILD_JOBS", "CARGO_TARGET_DIR", "RUSTUP_TOOLCHAIN"];
        assert!(!set.iter().any(|name| is_of_package(name)));
    }

    #[test]
    fn cargos_lines_are_understood() {
        let count = |done, all| Step::Counted { done, all };
        for (line, step) in [
            ("    Building [=====>      ] 12/345: candle-core, gemm(build)", count(12, 345)),
            ("\u{1b}[K\u{1b}[1m\u{1b}[36m    Building\u{1b}[0m [> ] 0/3: start", count(0, 3)),
            ("   Compiling candle-core v0.11.1", Step::Compiled),
            ("\u{1b}[1m\u{1b}[92m   Compiling\u{1b}[0m serde v1.0.229", Step::Compiled),
            (" Downloading crates ...", Step::Downloading("Downloading crates ...".to_owned())),
            ("    Finished `dev` profile [optimized] target(s) in 0.27s", Step::Compiled),
            ("error: linker `cc` not found", Step::Said),
            ("warning: unused import", Step::Said),
            ("", Step::Compiled),
        ] {
            assert_eq!(Step::of(line), step, "{line}");
        }
    }
}
