//! `cargo lab hub`: JupyterHub for those who have an account on this machine, with one installation for all.

use super::jupyter::{server_arguments, server_environment};
use super::setup;
use crate::kernel::analysis::sysroot;
use crate::progress::spinner;
use crate::project::Project;
use crate::python::Environment;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use kernel_helpers::files::write_whole;
use serde_json::json;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the proxy is installed from.
const PROXY_FILES: [&str; 2] = ["package.json", "package-lock.json"];

#[derive(Args)]
/// What `cargo lab hub` can be asked for.
pub struct Options {
    /// The address at which the hub is reached. From elsewhere than this machine, put a server with TLS before it.
    #[arg(long, default_value = "127.0.0.1")]
    address: String,
    /// The port; the next two are taken too, on this machine alone.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Only install and check what the hub needs.
    #[arg(long)]
    only_install: bool,
}

/// Becomes JupyterHub.
pub fn hub(project: &Project, options: &Options) -> Result<()> {
    if options.only_install {
        setup::ensure(project)?;
    } else {
        ensure!(
            rustix::process::geteuid().is_root(),
            "the hub starts servers for others, which needs root: `sudo`"
        );
        setup::ensure_with_data(project)?;
    }
    let environment = Environment::hub(project);
    check_readable(project, &environment)?;
    if !environment.is_current() {
        let spinner = spinner("Installing JupyterHub into .lab/hub");
        let installed = environment.install();
        spinner.finish_and_clear();
        installed?;
    }
    let proxy = install_proxy(project)?;
    if options.only_install {
        println!("The hub is installed; `sudo cargo lab hub` starts it.");
        return Ok(());
    }
    let state = project.installed().join("hub/state");
    // Whoever can read the cookies' key is whoever they like.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&state)?;
    let rustup = std::env::var_os("RUSTUP_HOME").map(PathBuf::from);
    let rustup = rustup.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".rustup")));
    let mut servers: serde_json::Map<_, _> = server_environment(project)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    servers.insert("JUPYTER_PATH".to_owned(), json!(project.venv().join("share/jupyter")));
    servers.insert("JUPYTER_PREFER_ENV_PATH".to_owned(), json!("1"));
    servers.insert("PYTHONNOUSERSITE".to_owned(), json!("1"));
    servers.insert("PYTHONDONTWRITEBYTECODE".to_owned(), json!("1"));
    // The compiler of cells.
    servers.insert("PATH".to_owned(), json!(std::env::var("PATH").unwrap_or_default()));
    servers.extend(rustup.map(|folder| ("RUSTUP_HOME".to_owned(), json!(folder))));
    let mut command = environment.command(project);
    command
        .args(["-m", "jupyterhub", "--config"])
        .arg(project.root().join("lab/jupyterhub/jupyterhub_config.py"))
        .current_dir(&state)
        .env("LAB_HUB_STATE", &state)
        .env("LAB_HUB_ADDRESS", &options.address)
        .env("LAB_HUB_PORT", options.port.to_string())
        .env("LAB_HUB_PROXY", proxy)
        .env("LAB_HUB_SERVER_ARGUMENTS", json!(server_arguments()).to_string())
        .env("LAB_HUB_SERVER_ENVIRONMENT", json!(servers).to_string());
    eprintln!("The hub is at http://{}:{}; Ctrl-C ends it.", options.address, options.port);
    Err(command.exec()).context("could not start JupyterHub")
}

/// Installs the proxy that stands before the hub, with npm, and returns its program.
fn install_proxy(project: &Project) -> Result<PathBuf> {
    let folder = project.installed().join("hub/proxy");
    let program = folder.join("node_modules/.bin/configurable-http-proxy");
    let wanted = PROXY_FILES.map(|name| fs::read(project.root().join("lab/jupyterhub").join(name)));
    let [package, lock] = wanted;
    let (package, lock) = (package?, lock?);
    if program.is_file() && fs::read(folder.join(PROXY_FILES[1])).is_ok_and(|installed| installed == lock) {
        return Ok(program);
    }
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    write_whole(folder.join(PROXY_FILES[0]), &package)?;
    write_whole(folder.join(PROXY_FILES[1]), &lock)?;
    let spinner = spinner("Installing the hub's proxy into .lab/hub");
    let output = Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder).output();
    spinner.finish_and_clear();
    let output = output
        .context("`npm` did not start: install Node.js, on Debian and Ubuntu `apt install nodejs npm`")?;
    if !output.status.success() {
        bail!("the hub's proxy could not be installed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(program)
}

/// Fails if others cannot read what their kernels and servers need: the clone, the compiler, the sources of the crates, and the
/// Python that the environments stand for.
fn check_readable(project: &Project, hub: &Environment) -> Result<()> {
    const RUST: &str = "Clone the project to a folder such as /opt/labs, and install Rust for everybody: RUSTUP_HOME=/opt/rust/rustup \
                        and CARGO_HOME=/opt/rust/cargo for rustup and for this command";
    const PYTHON: &str = "Have a Python for everybody first on the PATH, such as /usr/bin/python3, remove .lab/hub and .lab/venv, and \
                          start again";
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let sources = cargo.context("there is neither CARGO_HOME nor HOME")?.join("registry/src");
    let needed = [
        (project.kernel().join("warm"), RUST),
        (sysroot()?, RUST),
        (sources, RUST),
        (Environment::notebooks(project).python(), PYTHON),
        (hub.python(), PYTHON),
    ];
    for (place, help) in needed {
        if let Some(closed) = closed_to_others(&place) {
            let (closed, place) = (closed.display(), place.display());
            bail!("others cannot look into {closed}, where {place} is, which their notebooks need. {help}");
        }
    }
    Ok(())
}

/// The first folder on the way that only its owner may enter.
fn closed_to_others(place: &Path) -> Option<PathBuf> {
    let place = place.canonicalize().ok()?;
    let mut way: Vec<&Path> = place.ancestors().collect();
    way.reverse();
    let closed =
        way.into_iter().find(|folder| folder.metadata().is_ok_and(|found| found.mode() & 0o001 == 0));
    closed.map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_folder_behind_a_link_is_closed_until_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        allow(folder.path(), 0o755);
        let closed = folder.path().canonicalize().unwrap().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::write(closed.join("python"), "").unwrap();
        allow(&closed.join("python"), 0o755);
        let link = folder.path().join("python");
        symlink(closed.join("python"), &link).unwrap();
        allow(&closed, 0o700);
        assert!(closed.starts_with(closed_to_others(&link).unwrap()));
        allow(&closed, 0o755);
        assert_ne!(closed_to_others(&link), Some(closed));
    }
}
