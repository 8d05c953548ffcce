//! Compiles cells, in the place of evcxr's cargo.
//!
//! evcxr calls `cargo build` for each cell, which looks at all dependencies before it calls rustc: two thirds of an
//! ordinary cell's time. But the call of rustc is the same for all cells with the same dependencies. So it is noted the first
//! time, when cargo makes it, and made without cargo from then on; the warm folder has the notes of the helpers. rustc
//! gets the code as [`cell_code`] rewrites it, with one name for the crate of all cells whatever their
//! dependencies, so that a type that a cell defines stays the same type after a `:dep`.

use super::cell_code::{self, Rewritten};
use super::{BuildFolder, metadata};
use anyhow::{Context, Result};
use kernel_helpers::digest::sha256;
use kernel_helpers::files::write_whole;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

/// Set for cargo: the file for the call of rustc that it makes for the cell. Names this executable's role as cargo's
/// compiler, too.
const NOTE: &str = "LAB_NOTE_RUSTC_CALL";

/// Where evcxr reads what was compiled.
const COMPILED: &str = "EVCXR_EXECUTION_SO_PATH";

/// Where no code is to be rewritten, as in evcxr's own kernel.
pub const AS_IT_IS: &str = "LAB_CELLS_AS_THEY_ARE";

/// What evcxr shows of a cell whose compilation was stopped.
const STOPPED: &str = r#"{"level":"error","message":"stopped while compiling; all variables are kept","spans":[],"children":[]}"#;

/// The name of evcxr's crate.
const CRATE: &str = "ctx";

/// A call of rustc, with [`FOLDER`] in place of the build folder's path.
#[derive(Serialize, Deserialize)]
struct Call {
    folder: PathBuf,
    rustc: String,
    arguments: Vec<String>,
}

const FOLDER: &str = "{folder}";

/// Does what `cargo build …` or `cargo check …` would do for evcxr. `cargo` is the real one.
pub fn instead_of_cargo(cargo: &Path, arguments: &[OsString]) -> Result<ExitCode> {
    let folder = BuildFolder::of_this_kernel()?;
    if folder.is_stopped() {
        // evcxr compiles a second time after an error.
        eprintln!("{STOPPED}");
        return Ok(ExitCode::FAILURE);
    }
    let note = note(&folder, arguments)?;
    let checks = arguments.first().is_some_and(|name| name == "check");
    let (status, compiled) = match Call::read(&note, folder.path()) {
        Some(call) if checks => (run(&folder, &mut call.check(&folder))?, None),
        Some(call) => (call.build(&folder)?, call.output()),
        None => {
            let status = run(&folder, &mut build_by_cargo(cargo, arguments, &note)?)?;
            (status, Call::read(&note, folder.path()).and_then(|call| call.output()))
        }
    };
    if !status.success() && folder.is_stopped() {
        eprintln!("{STOPPED}");
    }
    if let (true, Some(library), Some(file)) = (status.success(), compiled, std::env::var_os(COMPILED)) {
        fs::write(file, library.as_os_str().as_encoded_bytes())?;
    }
    Ok(ExitCode::from(u8::from(!status.success())))
}

/// evcxr's flag for all that is compiled.
const PREFER_DYNAMIC: &str = "-Cprefer-dynamic";

/// A call of the real cargo, in place of a check too, for which it would look at all dependencies once more.
///
/// What evcxr asks for is such that cargo takes crates as they were compiled for the command: for no target by its name, and without
/// a flag for all of them that only matters to libraries that are linked, which get it from [`instead_of_rustc`].
fn build_by_cargo(cargo: &Path, arguments: &[OsString], note: &Path) -> Result<Command> {
    let mut command = Command::new(cargo);
    command.arg("build");
    let mut arguments = arguments.iter().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--target") => drop(arguments.next()),
            _ => drop(command.arg(argument)),
        }
    }
    if std::env::var_os("RUSTFLAGS").is_some_and(|flags| flags == PREFER_DYNAMIC) {
        command.env_remove("RUSTFLAGS");
    }
    command.env("RUSTC_WRAPPER", std::env::current_exe()?).env(NOTE, note);
    Ok(command)
}

