//! `cargo lab bench`: how many images a second this machine trains and evaluates.

mod cell;
mod comparison;
mod progress;
mod turns;

use super::data;
use crate::project::Project;
use anyhow::{Context, Result};
use clap::Args;
use clap::builder::PossibleValuesParser;
use kernel_helpers::bench;
use kernel_helpers::bench::{BenchConfig, NETWORKS, measure_network, network, operators, peak_gflop_per_s};
use kernel_helpers::cpu_kernels::Isa;
use kernel_helpers::homework::{Scale, cifar10};
use std::path::PathBuf;

#[derive(Args)]
/// What `cargo lab bench` can be asked for.
pub struct Options {
    /// Print JSON; of `--operators` one object a line.
    #[arg(long)]
    json: bool,
    /// How many threads compute; as many as there are processors if not given.
    #[arg(long)]
    threads: Option<usize>,
    /// Images a step.
    #[arg(long, default_value_t = BenchConfig::default().batch_size)]
    batch_size: usize,
    /// Steps whose median counts.
    #[arg(long, default_value_t = BenchConfig::default().steps)]
    steps: usize,
    /// Leave out the epoch on CIFAR-10.
    #[arg(long)]
    no_epoch: bool,
    /// Measure in a notebook's cell.
    #[arg(long, conflicts_with_all = ["operators", "networks", "torch", "threads"])]
    cell: bool,
    /// Measure each kernel on each convolution of ResNet-20 in place of the network.
    #[arg(long, conflicts_with_all = ["networks", "torch"])]
    operators: bool,
    /// Measure these networks in floating point, each in a process of its own; all of them if none is named.
    #[arg(long, value_name = "NAME", num_args = 0.., value_parser = PossibleValuesParser::new(NETWORKS))]
    networks: Option<Vec<String>>,
    /// Measure in turns with PyTorch, installed in the environment of this Python; ResNet-20 if not told otherwise.
    #[arg(long, value_name = "PYTHON")]
    torch: Option<PathBuf>,
    /// How many turns; medians count.
    #[arg(long, alias = "rounds", default_value_t = 5)]
    turns: usize,
    /// Measure this network in this process, and print its figures alone.
    #[arg(long, hide = true)]
    network: Option<String>,
}

/// Measures and prints what the options ask for.
pub fn bench(project: &Project, options: &Options) -> Result<()> {
    if let Some(threads) = options.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build_global().context("could not set the number of threads")?;
    }
    if options.operators {
        return print_operators(options.json);
    }
    if let Some(name) = &options.network {
        let report = measure_network(network(name)?, options.config())?;
        println!("{}", serde_json::to_string(&report)?);
        return Ok(());
    }
    if let Some(names) = options.networks() {
        return turns::compare(project, &names, options);
    }
    if !options.no_epoch {
        data::ensure(project)?;
    }
    let report = match options.cell {
        true => cell::measure(project, options)?,
        false => {
            let data = if options.no_epoch { None } else { Some(cifar10(Scale::Full)?) };
            bench::measure(options.config(), data.as_ref())?
        }
    };
    match options.json {
        true => println!("{}", report.to_json()),
        false => println!("{report}"),
    }
    Ok(())
}

impl Options {
    fn config(&self) -> BenchConfig {
        BenchConfig { batch_size: self.batch_size, steps: self.steps }
    }

    /// The networks to measure in turns; `None` for ResNet-20 in this process, with 4-bit weights too.
    fn networks(&self) -> Option<Vec<String>> {
        match &self.networks {
            Some(names) if names.is_empty() => Some(NETWORKS.map(str::to_owned).into()),
            Some(names) => Some(names.clone()),
            None => self.torch.is_some().then(|| vec!["resnet20".to_owned()]),
        }
    }
}

fn print_operators(json: bool) -> Result<()> {
    if !json {
        let (isa, peak) = (Isa::current()?.name(), peak_gflop_per_s()?);
        println!("one core's peak, {isa}: {peak:.0} GFLOP/s");
    }
    for report in operators()? {
        if json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            let share = 100.0 * report.share_of_peak;
            let rate = report.gflop_per_s;
            println!("{:32}{:18}{rate:6.0} GFLOP/s{share:6.0} %", report.shape, report.operator);
        }
    }
    Ok(())
}
