//! One file and one function per subcommand.

use crate::kernel;
use crate::project::Project;
use anyhow::Result;
use clap::{Parser, Subcommand};
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
    /// The notebook kernel; Jupyter calls it.
    #[command(hide = true)]
    Kernel {
        /// The project's folder.
        #[arg(long)]
        root: Option<PathBuf>,
        /// Jupyter's connection file.
        #[arg(long, required_unless_present = "warm_up")]
        connection_file: Option<PathBuf>,
        /// Only compile what a notebook's start compiles.
        #[arg(long)]
        warm_up: bool,
        /// Build the warm folder.
        #[arg(long)]
        build: bool,
    },
}

/// Runs the subcommand.
pub fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Kernel { build: true, .. } => {
            kernel::warm::build(&Project::find()?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Kernel {
            root,
            connection_file: Some(connection_file),
            ..
        } => {
            let project = root.map_or_else(Project::find, Project::at)?;
            kernel::launch::launch(&project, &connection_file)
        }
        Command::Kernel { .. } => {
            kernel::warm::warm_up()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
