//! One file and one function per subcommand.

mod assignment;
mod bench;
mod bench_kernel;
mod clean;
mod compare;
mod compress;
mod data;
mod doctor;
mod engine;
mod execute;
mod export;
mod finetune;
mod grade;
mod hub;
mod jupyter;
mod report;
mod run;
mod runs;
mod scan;
mod setup;
mod sweep;
mod train;

use crate::kernel;
use crate::project::Project;
use crate::python::Kernelspec;
use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand};
use kernel_helpers::homework::Scale;
use kernel_helpers::runs::RunFiles;
use run::Execution;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Pruning and quantization homework in Rust notebooks.
#[derive(Parser)]
#[command(name = "cargo lab", bin_name = "cargo lab", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install and compile what the notebooks need; all other commands do so by themselves.
    Setup,
    /// Fetch CIFAR-10 into data/.
    Data(data::Options),
    /// Open the notebooks in JupyterLab.
    Jupyter(jupyter::Options),
    /// Start JupyterHub, in which those who have an account on this machine work in notebooks of their own.
    Hub(hub::Options),
    /// Execute notebooks in place.
    Run {
        #[command(flatten)]
        notebooks: Notebooks,
        /// The seed of shuffling and augmentation. Files and results of a seed other than 0 go to a folder of its own in
        /// checkpoints/, and the executed notebook to .lab/executed/.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// The kernel that runs the cells. Notebooks that evcxr executes go to .lab/executed/.
        #[arg(long, value_enum, default_value_t)]
        kernel: Kernelspec,
    },
    /// Write PDFs of the notebooks, executing them first where they have not been, and gather what is to be handed in.
    Report {
        #[command(flatten)]
        notebooks: Notebooks,
        #[command(flatten)]
        first_page: report::FirstPage,
    },
    /// Test a checkpoint in every deterministic case of the homework.
    Scan(scan::Options),
    /// Train a checkpoint from scratch.
    Train(train::Options),
    /// Make the homework's fine-tuning runs without a notebook, which then finds them recorded.
    Finetune(finetune::Options),
    /// Prune and quantize beyond the homework: learned steps, a teacher, more epochs.
    Compress(compress::Options),
    /// Compare the compressed networks: accuracy, size, time, in floating point and in integers.
    Compare(compare::Options),
    /// Write a network to a file for its use: ONNX for other engines, or integers.
    Export(export::Options),
    /// Make many runs, one for each combination of some values, here or on other machines.
    Sweep(sweep::Options),
    /// List the runs that are kept, finished and unfinished, or remove some.
    Runs(runs::Options),
    /// Measure how many images a second this machine trains and evaluates.
    Bench(bench::Options),
    /// Measure how long a notebook's start and its cells take.
    BenchKernel(bench_kernel::Options),
    /// Make the students' edition of the notebooks, with nbgrader.
    ///
    /// Functions that lab/assignment/ names lose their bodies, answers in words make room for the students' own, and tests with
    /// points follow each exercise.
    Assignment(assignment::Options),
    /// Grade submissions, with nbgrader, and write feedback and points.
    ///
    /// Tests run on few images, within limits of time and memory. What a submission may read, and the network, is not limited:
    /// grade what strangers hand in on a machine with nothing to lose.
    Grade(grade::Options),
    /// Show what is there, what is missing, and what to do; mend what can be mended.
    Doctor(doctor::Options),
    /// Show what takes how much of the disk, or remove parts of it that come back.
    Clean(clean::Options),
    /// The notebook kernel; Jupyter calls it.
    #[command(hide = true)]
    Kernel {
        /// The project's folder.
        #[arg(long)]
        root: Option<PathBuf>,
        /// Jupyter's connection file.
        #[arg(long, required_unless_present_any = ["warm_up", "metadata_by", "compile_like"])]
        connection_file: Option<PathBuf>,
        /// Only compile what a notebook's start compiles.
        #[arg(long)]
        warm_up: bool,
        /// Start evcxr's own kernel in place of ours.
        #[arg(long)]
        evcxr_jupyter: bool,
        /// Only run this cargo for rust-analyzer, with these arguments.
        #[arg(long)]
        metadata_by: Option<PathBuf>,
        /// Only compile a cell as this cargo would, with these arguments.
        #[arg(long)]
        compile_like: Option<PathBuf>,
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Args)]
struct Notebooks {
    /// Names in notebooks/, or paths; without any, all of the homework.
    #[arg(value_name = "NOTEBOOK")]
    names: Vec<PathBuf>,
    /// A subset of the images and fewer epochs: minutes in place of hours.
    #[arg(long)]
    quick: bool,
    /// Only see that everything runs.
    #[arg(long, conflicts_with = "quick")]
    tiny: bool,
    /// Train anew what is recorded in checkpoints/.
    #[arg(long)]
    retrain: bool,
}

