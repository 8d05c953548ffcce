//! `cargo lab jupyter`: JupyterLab on the notebooks.

use super::setup;
use crate::project::Project;
use crate::python;
use anyhow::{Context, Result};
use std::process::ExitCode;

/// Runs JupyterLab until it is stopped. `arguments` are passed on to it.
pub fn jupyter(project: &Project, no_browser: bool, arguments: &[String]) -> Result<ExitCode> {
    setup::ensure(project)?;
    let mut command = python::command(project);
    command
        .args(["-m", "jupyterlab", "--ServerApp.ip=127.0.0.1"])
        .arg(format!("--ServerApp.root_dir={}", project.notebooks().display()))
        // Only the project's kernel, whatever else is registered on the machine.
        .args([
            "--KernelSpecManager.ensure_native_kernel=False",
            "--KernelSpecManager.allowed_kernelspecs=rust",
        ])
        .args(["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]);
    if no_browser {
        command.arg("--no-browser");
    }
    // A server started by root, as in a container, refuses to run without being told.
    if rustix::process::geteuid().is_root() {
        command.arg("--allow-root");
    }
    let status = command.args(arguments).status().context("could not start JupyterLab")?;
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)))
}
