//! `cargo lab doctor`: what is there, what is missing, what to do.

use super::{data, setup};
use crate::dataset::{self, Manifest, State};
use crate::machine::{self, free_disk, memory};
use crate::parts::parts;
use crate::project::Project;
use crate::{kernel, python};
use anyhow::Result;
use clap::Args;
use kernel_helpers::base::units::bytes;
use kernel_helpers::bench::{BenchConfig, measure_network, network};
use kernel_helpers::homework::pretrained_model;
use kernel_helpers::{files, paths};
use std::process::{Command, ExitCode};

/// What compiling takes of a disk, and what a process of the compiler takes of the memory at most.
const DISK: u64 = 6_000_000_000;
const COMPILER: u64 = 2_000_000_000;
/// The images of one of the homework's runs: 20 epochs and their tests, which take a third of a training's time.
const IMAGES_OF_A_RUN: f64 = 20.0 * (50_000.0 + 10_000.0 / 3.0);
const RUNS: f64 = 12.0;

#[derive(Args)]
/// What `cargo lab doctor` can be asked for.
pub struct Options {
    /// Install, compile, fetch and tidy up what can be.
    #[arg(long)]
    mend: bool,
}

/// Prints a line for everything that the project needs; fails if something is missing that a command would not install.
pub fn doctor(project: &Project, options: &Options) -> Result<ExitCode> {
    if options.mend {
        mend(project)?;
    }
    let mut report = Report { missing: false };
    match project.check_place() {
        Ok(()) => report.line("ok", "folder", &project.root().display().to_string()),
        Err(error) => report.missing("folder", &error.to_string()),
    }
    report.tool("Rust", "rustc", &["--version"], "install it from https://rustup.rs");
    report.tool("Python", "python3", &["--version"], "install Python 3.10 or newer");
    let works = python::Environment::notebooks(project).works();
    report.installable("Python packages", works.map(|()| "in .lab/venv".to_owned()), "`cargo lab setup`");
    let works = python::Environment::grading(project).works();
    report.installable("nbgrader", works.map(|()| "in .lab/grading".to_owned()), "`cargo lab assignment`");
    let helpers = kernel::warm::is_current(project)?;
    let helpers = if helpers { Ok("compiled, in .lab/kernel".to_owned()) } else { Err(String::new()) };
    report.installable("notebook kernel", helpers, "`cargo lab setup`");
    let folder = paths::data_dir()?;
    let state = match dataset::verify(&folder, &Manifest::official())? {
        State::Official => Ok(format!("CIFAR-10, checksums right, in {}", project.relative(&folder))),
        State::Generated => Ok("generated pictures, not CIFAR-10: `cargo lab data` fetches it".to_owned()),
        State::Incomplete => Err(String::new()),
    };
    report.installable("data", state, "`cargo lab data`");
    match pretrained_model() {
        Ok(file) => report.line("ok", "checkpoint", &project.relative(&file)),
        Err(error) => report.missing("checkpoint", &error.to_string()),
    }
    report.line("ok", "GPU", &gpu());
    report.machine(project)?;
    if !options.mend {
        println!("`cargo lab doctor --mend` makes what commands make.");
    }
    Ok(if report.missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Makes all that commands make when they need it, anew where it is damaged, and removes what ended processes have left.
fn mend(project: &Project) -> Result<()> {
    for environment in [python::Environment::notebooks(project), python::Environment::grading(project)] {
        environment.forget_if_broken()?;
    }
    for part in parts(project)? {
        part.folders.iter().for_each(|folder| files::sweep(folder));
    }
    kernel::copy::remove_abandoned(project)?;
    setup::ensure(project)?;
    // With their sums computed anew, unlike what other commands do first.
    if dataset::look(&paths::data_dir()?) != State::Generated {
        data::data(project, &data::Options::usual())?;
    }
    Ok(())
}

struct Report {
    missing: bool,
}

impl Report {
    fn line(&mut self, state: &str, what: &str, text: &str) {
        println!("{state:<7} {what:<16} {text}");
    }

    fn missing(&mut self, what: &str, text: &str) {
        self.missing = true;
        self.line("missing", what, text);
    }

    /// A program that has to be on the machine.
    fn tool(&mut self, what: &str, program: &str, arguments: &[&str], help: &str) {
        match Command::new(program).args(arguments).output() {
            Ok(output) => self.line("ok", what, String::from_utf8_lossy(&output.stdout).trim()),
            Err(_) => self.missing(what, &format!("`{program}` did not start: {help}")),
        }
    }

    /// Something that a command of ours puts there when it is needed. What does not work has a reason.
    fn installable(&mut self, what: &str, state: Result<String, String>, command: &str) {
        match state {
            Ok(text) => self.line("ok", what, &text),
            Err(reason) if reason.is_empty() => self.line("missing", what, &format!("{command} makes it")),
            Err(reason) => {
                self.line("broken", what, &format!("{reason}; `cargo lab doctor --mend` installs it anew"));
            }
        }
    }

    /// Processors, memory and disk, and what they are enough for.
    fn machine(&mut self, project: &Project) -> Result<()> {
        let threads = machine::threads();
        if let Some(memory) = memory() {
            let available = memory.available.unwrap_or(memory.all);
            let text = format!("{}, {} available", bytes(memory.all as usize), bytes(available as usize));
            match available / COMPILER {
                jobs if jobs >= threads as u64 => self.line("ok", "memory", &text),
                jobs => self.line(
                    "little",
                    "memory",
                    &format!("{text}: set CARGO_BUILD_JOBS={} while the command compiles", jobs.max(1)),
                ),
            }
        }
        if let Some(free) = free_disk(project.root()) {
            let text = format!("{} free; `cargo lab clean` shows what takes how much", bytes(free as usize));
            let nothing_compiled = !kernel::warm::is_current(project)?;
            let enough = free > if nothing_compiled { DISK } else { DISK / 6 };
            self.line(if enough { "ok" } else { "little" }, "disk", &text);
        }
        let speed = measure_network(network("resnet20")?, BenchConfig { steps: 3, ..Default::default() })?;
        let minutes = IMAGES_OF_A_RUN / speed.throughput.train_img_per_s / 60.0;
        self.line(
            "ok",
            "speed",
            &format!(
                "{threads} threads train {:.0} images/s now: {minutes:.0} minutes for a run of the homework, {:.1} hours for all; \
                 the recorded ones need none",
                speed.throughput.train_img_per_s,
                RUNS * minutes / 60.0
            ),
        );
        Ok(())
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