/// Whether cargo calls this executable as its compiler.
pub fn is_compiler() -> bool {
    std::env::var_os(NOTE).is_some()
}

/// Compiles for cargo what a cell links, and the cell itself, for which it notes the call.
pub fn instead_of_rustc() -> Result<ExitCode> {
    let note = std::env::var_os(NOTE).map(PathBuf::from).context("cargo calls this")?;
    let mut arguments = std::env::args().skip(1);
    let rustc = arguments.next().context("cargo names the compiler")?;
    let mut arguments: Vec<String> = arguments.collect();
    let is_linked = |pair: &[String]| pair[0] == "--crate-type" && ["dylib", "cdylib"].contains(&&*pair[1]);
    if arguments.windows(2).any(is_linked) {
        arguments.push(PREFER_DYNAMIC.to_owned());
    }
    let is_cell = arguments.windows(2).any(|pair| pair == ["--crate-name", CRATE]);
    if !is_cell {
        return Err(Command::new(rustc).args(arguments).exec()).context("could not start rustc");
    }
    let folder = BuildFolder::of_this_kernel()?;
    let call = Call { folder: folder.path().to_owned(), rustc, arguments };
    let code = write_code(&folder, &rewritten(&folder, &call.arguments)?.whole)?;
    let status = call.command(&folder, &for_cells(&call.arguments, &code)).status();
    let status = status.context("could not start rustc")?;
    if status.success() {
        call.write(&note)?;
    }
    Ok(ExitCode::from(u8::from(!status.success())))
}

/// Whether cells are compiled as evcxr writes them.
pub fn takes_cells_as_they_are() -> bool {
    std::env::var_os(AS_IT_IS).is_some()
}

/// The file with the call for the present dependencies.
fn note(folder: &BuildFolder, arguments: &[OsString]) -> Result<PathBuf> {
    let manifest =
        fs::read_to_string(folder.crate_path().join("Cargo.toml")).context("evcxr writes a manifest")?;
    // evcxr writes the dependencies in any order.
    let mut lines: Vec<&str> = manifest.lines().collect();
    lines.sort_unstable();
    let mut key = lines.join("\n");
    for part in arguments.iter().skip(1).cloned().chain(std::env::var_os("RUSTFLAGS")) {
        key.push('\n');
        key.push_str(&part.to_string_lossy());
    }
    Ok(calls(folder).join(sha256(key.as_bytes())))
}

fn calls(folder: &BuildFolder) -> PathBuf {
    folder.crate_path().join("calls")
}

/// Forgets the calls, and what cargo told of the dependencies: it has to look where they may have changed.
pub fn forget(folder: &BuildFolder) -> Result<()> {
    for notes in [calls(folder), metadata::notes(folder)].iter().filter(|notes| notes.exists()) {
        fs::remove_dir_all(notes).with_context(|| format!("could not remove {}", notes.display()))?;
    }
    Ok(())
}

impl Call {
    fn read(note: &Path, folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(note).ok()?;
        let noted: Call = serde_json::from_str(&text).ok()?;
        let folder_now = folder.to_str()?;
        let here = |text: &String| text.replace(FOLDER, folder_now);
        let call = Call {
            folder: folder.to_owned(),
            rustc: noted.rustc.clone(),
            arguments: noted.arguments.iter().map(here).collect(),
        };
        // After an update of the toolchain, cargo has to look.
        Path::new(&call.rustc).exists().then_some(call)
    }

    fn write(&self, note: &Path) -> Result<()> {
        let folder = self.folder.to_str().context("the project's path is not UTF-8")?;
        let arguments = self.arguments.iter().map(|argument| argument.replace(folder, FOLDER)).collect();
        let noted = Call { folder: PathBuf::from(FOLDER), rustc: self.rustc.clone(), arguments };
        Ok(write_whole(note, serde_json::to_string(&noted)?.as_bytes())?)
    }

