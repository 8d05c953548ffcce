//! The notebook kernel: Jupyter's [front end](front_end), over evcxr as the compiler of cells.
//!
//! A notebook's dependencies are compiled once, in a folder that is kept [warm], with what was [already compiled](already_compiled)
//! for the command, and each kernel gets a [copy] that shares the compiled files through hard links. [launch] starts a kernel
//! in such a copy and cleans up behind it. [analysis] and [metadata] make its start shorter, [compile] and [cell_code] its
//! cells; [cells] is the process that runs them.

mod already_compiled;
pub mod analysis;
mod cell_code;
pub mod cells;
pub mod compile;
pub mod copy;
mod front_end;
mod implementations;
pub mod launch;
pub mod metadata;
mod pipes;
mod source;
pub mod warm;

use crate::project::Project;
use anyhow::{Context, Result};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A kernel's build folder: a cargo workspace of evcxr's crate, `ctx`, and of one that only depends on the helper crate.
///
/// The second is there for the lock file: evcxr starts with an empty `ctx`, so cargo would drop all versions from a lock
/// file of `ctx` alone, and look for newer ones at every start. Its dependency is for a platform that does not exist,
/// which cargo locks and nobody compiles or analyzes.
#[derive(Clone, Debug)]
pub struct BuildFolder {
    path: PathBuf,
}

/// The environment variable in which evcxr finds the folder of its crate.
const CRATE_PATH: &str = "EVCXR_TMPDIR";

/// Names the file of the stop button to the cells; also in `kernel_helpers::stop`.
const STOP_FILE: &str = "LAB_STOP_FILE";

/// What every notebook starts with. The last statement tells evcxr that cells use `?`, which it otherwise learns by an error.
const PRELUDE: &str = "use kernel_helpers::prelude::*;
kernel_helpers::panic::shorten_messages();
Ok::<(), Error>(())?;";

/// The project's manifest. It ends with the profile, and that with the packages of the command alone.
const PROJECT_MANIFEST: &str = include_str!("../../../Cargo.toml");
const PROFILE_BEGINS: &str = "[profile.dev]\n";
const COMMAND_ALONE_BEGINS: &str = "# What follows is the command's alone";

/// The profile of cells, which evcxr writes into `ctx` and the workspace overrules: they compile fast, without optimization and
/// without keeping track for an incremental build. An ordinary cell takes half the time, and what it computes is
/// computed in the helpers.
const PROFILE_OF_CELLS: &str = "ctx = { opt-level = 0, incremental = false, codegen-units = 1 }\n";

/// The manifest of a build folder. What cells link has the profile of the project, so that it is compiled once for both.
fn workspace_manifest() -> String {
    let profile = PROJECT_MANIFEST
        .split_once(PROFILE_BEGINS)
        .and_then(|(_, profile)| profile.split_once(COMMAND_ALONE_BEGINS))
        .map(|(profile, _)| profile)
        .expect("the project's manifest has these lines");
    format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\"ctx\", \"locked\"]\n\n{PROFILE_BEGINS}{profile}{PROFILE_OF_CELLS}"
    )
}

impl BuildFolder {
    /// The folder that all others are copied from.
    pub fn warm(project: &Project) -> Self {
        let name = if cfg!(feature = "cuda") { "warm-cuda" } else { "warm" };
        BuildFolder { path: project.kernel().join(name) }
    }

