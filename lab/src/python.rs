//! The project's own Python environments: JupyterLab, nbclient, pandoc and Typst, at the versions of
//! `lab/python/requirements.txt`, one of nbgrader, at those of `grading-requirements.txt`, and one of HyperQueue.

use crate::project::Project;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use kernel_helpers::files::write_whole;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A Python environment of the project's own.
pub struct Environment {
    folder: PathBuf,
    /// The file with its packages, and those that it includes.
    requirements: Vec<PathBuf>,
    /// What is asked for, as Python imports it.
    modules: &'static [&'static str],
}

impl Environment {
    /// JupyterLab and what executes and exports notebooks.
    pub fn notebooks(project: &Project) -> Self {
        Environment {
            folder: project.venv(),
            requirements: vec![requirements(project, "requirements.txt")],
            modules: &["jupyterlab", "nbclient", "nbconvert", "pypandoc", "typst"],
        }
    }

    /// nbgrader.
    pub fn grading(project: &Project) -> Self {
        let files = ["grading-requirements.txt", "requirements.txt"];
        let requirements = files.map(|name| requirements(project, name)).to_vec();
        Environment { folder: project.installed().join("grading"), requirements, modules: &["nbgrader"] }
    }

    /// HyperQueue, which makes the runs of a sweep on other machines.
    pub fn hyperqueue(project: &Project) -> Self {
        Environment {
            folder: project.installed().join("hyperqueue"),
            requirements: vec![requirements(project, "hyperqueue-requirements.txt")],
            modules: &["hyperqueue"],
        }
    }

    /// JupyterHub, and the servers of its users.
    pub fn hub(project: &Project) -> Self {
        let files = ["lab/jupyterhub/requirements.txt", "lab/python/requirements.txt"];
        Environment {
            folder: project.installed().join("hub/python"),
            requirements: files.map(|name| project.root().join(name)).to_vec(),
            modules: &["jupyterhub", "jupyterlab"],
        }
    }

    /// Whether the environment is there with the packages of the present requirements.
    pub fn is_current(&self) -> bool {
        let installed = fs::read(self.installed_requirements()).ok();
        installed.is_some() && installed == self.required().ok() && self.python().is_file()
    }

    /// Whether it is there and what is asked for can be imported; if it cannot, why, and nothing if it is not there.
    pub fn works(&self) -> Result<(), String> {
        if !self.is_current() {
            return Err(String::new());
        }
        let code = format!("import {}", self.modules.join(", "));
        let output = Command::new(self.python()).args(["-I", "-c", &code]).output();
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                let said = text(&output);
                Err(said.lines().last().unwrap_or("Python failed").to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Has the packages installed anew when they are needed next, if they are there and do not work.
    pub fn forget_if_broken(&self) -> Result<()> {
        match self.works() {
            Err(reason) if !reason.is_empty() => {
                fs::remove_file(self.installed_requirements()).context("could not forget the Python packages")
            }
            _ => Ok(()),
        }
    }

    /// Makes the environment and installs the packages if they are not there. Returns whether it had to.
    pub fn install(&self) -> Result<bool> {
        if self.is_current() {
            return Ok(false);
        }
        check_version()?;
        // Cleared of packages that are no longer required, and of a Python that was removed or upgraded under it.
        let output = run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&self.folder))?;
        if !output.status.success() {
            bail!(
                "`python3 -m venv` failed. On Debian and Ubuntu, install the package `python3-venv`.\n{}",
                text(&output)
            );
        }
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"];
        let output =
            run(Command::new(self.python()).args(pip).arg("--requirement").arg(&self.requirements[0]))?;
        if !output.status.success() {
            bail!(
                "the Python packages could not be installed. This needs the network once.\n{}",
                text(&output)
            );
        }
        fs::write(self.installed_requirements(), self.required()?)
            .context("could not note what was installed")?;
        Ok(true)
    }

    /// The environment's interpreter.
    pub fn python(&self) -> PathBuf {
        self.folder.join("bin/python")
    }

    fn required(&self) -> Result<Vec<u8>> {
        let read =
            |path: &PathBuf| fs::read(path).with_context(|| format!("could not read {}", path.display()));
        Ok(self.requirements.iter().map(read).collect::<Result<Vec<_>>>()?.concat())
    }

    /// A copy of the requirements that were installed, written last.
    fn installed_requirements(&self) -> PathBuf {
        self.folder.join("installed-requirements.txt")
    }

    /// The environment's Python, with nothing of the user's or the system's Python and Jupyter leaking in.
    pub fn command(&self, project: &Project) -> Command {
        let mut command = Command::new(self.python());
        let programs = std::env::var_os("PATH").unwrap_or_default();
        let programs = [self.folder.join("bin")].into_iter().chain(std::env::split_paths(&programs));
        let jupyter = project.own().join("jupyter");
        for variable in ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "JUPYTER_PATH", "JUPYTER_CONFIG_PATH"] {
            command.env_remove(variable);
        }
        if let Ok(path) = std::env::join_paths(programs) {
            // nbgrader calls a program of its environment by its bare name.
            command.env("PATH", path);
        }
        command
            .env("PYTHONNOUSERSITE", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("JUPYTER_CONFIG_DIR", jupyter_config(project))
            .env("JUPYTER_DATA_DIR", jupyter.join("data"))
            .env("JUPYTER_RUNTIME_DIR", jupyter.join("runtime"))
            .env("JUPYTER_PREFER_ENV_PATH", "1");
        command
    }
}