    fn command(&self, folder: &BuildFolder, arguments: &[String]) -> Command {
        let mut command = Command::new(&self.rustc);
        // Cargo calls rustc in the workspace's folder.
        command.args(arguments).current_dir(folder.path()).env("CARGO_PKG_NAME", CRATE);
        command.env("CARGO_MANIFEST_DIR", folder.crate_path());
        command
    }

    /// Compiles the cell, in parts if it can be. What only cargo reads is not written.
    fn build(&self, folder: &BuildFolder) -> Result<ExitStatus> {
        let code = rewritten(folder, &self.arguments)?;
        if let Some(in_parts) = code.in_parts {
            let mut command = self.build_of(folder, &in_parts)?;
            let status = run(folder, command.stdout(Stdio::null()).stderr(Stdio::null()))?;
            if status.success() || folder.is_stopped() {
                return Ok(status);
            }
        }
        run(folder, &mut self.build_of(folder, &code.whole)?)
    }

    fn build_of(&self, folder: &BuildFolder, code: &str) -> Result<Command> {
        let mut arguments = for_cells(&self.arguments, &write_code(folder, code)?);
        for argument in arguments.iter_mut().filter(|argument| argument.starts_with("--emit=")) {
            "--emit=link".clone_into(argument);
        }
        Ok(self.command(folder, &arguments))
    }

    /// Looks for errors in the code that evcxr analyzes.
    fn check(&self, folder: &BuildFolder) -> Command {
        let mut arguments = self.arguments.clone();
        for argument in &mut arguments {
            if argument.starts_with("--emit=") {
                "--emit=metadata".clone_into(argument);
            }
        }
        self.command(folder, &arguments)
    }

    /// The file that the call makes.
    fn output(&self) -> Option<PathBuf> {
        let out = self.arguments.iter().skip_while(|argument| *argument != "--out-dir").nth(1)?;
        Some(Path::new(out).join(format!(
            "{}{CRATE}{}",
            std::env::consts::DLL_PREFIX,
            std::env::consts::DLL_SUFFIX
        )))
    }
}

/// evcxr's code of the cell, rewritten if the cell has the helpers.
fn rewritten(folder: &BuildFolder, arguments: &[String]) -> Result<Rewritten> {
    let has_helpers = arguments.iter().any(|argument| argument.starts_with("kernel_helpers="));
    let code =
        fs::read_to_string(folder.crate_path().join("src/lib.rs")).context("evcxr writes the cell's code")?;
    Ok(match (takes_cells_as_they_are(), has_helpers) {
        (true, _) => Rewritten { whole: code, in_parts: None },
        (false, true) => cell_code::rewrite(&code),
        (false, false) => Rewritten { whole: cell_code::rewrite_without_helpers(&code), in_parts: None },
    })
}

/// Writes the code that is compiled, and returns its file.
fn write_code(folder: &BuildFolder, code: &str) -> Result<PathBuf> {
    let file = folder.compiled_code();
    let parent = file.parent().expect("a file in a folder");
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(&file, code))
        .with_context(|| format!("could not write {}", file.display()))?;
    Ok(file)
}

/// The arguments for this file, and for one crate of all cells.
fn for_cells(arguments: &[String], code: &Path) -> Vec<String> {
    let replace = |argument: &String| match argument {
        path if path.ends_with("src/lib.rs") => code.display().to_string(),
        metadata if metadata.starts_with("metadata=") => "metadata=cells".to_owned(),
        other => other.clone(),
    };
    arguments.iter().map(replace).collect()
}

/// Runs a compiler, and ends it when the stop button is pressed.
fn run(folder: &BuildFolder, command: &mut Command) -> Result<ExitStatus> {
    let mut child = command.stdin(Stdio::null()).spawn().context("could not start the compiler")?;
    let compiler = Pid::from_child(&child);
    let (ended, end) = std::sync::mpsc::channel::<()>();
    let stop = folder.stop_file();
    let watch = std::thread::spawn(move || {
        while end.recv_timeout(Duration::from_millis(50)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            if stop.exists() {
                // It may have just ended, which is as good.
                let _ = kill_process(compiler, Signal::KILL);
            }
        }
    });
    let status = child.wait().context("could not wait for the compiler");
    drop(ended);
    let _ = watch.join();
    status
}