impl Notebooks {
    fn execution(&self, seed: u64, kernel: Kernelspec) -> Execution {
        let scale = match (self.quick, self.tiny) {
            (_, true) => Scale::Tiny,
            (true, _) => Scale::Quick,
            _ => Scale::Full,
        };
        Execution { scale, seed, retrain: self.retrain, kernel }
    }
}

/// Where the record of a command's only run is, once it is finished.
fn record_of(words: &[String], scale: Scale) -> Result<PathBuf> {
    let cli = Cli::try_parse_from(["cargo lab"].into_iter().chain(words.iter().map(String::as_str)))?;
    let weights = match &cli.command {
        Command::Compress(options) => options.weights(scale)?,
        Command::Finetune(options) => options.weights(scale)?,
        Command::Train(options) => vec![options.weights()?],
        _ => bail!("a run is made by `cargo lab train`, `finetune` or `compress`"),
    };
    match &weights[..] {
        [weights] => Ok(RunFiles::of(weights).record()),
        _ => bail!("it makes {} runs: name one", weights.len()),
    }
}

/// Runs the subcommand.
pub fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Setup => setup::setup(&Project::find()?)?,
        Command::Data(options) => data::data(&Project::find()?, &options)?,
        Command::Hub(options) => hub::hub(&Project::find()?, &options)?,
        Command::Jupyter(options) => jupyter::jupyter(&Project::find()?, &options)?,
        Command::Run { notebooks, seed, kernel } => {
            run::run(&Project::find()?, &notebooks.names, notebooks.execution(seed, kernel))?;
        }
        Command::Report { notebooks, first_page } => {
            let execution = notebooks.execution(0, Kernelspec::Rust);
            report::report(&Project::find()?, &notebooks.names, execution, &first_page)?;
        }
        Command::Scan(options) => scan::scan(&Project::find()?, &options)?,
        Command::Train(options) => train::train(&Project::find()?, &options)?,
        Command::Finetune(options) => finetune::finetune(&Project::find()?, &options)?,
        Command::Compress(options) => compress::compress(&Project::find()?, &options)?,
        Command::Compare(options) => compare::compare(&Project::find()?, &options)?,
        Command::Export(options) => export::export(&Project::find()?, &options)?,
        Command::Sweep(options) => return sweep::sweep(&Project::find()?, &options),
        Command::Runs(options) => runs::runs(&Project::find()?, &options)?,
        Command::Bench(options) => bench::bench(&Project::find()?, &options)?,
        Command::BenchKernel(options) => bench_kernel::bench_kernel(&Project::find()?, &options)?,
        Command::Assignment(options) => assignment::assignment(&Project::find()?, &options)?,
        Command::Grade(options) => grade::grade(&Project::find()?, &options)?,
        Command::Doctor(options) => return doctor::doctor(&Project::find()?, &options),
        Command::Clean(options) => clean::clean(&Project::find()?, &options)?,
        Command::Kernel { root, connection_file: Some(connection_file), evcxr_jupyter, .. } => {
            let project = root.map_or_else(Project::find, Project::at)?;
            return kernel::launch::launch(&project, &connection_file, evcxr_jupyter);
        }
        Command::Kernel { compile_like: Some(cargo), arguments, .. } => {
            return kernel::compile::instead_of_cargo(&cargo, &arguments);
        }
        Command::Kernel { metadata_by: Some(cargo), arguments, .. } => {
            kernel::metadata::print(&cargo, &arguments)?;
        }
        Command::Kernel { .. } => kernel::warm::warm_up()?,
    }
    Ok(ExitCode::SUCCESS)
}
