//! `cargo lab finetune`: the runs of `hw4.ipynb` and of the report, one by one.

use super::data;
use super::train::record_command;
use crate::project::Project;
use anyhow::{Context, Result, bail};
use clap::Args;
use kernel_helpers::display::print_line;
use kernel_helpers::homework::prelude::*;
use kernel_helpers::prelude::*;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

const SPARSITY: f64 = 0.8;

#[derive(Args)]
/// What `cargo lab finetune` can be asked for.
pub struct Options {
    /// `lab2/c`, `lab2/d`, `lab2/e`, `lab3/c/bits=4` or `lab3/d/bits=4` with 5, 4, 3 or 2 bits, and `1.5`; all of these
    /// if not given. For comparison: `lab2/control`, `lab3/control/bits=3`, `1.2/bits=4`, `1.5/all` and
    /// `validation/bits=2`.
    #[arg(value_name = "RUN")]
    runs: Vec<Run>,
    /// The seed of shuffling and augmentation. The runs of a seed other than 0 go to a folder of its own.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Train anew what is finished; what was interrupted continues.
    #[arg(long)]
    retrain: bool,
}

/// A run of the homework, by the name of its result.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Run {
    /// Lab 2 (c): pruned at once, then fine-tuned.
    OneShot,
    /// Lab 2 (d) and (e): pruned a little before each epoch.
    Iterative(PruneScope),
    /// Lab 3 (c): quantized and fine-tuned.
    Quantized { bits: u32 },
    /// Lab 3 (d): the best of the pruned models, quantized and fine-tuned.
    PrunedAndQuantized { bits: u32 },
    /// Problem 1.5: trained with binary weights in the blocks.
    Binary,
    /// What the pruned models are to be compared with: fine-tuned as long, and nothing pruned.
    Tuned,
    /// What Lab 3 (d) is to be compared with: fine-tuned as often, and nothing pruned.
    TunedAndQuantized { bits: u32 },
    /// Problem 1.2: the quantized model of Lab 3 (c), pruned by its quantized weights and fine-tuned again.
    QuantizedAndPruned { bits: u32 },
    /// Problem 1.5: trained with binary weights in all layers.
    BinaryEverywhere,
    /// Lab 3 (c) on the first 45,000 training images, with the best epoch chosen on the other 5,000: what choosing it on
    /// the test images is worth.
    Validated { bits: u32 },
}

const PRUNED: [Run; 3] =
    [Run::OneShot, Run::Iterative(PruneScope::Layer), Run::Iterative(PruneScope::Global)];
const BIT_WIDTHS: [u32; 4] = [5, 4, 3, 2];
const COMPARISONS: [Run; 6] = [
    Run::Tuned,
    Run::TunedAndQuantized { bits: 3 },
    Run::TunedAndQuantized { bits: 2 },
    Run::QuantizedAndPruned { bits: 4 },
    Run::BinaryEverywhere,
    Run::Validated { bits: 2 },
];

impl Options {
    fn runs(&self) -> Vec<Run> {
        if self.runs.is_empty() { Run::homework().collect() } else { self.runs.clone() }
    }

    /// The files of the runs' best weights.
    pub fn weights(&self, scale: Scale) -> Result<Vec<PathBuf>> {
        let folder = output_dir(scale, self.seed)?;
        Ok(self.runs().into_iter().map(|run| run.weights(&folder)).collect())
    }
}

/// Makes the runs in their order. Each is recorded, continued if it was interrupted, and shown if it is finished.
pub fn finetune(project: &Project, options: &Options) -> Result<()> {
    data::ensure(project)?;
    let scale = Scale::from_env()?;
    let folder = output_dir(scale, options.seed)?;
    let data = cifar10(scale)?;
    for run in options.runs() {
        print_line(run);
        let files = RunFiles::of(run.weights(&folder));
        let config = TrainConfig {
            epochs: scale.epochs(20),
            learning_rate: if run.is_binary() { 0.05 } else { TrainConfig::default().learning_rate },
            seed: options.seed,
            keep_zeros: run.keeps_zeros(),
            save_to: Some(files.weights().to_owned()),
            retrain: options.retrain,
            ..Default::default()
        };
        let history = run.run(&output_dir(scale, 0)?, &data, &config).with_context(|| run.to_string())?;
        let seed = if options.seed == 0 { String::new() } else { format!(" --seed {}", options.seed) };
        record_command(&files, &history, format!("cargo lab finetune {run}{seed}"))?;
        print_line(format_args!("{history}\n{}", project.relative(files.weights())));
    }
    Ok(())
}

impl Run {
    /// Those that the assignment asks for, in an order in which each finds what it starts from.
    fn homework() -> impl Iterator<Item = Run> {
        let quantized = BIT_WIDTHS.map(|bits| Run::Quantized { bits });
        let pruned_and_quantized = BIT_WIDTHS.map(|bits| Run::PrunedAndQuantized { bits });
        PRUNED.into_iter().chain(quantized).chain(pruned_and_quantized).chain([Run::Binary])
    }

    fn all() -> impl Iterator<Item = Run> {
        Run::homework().chain(COMPARISONS)
    }

