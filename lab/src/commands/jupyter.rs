//! `cargo lab jupyter`: JupyterLab on the notebooks.

use super::setup;
use crate::project::Project;
use crate::python::{self, Kernelspec};
use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use kernel_helpers::files::write_whole;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

#[derive(Args)]
/// What `cargo lab jupyter` can be asked for.
pub struct Options {
    /// Only print the address.
    #[arg(long)]
    no_browser: bool,
    /// The folder to open, inside the project; notebooks/ if not given.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// The address at which it is reached: in a container `0.0.0.0`, that is from everywhere, with the token that it prints.
    #[arg(long, default_value = "127.0.0.1")]
    address: String,
    /// Further arguments for JupyterLab.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Becomes JupyterLab.
pub fn jupyter(project: &Project, options: &Options) -> Result<()> {
    let Options { no_browser, address, folder, arguments } = options;
    let folder = folder.clone().unwrap_or_else(|| project.notebooks());
    ensure!(folder.is_dir(), "{} is not a folder", folder.display());
    setup::ensure(project)?;
    copy_style(project)?;
    let mut command = python::command(project);
    command
        .envs(server_environment(project))
        .args(["-m", "jupyterlab"])
        .arg(format!("--ServerApp.ip={address}"))
        .arg(format!("--ServerApp.root_dir={}", folder.canonicalize()?.display()))
        .args(server_arguments());
    if *no_browser {
        command.arg("--no-browser");
    }
    // A server started by root, as in a container, refuses to run without being told.
    if rustix::process::geteuid().is_root() {
        command.arg("--allow-root");
    }
    // JupyterLab takes this process's place, so that whatever ends the one ends the other.
    Err(command.args(arguments).exec()).context("could not start JupyterLab")
}

/// What a server of notebooks finds in its environment.
pub fn server_environment(project: &Project) -> [(&'static str, PathBuf); 2] {
    // Where nbconvert finds our PDF exporter, before its own, and JupyterLab our settings.
    [("PYTHONPATH", project.python_scripts()), ("JUPYTER_CONFIG_PATH", project.jupyter_settings())]
}

/// What a server of notebooks is told.
pub fn server_arguments() -> Vec<String> {
    let kernels = Kernelspec::value_variants().iter();
    let kernels = kernels.map(|kernel| format!("--KernelSpecManager.allowed_kernelspecs={}", kernel.name()));
    let default = format!("--MultiKernelManager.default_kernel_name={}", Kernelspec::default().name());
    let others = [
        // Only the project's kernels, whatever else is registered on the machine.
        "--KernelSpecManager.ensure_native_kernel=False",
        // The kernel itself bounds what a cell prints; beyond its own rates, Jupyter's server would drop outputs.
        "--ZMQChannelsWebsocketConnection.iopub_msg_rate_limit=10000",
        "--ZMQChannelsWebsocketConnection.iopub_data_rate_limit=100000000",
        "--LabApp.custom_css=True",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ];
    kernels.chain([default]).chain(others.map(str::to_owned)).collect()
}

/// Puts our style sheet where JupyterLab looks for one.
fn copy_style(project: &Project) -> Result<()> {
    let style = fs::read(project.jupyter_settings().join("custom/custom.css"))?;
    Ok(write_whole(python::jupyter_config(project).join("custom/custom.css"), &style)?)
}
