//! `cargo lab train`: a checkpoint from scratch, with a record of how it came about.

use super::data;
use crate::project::Project;
use anyhow::Result;
use clap::Args;
use kernel_helpers::display::print_line;
use kernel_helpers::homework::prelude::*;
use kernel_helpers::paths::checkpoints_dir;
use kernel_helpers::prelude::*;
use std::fmt;
use std::path::PathBuf;

#[derive(Args)]
/// What `cargo lab train` can be asked for.
pub struct Options {
    /// How often the training images are gone through.
    #[arg(long, default_value_t = 160)]
    epochs: usize,
    /// Images a step.
    #[arg(long, default_value_t = 128)]
    batch_size: usize,
    /// The learning rate; a tenth of it from half of the epochs on, a hundredth from three quarters on.
    #[arg(long, default_value_t = 0.1)]
    learning_rate: f64,
    /// The weight decay.
    #[arg(long, default_value_t = 5e-4)]
    weight_decay: f64,
    /// The seed of the initial weights, the shuffling and the augmentation.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The checkpoint to write; `resnet20.safetensors` in the checkpoints folder if not given. The record is written
    /// beside it. A run of another configuration that is there is kept under another name.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Train anew what is finished; what was interrupted continues.
    #[arg(long)]
    retrain: bool,
}

/// Trains ResNet-20 and keeps the weights of the best epoch with the record of the run. Continues a run that was
/// interrupted, and shows the record of one that is finished.
pub fn train(project: &Project, options: &Options) -> Result<()> {
    let out = options.weights()?;
    data::ensure(project)?;
    let data = cifar10(Scale::from_env()?)?;
    let config = TrainConfig {
        epochs: options.epochs,
        batch_size: options.batch_size,
        learning_rate: options.learning_rate,
        weight_decay: options.weight_decay,
        seed: options.seed,
        save_to: Some(out.clone()),
        retrain: options.retrain,
        ..Default::default()
    };
    let net = resnet_cifar(ResNetConfig::default())?.build(options.seed, &best_device()?)?;
    let history = kernel_helpers::train_util::train(&net, &data, &config)?;
    record_command(&RunFiles::of(&out), &history, options)?;
    print_line(format_args!("{history}\n{}", out.display()));
    Ok(())
}

/// Adds the command to the record of the run that it has just finished.
pub fn record_command(files: &RunFiles, history: &History, command: impl fmt::Display) -> Result<()> {
    if history.recorded_on.is_none() && files.record().exists() {
        let command = match Scale::from_env()? {
            Scale::Full => command.to_string(),
            scale => format!("LAB_SCALE={scale} {command}"),
        };
        RunRecord { command: Some(command), ..RunRecord::load(files.record())? }.save(files.record())?;
    }
    Ok(())
}

impl Options {
    /// The checkpoint to write.
    pub fn weights(&self) -> Result<PathBuf> {
        Ok(match &self.out {
            Some(out) => out.clone(),
            None => checkpoints_dir()?.join("resnet20.safetensors"),
        })
    }
}

impl fmt::Display for Options {
    /// The command that trains the same checkpoint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { epochs, batch_size, learning_rate, weight_decay, seed, out, .. } = self;
        write!(
            f,
            "cargo lab train --epochs {epochs} --batch-size {batch_size} --learning-rate {learning_rate} \
             --weight-decay {weight_decay} --seed {seed}"
        )?;
        out.iter().try_for_each(|out| write!(f, " --out {}", out.display()))
    }
}
