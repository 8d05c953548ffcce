//! `cargo lab scan`: the homework's deterministic results for a checkpoint.

use super::data;
use crate::project::Project;
use anyhow::Result;
use clap::Args;
use kernel_helpers::display::print_line;
use kernel_helpers::homework::prelude::*;
use kernel_helpers::prelude::*;
use std::path::PathBuf;

#[derive(Args)]
/// What `cargo lab scan` can be asked for.
pub struct Options {
    /// The checkpoint: safetensors or a PyTorch file; the one that the notebooks start from if not given.
    #[arg(long)]
    weights: Option<PathBuf>,
    /// Print a record in JSON in the end, with the checkpoint's checksum and the day.
    #[arg(long)]
    json: bool,
}

/// Tests the checkpoint in every case of the grid, and prints a line for each as soon as it is known.
pub fn scan(project: &Project, options: &Options) -> Result<()> {
    data::ensure(project)?;
    let weights = options.weights.clone().map_or_else(pretrained_model, Ok)?;
    let data = cifar10(Scale::from_env()?)?;
    let device = best_device()?;
    if !options.json {
        print_line(weights.display());
        data.note().iter().for_each(print_line);
        print_line(format_args!("{:<26}{:>10}{:>10}{:>10}", "case", "accuracy", "loss", "sparsity"));
    }
    let mut results = Vec::new();
    for case in Case::all() {
        let result = case.test(&weights, &data, &device)?;
        if !options.json {
            let case = case.to_string();
            print_line(format_args!(
                "{case:<26}{:>10.4}{:>10.4}{:>10.4}",
                result.accuracy, result.loss, result.sparsity
            ));
        }
        results.push(result);
    }
    if options.json {
        let record = Scan::of(results, &weights, &data, &device)?;
        print_line(serde_json::to_string_pretty(&record)?);
    }
    Ok(())
}
