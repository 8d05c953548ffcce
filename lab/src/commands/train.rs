//! `cargo lab train`: a checkpoint from scratch, with a record of how it came about.

use super::data;
use crate::project::Project;
use anyhow::{Result, ensure};
use clap::Args;
use kernel_helpers::files::write_whole;
use kernel_helpers::paths::checkpoints_dir;
use kernel_helpers::prelude::*;
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;

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
    #[arg(long, default_value_t = 1e-4)]
    weight_decay: f64,
    /// The seed of the initial weights, the shuffling and the augmentation.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The checkpoint to write; `resnet20.safetensors` in the checkpoints folder if not given. The record is written
    /// beside it, with the extension `json`.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Trains ResNet-20, keeps the weights of the best epoch, and writes the record when all epochs are done.
pub fn train(project: &Project, options: &Options) -> Result<()> {
    let out = match &options.out {
        Some(out) => out.clone(),
        None => checkpoints_dir()?.join("resnet20.safetensors"),
    };
    let shown = out.display();
    ensure!(!out.exists(), "{shown} is there already: move it away, or give another file with --out");
    data::ensure(project)?;
    let data = Cifar10::load(Scale::from_env()?)?;
    let config = TrainConfig {
        epochs: options.epochs,
        batch_size: options.batch_size,
        learning_rate: options.learning_rate,
        weight_decay: options.weight_decay,
        seed: options.seed,
        save_to: Some(out.clone()),
        ..Default::default()
    };
    let net = ResNetCifar::new(ResNetConfig { seed: options.seed, ..Default::default() }, &best_device()?)?;
    let start = Instant::now();
    let history = kernel_helpers::train_util::train(&net, &data, &config)?;
    let record = json!({
        "command": format!(
            "cargo lab train --epochs {} --batch-size {} --learning-rate {} --weight-decay {} --seed {}",
            options.epochs, options.batch_size, options.learning_rate, options.weight_decay, options.seed
        ),
        "momentum": config.momentum,
        "minutes": (start.elapsed().as_secs_f64() / 6.0).round() / 10.0,
        "threads": std::thread::available_parallelism()?.get(),
        "best": history.best(),
        "last": history.last(),
        "note": history.note,
        "epochs": history.epochs,
    });
    let record = serde_json::to_string_pretty(&record)? + "\n";
    write_whole(out.with_extension("json"), record.as_bytes())?;
    println!("{history}\n{shown}");
    Ok(())
}
