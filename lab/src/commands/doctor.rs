//! `cargo lab doctor`: what is there, what is missing, what to do.

use crate::dataset::{self, Manifest, State};
use crate::project::Project;
use crate::{kernel, python};
use anyhow::Result;
use kernel_helpers::homework::pretrained_model;
use kernel_helpers::paths;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Prints a line for everything that the project needs; fails if something is missing that a command would not install.
pub fn doctor(project: &Project) -> Result<ExitCode> {
    let mut report = Report { missing: false };
    match project.check_place() {
        Ok(()) => report.line(true, "folder", &project.root().display().to_string()),
        Err(error) => report.missing("folder", &error.to_string()),
    }
    report.tool("Rust", "rustc", &["--version"], "install it from https://rustup.rs");
    report.tool("Python", "python3", &["--version"], "install Python 3.10 or newer");
    let packages = python::Environment::notebooks(project).is_current();
    let packages = if packages { Ok("in .lab/venv".to_owned()) } else { Err("`cargo lab setup`") };
    report.installable("Python packages", packages);
    let nbgrader = python::Environment::grading(project).is_current();
    let nbgrader = if nbgrader { Ok("in .lab/grading".to_owned()) } else { Err("`cargo lab assignment`") };
    report.installable("nbgrader", nbgrader);
    let helpers = if kernel::warm::is_current(project)? {
        Ok("compiled, in .lab/kernel".to_owned())
    } else {
        Err("`cargo lab setup`")
    };
    report.installable("notebook kernel", helpers);
    let data = paths::data_dir()?;
    let state = match dataset::verify(&data, &Manifest::official())? {
        State::Official => Ok(format!("CIFAR-10, checksums right, in {}", project.relative(&data))),
        State::Generated => Ok("generated pictures, not CIFAR-10: `cargo lab data` fetches it".to_owned()),
        State::Incomplete => Err("`cargo lab data`"),
    };
    report.installable("data", state);
    match pretrained_model() {
        Ok(file) => report.line(true, "checkpoint", &project.relative(&file)),
        Err(error) => report.missing("checkpoint", &error.to_string()),
    }
    report.line(true, "GPU", &gpu());
    report.line(true, "disk", &disk(project.root()));
    Ok(if report.missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

struct Report {
    missing: bool,
}

impl Report {
    fn line(&mut self, there: bool, what: &str, text: &str) {
        println!("{} {what:<16} {text}", if there { "ok     " } else { "missing" });
    }

    fn missing(&mut self, what: &str, text: &str) {
        self.missing = true;
        self.line(false, what, text);
    }

    /// A program that has to be on the machine.
    fn tool(&mut self, what: &str, program: &str, arguments: &[&str], help: &str) {
        match Command::new(program).args(arguments).output() {
            Ok(output) => self.line(true, what, String::from_utf8_lossy(&output.stdout).trim()),
            Err(_) => self.missing(what, &format!("`{program}` did not start: {help}")),
        }
    }

    /// Something that a command of ours puts there when it is needed.
    fn installable(&mut self, what: &str, state: Result<String, &str>) {
        match state {
            Ok(text) => self.line(true, what, &text),
            Err(command) => self.line(false, what, &format!("{command} makes it")),
        }
    }
}

fn gpu() -> String {
    if cfg!(feature = "cuda") {
        return match kernel_helpers::device::best_device() {
            Ok(device) if device.is_cuda() => "CUDA, used".to_owned(),
            Ok(_) => "built for CUDA, but no GPU was found: computing on the CPU".to_owned(),
            Err(error) => format!("built for CUDA, but the GPU cannot be used: {error}"),
        };
    }
    "not built for one: computing on the CPU (`cargo lab-cuda` is the same command for NVIDIA GPUs)"
        .to_owned()
}

/// Free and used space, by `df` and `du`, which every Unix has.
fn disk(root: &Path) -> String {
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(root).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let free = run("df", &["-hP", "."])
        .and_then(|text| Some(text.lines().last()?.split_whitespace().nth(3)?.to_owned()));
    let used = run("du", &["-sh", "target", ".lab", "data"]).map(|text| {
        let folders = text.lines().filter_map(|line| line.split_once('\t'));
        folders.map(|(size, name)| format!("{name} {size}")).collect::<Vec<_>>().join(", ")
    });
    format!("{} free; {}", free.unwrap_or("?".to_owned()), used.unwrap_or_default())
}