    /// The file of the run's best weights.
    fn weights(self, folder: &Path) -> PathBuf {
        let name = match self {
            Run::OneShot => "net_after_finetune".to_owned(),
            Run::Iterative(PruneScope::Layer) => "net_after_iterative_prune".to_owned(),
            Run::Iterative(PruneScope::Global) => "net_after_global_iterative_prune".to_owned(),
            Run::Quantized { bits } => format!("quantized_net_after_finetune_{bits}bit"),
            Run::PrunedAndQuantized { bits } => format!("quantized_pruned_net_after_finetune_{bits}bit"),
            Run::Binary => "binary_net_after_train".to_owned(),
            Run::Tuned => "unpruned_net_after_finetune".to_owned(),
            Run::TunedAndQuantized { bits } => format!("quantized_unpruned_net_after_finetune_{bits}bit"),
            Run::QuantizedAndPruned { bits } => format!("pruned_quantized_net_after_finetune_{bits}bit"),
            Run::BinaryEverywhere => "fully_binary_net_after_train".to_owned(),
            Run::Validated { bits } => format!("validated_net_after_finetune_{bits}bit"),
        };
        folder.join(format!("{name}.safetensors"))
    }

    fn is_binary(self) -> bool {
        matches!(self, Run::Binary | Run::BinaryEverywhere)
    }

    fn keeps_zeros(self) -> bool {
        matches!(self, Run::OneShot | Run::PrunedAndQuantized { .. } | Run::QuantizedAndPruned { .. })
    }

    /// The network that the run starts with. What it starts from was made with seed 0 and is in `folder`.
    fn network(self, folder: &Path) -> Result<Model> {
        let n_bits = match self {
            Run::OneShot | Run::Iterative(_) | Run::Tuned => None,
            Run::Quantized { bits }
            | Run::PrunedAndQuantized { bits }
            | Run::TunedAndQuantized { bits }
            | Run::QuantizedAndPruned { bits }
            | Run::Validated { bits } => Some(bits),
            Run::Binary | Run::BinaryEverywhere => Some(1),
        };
        let config = ResNetConfig { n_bits, symmetric: self.is_binary(), ..Default::default() };
        let net = resnet_cifar(config)?.build(0, &best_device()?)?;
        net.load_weights(match self {
            Run::PrunedAndQuantized { .. } => best_pruned(folder)?,
            Run::TunedAndQuantized { .. } => finished(Run::Tuned, folder)?.weights().to_owned(),
            Run::QuantizedAndPruned { bits } => {
                finished(Run::Quantized { bits }, folder)?.weights().to_owned()
            }
            _ => pretrained_model()?,
        })?;
        match self {
            Run::OneShot => {
                prune_layers(&net, SPARSITY)?;
            }
            Run::QuantizedAndPruned { bits } => {
                let quantizer = Ste { n_bits: Some(bits), symmetric: false };
                Pruning::new(SPARSITY, 1)
                    .criterion(QuantizedMagnitude { quantizer })
                    .prune_to(&net, SPARSITY, None)?;
            }
            Run::BinaryEverywhere => return Ok(net.quantized(|_layer| Ste::BINARY)?),
            _ => {}
        }
        Ok(net)
    }

    fn run(self, folder: &Path, data: &Data, config: &TrainConfig) -> Result<History> {
        let net = self.network(folder)?;
        Ok(match self {
            Run::Iterative(scope) => {
                let schedule = PruneSchedule { scope, sparsity: SPARSITY, ramp: config.epochs / 2 };
                iterative_prune(&net, data, config, schedule)?
            }
            Run::Binary | Run::BinaryEverywhere => train(&net, data, config)?,
            Run::Validated { .. } => {
                let data = data.hold_out(data.train.len() / 10)?;
                kernel_helpers::train_util::finetune(&net, &data, config)?
            }
            _ => kernel_helpers::train_util::finetune(&net, data, config)?,
        })
    }
}

/// The files of a run that another starts from.
fn finished(run: Run, folder: &Path) -> Result<RunFiles> {
    let files = RunFiles::of(run.weights(folder));
    if !files.record().exists() {
        bail!("this run starts from another one, which has to be made first: `cargo lab finetune {run}`");
    }
    Ok(files)
}

/// The weights of the pruning run with the best accuracy.
fn best_pruned(folder: &Path) -> Result<PathBuf> {
    let mut best: Option<(f64, PathBuf)> = None;
    for run in PRUNED {
        let files = finished(run, folder)?;
        let accuracy = RunRecord::load(files.record())?.history.best_accuracy();
        if best.as_ref().is_none_or(|(other, _)| accuracy > *other) {
            best = Some((accuracy, files.weights().to_owned()));
        }
    }
    Ok(best.context("there are pruning runs")?.1)
}

impl FromStr for Run {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Run::all().find(|run| run.to_string() == name);
        found.with_context(|| {
            let names: Vec<String> = Run::all().map(|run| run.to_string()).collect();
            format!("expected one of {}, found `{name}`", names.join(", "))
        })
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Run::OneShot => f.write_str("lab2/c"),
            Run::Iterative(PruneScope::Layer) => f.write_str("lab2/d"),
            Run::Iterative(PruneScope::Global) => f.write_str("lab2/e"),
            Run::Quantized { bits } => write!(f, "lab3/c/bits={bits}"),
            Run::PrunedAndQuantized { bits } => write!(f, "lab3/d/bits={bits}"),
            Run::Binary => f.write_str("1.5"),
            Run::Tuned => f.write_str("lab2/control"),
            Run::TunedAndQuantized { bits } => write!(f, "lab3/control/bits={bits}"),
            Run::QuantizedAndPruned { bits } => write!(f, "1.2/bits={bits}"),
            Run::BinaryEverywhere => f.write_str("1.5/all"),
            Run::Validated { bits } => write!(f, "validation/bits={bits}"),
        }
    }
}
