//! What `cargo lab` runs: it compiles the command itself if that is not there or not up to date, shows how far that is, and
//! becomes it. It depends on nothing but the standard library, so that a fresh clone answers within seconds.

mod compile;
mod meter;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let error = match compile::lab(&root()) {
        Ok(executable) => {
            let mut command = Command::new(&executable);
            compile::forget_own_package(&mut command);
            // It takes this process's place: signals and the exit code are its own.
            let error = command.args(std::env::args_os().skip(1)).exec();
            format!("could not start {}: {error}", executable.display())
        }
        Err(error) => error,
    };
    eprintln!("{}", error.trim_end());
    ExitCode::FAILURE
}

/// The project's folder, as it was when this was compiled: cargo compiles it anew where a clone was moved.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}