/// The Python of the notebooks.
pub fn command(project: &Project) -> Command {
    Environment::notebooks(project).command(project)
}

/// Where Jupyter keeps its configuration, and none of the user's other Jupyters does.
pub fn jupyter_config(project: &Project) -> PathBuf {
    project.own().join("jupyter/config")
}

/// Registers the kernels in the environment, and only there.
pub fn register_kernels(project: &Project) -> Result<()> {
    let lab = std::env::current_exe()?;
    Kernelspec::value_variants().iter().try_for_each(|kernel| kernel.register(project, &lab))
}

/// The kernels of the project's own Jupyter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Kernelspec {
    /// The project's own.
    #[default]
    Rust,
    /// evcxr_jupyter as it is, started in the same kind of folder.
    Evcxr,
}

impl Kernelspec {
    /// The name by which notebooks ask for it.
    pub fn name(self) -> &'static str {
        match self {
            Kernelspec::Rust => "rust",
            Kernelspec::Evcxr => "evcxr",
        }
    }

    fn register(self, project: &Project, lab: &Path) -> Result<()> {
        let file = project.venv().join("share/jupyter/kernels").join(self.name()).join("kernel.json");
        let text = format!("{:#}\n", self.specification(project, lab));
        if fs::read_to_string(&file).is_ok_and(|old| old == text) {
            return Ok(());
        }
        Ok(write_whole(&file, text.as_bytes())?)
    }

    fn specification(self, project: &Project, lab: &Path) -> Value {
        let mut argv = vec![json!(lab), json!("kernel"), json!("--root"), json!(project.root())];
        let name = match self {
            Kernelspec::Rust => "Rust",
            Kernelspec::Evcxr => {
                argv.push(json!("--evcxr-jupyter"));
                "Rust (evcxr_jupyter)"
            }
        };
        argv.extend([json!("--connection-file"), json!("{connection_file}")]);
        json!({
            "argv": argv,
            "display_name": name,
            "language": "rust",
            "interrupt_mode": "message",
            "metadata": { "debugger": false },
        })
    }
}

fn requirements(project: &Project, name: &str) -> PathBuf {
    project.python_scripts().join(name)
}

fn check_version() -> Result<()> {
    let output = run(Command::new("python3").args(["-c", "import sys; print(*sys.version_info[:2])"]))
        .context("`python3` did not start. Install Python 3.10 or newer")?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let numbers: Vec<u32> = version.split(' ').filter_map(|number| number.parse().ok()).collect();
    if numbers.as_slice() < &[3, 10] {
        bail!("`python3` is version {}; Python 3.10 or newer is needed", version.replace(' ', "."));
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<Output> {
    command
        .output()
        .with_context(|| format!("could not start {}", Path::new(command.get_program()).display()))
}

/// What a command said, without the empty lines around it.
fn text(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}\n{}", out.trim(), err.trim()).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Characters that a shell, a URL, a template or a list of options could take for its own.
    const ODD: &str = "a b#{}%20\"'u\u{308}$;&é";

    fn answer(command: &mut Command) -> String {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}\n{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn the_environment_works_in_any_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join(ODD);
        let copied = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for part in ["lab/python", "lab/pdf"] {
            fs::create_dir_all(root.join(part)).unwrap();
            for file in fs::read_dir(copied.join(part)).unwrap().map(|file| file.unwrap().path()) {
                if file.is_file() {
                    fs::copy(&file, root.join(part).join(file.file_name().unwrap())).unwrap();
                }
            }
        }
        let project = Project::at(&root).unwrap();
        assert!(Environment::notebooks(&project).install().unwrap());
        register_kernels(&project).unwrap();

        let listed = answer(command(&project).args(["-m", "jupyter_client.kernelspecapp", "list", "--json"]));
        let listed: Value = serde_json::from_str(&listed).unwrap();
        for kernel in Kernelspec::value_variants() {
            let specification = &listed["kernelspecs"][kernel.name()]["spec"];
            assert_eq!(specification["argv"][3], json!(project.root()), "{listed:#}");
        }

        let notebook = root.join("notebook.ipynb");
        let cell = json!({ "cell_type": "markdown", "metadata": {}, "source": "# Title\n\n$x^2$" });
        let content = json!({ "cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4 });
        fs::write(&notebook, content.to_string()).unwrap();
        let pdf = notebook.with_extension("pdf");
        let script = project.python_scripts().join("to_pdf.py");
        answer(command(&project).arg(script).arg(&notebook).arg(&pdf));
        assert!(fs::read(&pdf).unwrap().starts_with(b"%PDF"));
    }
}