    /// The folder of the kernel that started this process.
    pub fn of_this_kernel() -> Result<Self> {
        let crate_path = std::env::var_os(CRATE_PATH).context("only a kernel calls this")?;
        let path = Path::new(&crate_path).parent().context("a kernel's crate lies in a build folder")?;
        Ok(BuildFolder { path: path.to_owned() })
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of evcxr's crate in it.
    pub fn crate_path(&self) -> PathBuf {
        self.path.join("ctx")
    }

    /// The file by which cells and compiler know that the stop button was pressed.
    pub fn stop_file(&self) -> PathBuf {
        self.path.join("stop")
    }

    /// Whether the stop button was pressed in the present cell.
    fn is_stopped(&self) -> bool {
        self.stop_file().exists()
    }

    /// The file that is there while a cell may ask its user for input.
    fn input_file(&self) -> PathBuf {
        self.path.join("asks-for-input")
    }

    /// The code of the last cell as it was compiled.
    fn compiled_code(&self) -> PathBuf {
        self.crate_path().join("cell/lib.rs")
    }

    /// Writes the workspace around evcxr's crate, with the versions of the project's lock file.
    fn write(&self, project: &Project) -> Result<()> {
        for (name, content) in files(project) {
            let file = self.path.join(name);
            fs::create_dir_all(file.parent().expect("a file in the folder"))
                .and_then(|()| fs::write(&file, content))
                .with_context(|| format!("could not write {}", file.display()))?;
        }
        let lock = project.root().join("Cargo.lock");
        fs::copy(&lock, self.path.join("Cargo.lock"))
            .with_context(|| format!("could not copy {}", lock.display()))?;
        Ok(())
    }

    /// `executable`, which calls evcxr, with the environment in which evcxr works in this folder.
    fn command(&self, project: &Project, executable: &Path) -> Result<Command> {
        let mut command = Command::new(executable);
        command.envs(analysis::prepare(project, self, executable)?);
        command.env(CRATE_PATH, self.crate_path()).env("EVCXR_CONFIG_DIR", self.path.join("config"));
        command.env(STOP_FILE, self.stop_file());
        // `cargo lab` is rustup's cargo, which names its toolchain to all below it: rust-analyzer would ask that one.
        command.env_remove("RUSTUP_TOOLCHAIN");
        // A profile in the environment would overrule the folder's own.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("CARGO_PROFILE_")) {
                command.env_remove(name);
            }
        }
        if let (Some(libraries), Ok(cargo)) = (std::env::var_os(LIBRARY_PATH), std::env::current_exe()) {
            command.env(LIBRARY_PATH, without_folders_in(&libraries, cargo.parent()));
        }
        Ok(command)
    }
}

/// The files of a build folder, by name.
fn files(project: &Project) -> [(&'static str, String); 6] {
    let path = serde_json::json!(project.root().join("kernel-helpers").to_string_lossy());
    let features = if cfg!(feature = "cuda") { ", features = [\"cuda\"]" } else { "" };
    // A string of JSON is one of TOML, too.
    let dependency = format!("kernel-helpers = {{ path = {path}{features} }}\n");
    let package =
        |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n");
    [
        ("Cargo.toml", workspace_manifest()),
        ("ctx/Cargo.toml", package("ctx")),
        ("ctx/src/lib.rs", String::new()),
        ("locked/Cargo.toml", package("locked") + "[target.'cfg(any())'.dependencies]\n" + &dependency),
        ("locked/src/lib.rs", String::new()),
        ("config/evcxr.toml", format!("[evcxr]\nprelude = '''{PRELUDE}'''\n\n[dependencies]\n{dependency}")),
    ]
}

/// Lets SIGINT, which comes to all of the kernel's processes where they have a terminal, pass by this one.
fn ignore_stop_button() {
    // Where it cannot be handled, the process ends at the stop button as any other would.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::<AtomicBool>::default());
}

/// Where the loader looks for libraries first. `cargo run` puts its own build folder there, with a build of the helper
/// crate that cells must not get in place of theirs.
pub const LIBRARY_PATH: &str =
    if cfg!(target_os = "macos") { "DYLD_FALLBACK_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };

/// The library path without the folders that lie in `folder`.
fn without_folders_in(path: &OsStr, folder: Option<&Path>) -> OsString {
    let outside =
        std::env::split_paths(path).filter(|entry| !folder.is_some_and(|folder| entry.starts_with(folder)));
    std::env::join_paths(outside).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_not_told_of_the_toolchain_that_cargo_lab_runs_in() {
        let folder = tempfile::tempdir().unwrap();
        let project = Project::at(folder.path()).unwrap();
        let build = BuildFolder { path: folder.path().join("build") };
        let command = build.command(&project, Path::new("lab")).unwrap();
        let removed = command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name);
        assert!(removed.collect::<Vec<_>>().contains(&OsStr::new("RUSTUP_TOOLCHAIN")));
    }

    #[test]
    fn folders_of_the_executable_leave_the_library_path() {
        let path =
            std::env::join_paths(["/clone/target/debug/deps", "/usr/lib", "/clone/target/debug"]).unwrap();
        let left = without_folders_in(&path, Some(Path::new("/clone/target/debug")));
        assert_eq!(left, OsString::from("/usr/lib"));
        assert_eq!(without_folders_in(&path, None), path);
    }
}
