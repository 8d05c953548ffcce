//! `cargo lab compress`: ResNet-20 pruned and quantized as far as it goes, beyond the homework's settings.

mod run;

pub use run::{Run, trained};

use super::data;
use super::train::record_command;
use crate::project::Project;
use anyhow::{Context, Result};
use clap::Args;
use kernel_helpers::display::print_line;
use kernel_helpers::homework::prelude::*;
use kernel_helpers::prelude::*;
use std::path::PathBuf;

#[derive(Args)]
/// What `cargo lab compress` can be asked for.
pub struct Options {
    /// `bits=N` for weights of so many bits; `zeros=N` for a percentage of zeros, `blocks=N` for zeros in blocks of 16 output
    /// channels, `two-of-four` for such along the input channels, `channels=N` for channels left out until a percentage of
    /// the multiplications is gone; `zeros=80+bits=4` for both. If none is given, bits=4, 3, 2, 1, zeros=80, 90, 95, two-of-four,
    /// blocks=75, 90, channels=30, zeros=80+bits=4 and channels=30+bits=4. With something changed: `bits=2/labels-alone`,
    /// `/constant-rate`, `/higher-rate`, `/adamw`, `/more-epochs`, `/given-steps`, `/step-per-layer`, and `/linear-ramp` for
    /// zeros; several are joined, `bits=1/adamw/more-epochs`.
    #[arg(value_name = "RUN")]
    runs: Vec<Run>,
    /// The seed of shuffling and augmentation. The runs of a seed other than 0 go to a folder of its own.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Train anew what is finished; what was interrupted continues.
    #[arg(long)]
    retrain: bool,
}

impl Options {
    fn runs(&self) -> Vec<Run> {
        if self.runs.is_empty() { Run::main().collect() } else { self.runs.clone() }
    }

    /// The files of the runs' best weights.
    pub fn weights(&self, scale: Scale) -> Result<Vec<PathBuf>> {
        let folder = output_dir(scale, self.seed)?;
        Ok(self.runs().into_iter().map(|run| run.weights(&folder)).collect())
    }
}

/// Makes the runs in their order. Each is recorded, continued if it was interrupted, and shown if it is finished.
pub fn compress(project: &Project, options: &Options) -> Result<()> {
    data::ensure(project)?;
    let scale = Scale::from_env()?;
    let folder = output_dir(scale, options.seed)?;
    let data = cifar10(scale)?;
    let data = data.hold_out(data.train.len() / 10)?;
    for run in options.runs() {
        print_line(&run);
        let files = RunFiles::of(run.weights(&folder));
        let config = TrainConfig {
            seed: options.seed,
            save_to: Some(files.weights().to_owned()),
            retrain: options.retrain,
            ..run.config(scale)?
        };
        let history = run.train(&data, &config).with_context(|| run.to_string())?;
        let seed = if options.seed == 0 { String::new() } else { format!(" --seed {}", options.seed) };
        record_command(&files, &history, format!("cargo lab compress {run}{seed}"))?;
        print_line(format_args!("{history}\n{}", project.relative(files.weights())));
    }
    Ok(())
}
