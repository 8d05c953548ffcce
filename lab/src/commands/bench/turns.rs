//! The measurement of networks in turns with PyTorch, on the same machine at the same time.

use super::Options;
use super::comparison::{Comparison, Measured, Settings};
use super::progress::Progress;
use crate::project::Project;
use anyhow::{Context, Result, ensure};
use kernel_helpers::bench::{NetworkReport, network, peak_gflop_per_s};
use kernel_helpers::cpu_kernels::Isa;
use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Who computes a network.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This project.
    Lab,
    /// PyTorch, as it is if nothing is said.
    Contiguous,
    /// PyTorch, in the memory layout that is mostly faster on a CPU.
    ChannelsLast,
}

impl Side {
    /// In the order in which they are measured.
    pub const ALL: [Self; 3] = [Self::Lab, Self::Contiguous, Self::ChannelsLast];
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Lab => "this project",
            Side::Contiguous => "PyTorch, contiguous",
            Side::ChannelsLast => "PyTorch, channels last",
        })
    }
}

/// Measures each network in turns, each time in a process of its own, and prints medians and ratios.
pub fn compare(project: &Project, names: &[String], options: &Options) -> Result<()> {
    ensure!(options.turns > 0, "--turns has to be at least 1");
    let sides = if options.torch.is_some() { &Side::ALL[..] } else { &Side::ALL[..1] };
    let mut networks = names.iter().map(|name| measured(name)).collect::<Result<Vec<_>>>()?;
    let turn: f64 = networks.iter().flat_map(|network| sides.iter().map(|side| work(network, *side))).sum();
    let mut progress = Progress::new(options.turns as f64 * turn);
    let processes = Processes::new(project, options)?;
    for turn in 1..=options.turns {
        for network in &mut networks {
            for &side in sides {
                progress.start(&format!("turn {turn} of {}: {}, {side}", options.turns, network.name));
                network.add(side, processes.measure(&network.name, side)?);
                progress.finish(work(network, side));
            }
        }
    }
    progress.end();
    let settings = Settings {
        turns: options.turns,
        batch_size: options.batch_size,
        steps: options.steps,
        threads: rayon::current_num_threads(),
        isa: Isa::current()?.name(),
        peak_gflop_per_s: peak_gflop_per_s()?,
    };
    let comparison = Comparison::new(settings, &networks);
    match options.json {
        true => println!("{}", serde_json::to_string(&comparison)?),
        false => print!("{comparison}"),
    }
    Ok(())
}

fn measured(name: &str) -> Result<Measured> {
    Ok(Measured::new(name, network(name)?.multiplications()))
}

/// About how long a measurement takes, in multiplications for an image: twice as long in PyTorch, and a process's start half as
/// long as the steps of ResNet-20.
fn work(network: &Measured, side: Side) -> f64 {
    let here = 2e7 + network.multiplications as f64;
    if side == Side::Lab { here } else { 2.0 * here }
}

/// The processes that measure.
struct Processes<'a> {
    this: PathBuf,
    python: Option<&'a PathBuf>,
    script: PathBuf,
    threads: String,
    sizes: [String; 4],
}

impl<'a> Processes<'a> {
    fn new(project: &Project, options: &'a Options) -> Result<Self> {
        let (batch_size, steps) = (options.batch_size.to_string(), options.steps.to_string());
        Ok(Self {
            this: std::env::current_exe()?,
            python: options.torch.as_ref(),
            script: project.python_scripts().join("torch_bench.py"),
            threads: rayon::current_num_threads().to_string(),
            sizes: ["--batch-size".to_owned(), batch_size, "--steps".to_owned(), steps],
        })
    }

    fn measure(&self, network: &str, side: Side) -> Result<NetworkReport> {
        let mut command = match (side, self.python) {
            (Side::Contiguous | Side::ChannelsLast, Some(python)) => {
                let mut command = Command::new(python);
                command.arg(&self.script).args(["--threads", &self.threads]);
                command
            }
            _ => {
                let mut command = Command::new(&self.this);
                // candle's own thread pool reads it too.
                command.arg("bench").env("RAYON_NUM_THREADS", &self.threads);
                command
            }
        };
        command.args(["--network", network]).args(&self.sizes);
        if side == Side::ChannelsLast {
            command.arg("--channels-last");
        }
        report(command, side)
    }
}

/// What a process prints as JSON.
fn report(mut command: Command, side: Side) -> Result<NetworkReport> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("could not start {name}"))?;
    let advice = match side {
        Side::Lab => "",
        _ => "; PyTorch has to be installed beside it: `pip install torch numpy`",
    };
    ensure!(output.status.success(), "{name} failed{advice}");
    let printed = String::from_utf8_lossy(&output.stdout);
    let report: NetworkReport =
        serde_json::from_str(&printed).with_context(|| format!("{name} printed `{printed}`, not figures"))?;
    Ok(report)
}
