//! `cargo lab compress`: ResNet-20 pruned and quantized as far as it goes, beyond the homework's settings.

use super::data;
use super::train::record_command;
use crate::project::Project;
use anyhow::{Context, Result};
use clap::Args;
use kernel_helpers::display::print_line;
use kernel_helpers::homework::prelude::*;
use kernel_helpers::prelude::*;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

const EPOCHS: usize = 20;
/// What the ablation compares that with.
const MORE_EPOCHS: usize = 40;

#[derive(Args)]
/// What `cargo lab compress` can be asked for.
pub struct Options {
    /// `bits=4`, `bits=3`, `bits=2`, `bits=1`, `zeros=80`, `zeros=90` and `zeros=95` (percent); all of these if not given.
    /// For comparison, `bits=2` and `zeros=90` with one thing changed: `bits=2/labels-alone`, `/constant-rate`,
    /// `/more-epochs`, `/given-steps`, `/step-per-layer`, and `/linear-ramp` for zeros.
    #[arg(value_name = "RUN")]
    runs: Vec<Run>,
    /// The seed of shuffling and augmentation. The runs of a seed other than 0 go to a folder of its own.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Train anew what is finished; what was interrupted continues.
    #[arg(long)]
    retrain: bool,
}

/// A run by its name.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    target: Target,
    /// For an ablation.
    change: Option<Change>,
}

/// What becomes of the network.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Target {
    /// The weights of the blocks have so many bits.
    Bits(u32),
    /// This percentage of the weights is zero.
    Zeros(u32),
}

/// What an ablation changes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    /// Levels over the range of the weights in place of learned steps.
    GivenSteps,
    /// One step for a layer in place of one for each output channel.
    StepPerLayer,
    /// A constant learning rate in place of a cosine.
    ConstantRate,
    /// No teacher.
    LabelsAlone,
    /// Zeros that grow linearly in place of fast at first.
    LinearRamp,
    /// Twice as many epochs.
    MoreEpochs,
}

const TARGETS: [Target; 7] = [
    Target::Bits(4),
    Target::Bits(3),
    Target::Bits(2),
    Target::Bits(1),
    Target::Zeros(80),
    Target::Zeros(90),
    Target::Zeros(95),
];
const CHANGES: [(Target, &[Change]); 2] = [
    (
        Target::Bits(2),
        &[
            Change::GivenSteps,
            Change::StepPerLayer,
            Change::ConstantRate,
            Change::LabelsAlone,
            Change::MoreEpochs,
        ],
    ),
    (Target::Zeros(90), &[Change::LinearRamp, Change::ConstantRate, Change::LabelsAlone, Change::MoreEpochs]),
];

/// Makes the runs in their order. Each is recorded, continued if it was interrupted, and shown if it is finished.
pub fn compress(project: &Project, options: &Options) -> Result<()> {
    data::ensure(project)?;
    let scale = Scale::from_env()?;
    let folder = output_dir(scale, options.seed)?;
    let data = cifar10(scale)?;
    let data = data.hold_out(data.train.len() / 10)?;
    let runs = if options.runs.is_empty() { Run::main().collect() } else { options.runs.clone() };
    for run in runs {
        print_line(run);
        let files = RunFiles::of(run.weights(&folder));
        let config = TrainConfig {
            seed: options.seed,
            save_to: Some(files.weights().to_owned()),
            retrain: options.retrain,
            ..run.config(scale)?
        };
        let history = run.run(&data, &config).with_context(|| run.to_string())?;
        let seed = if options.seed == 0 { String::new() } else { format!(" --seed {}", options.seed) };
        record_command(&files, &history, format!("cargo lab compress {run}{seed}"))?;
        print_line(format_args!("{history}\n{}", project.relative(files.weights())));
    }
    Ok(())
}

impl Run {
    fn main() -> impl Iterator<Item = Run> {
        TARGETS.into_iter().map(|target| Run { target, change: None })
    }

    fn all() -> impl Iterator<Item = Run> {
        let of = |(target, changes): (Target, &'static [Change])| {
            changes.iter().map(move |change| Run { target, change: Some(*change) })
        };
        Run::main().chain(CHANGES.into_iter().flat_map(of))
    }

    fn changes(self, change: Change) -> bool {
        self.change == Some(change)
    }

    /// The file of the run's best weights.
    fn weights(self, folder: &Path) -> PathBuf {
        let name = self.to_string().replace(['/', '=', '-'], "_");
        folder.join(format!("compressed_{name}.safetensors"))
    }

    fn config(self, scale: Scale) -> Result<TrainConfig> {
        let teacher = || -> Result<Distillation> {
            let net = resnet_cifar(ResNetConfig::default())?.build(0, &best_device()?)?;
            net.load_weights(pretrained_model()?)?;
            Ok(Distillation::from(net)?)
        };
        Ok(TrainConfig {
            epochs: scale.epochs(if self.changes(Change::MoreEpochs) { MORE_EPOCHS } else { EPOCHS }),
            batch_size: 128,
            learning_rate: 0.02,
            momentum: 0.9,
            schedule: if self.changes(Change::ConstantRate) { Constant.into() } else { Cosine.into() },
            distillation: if self.changes(Change::LabelsAlone) { None } else { Some(teacher()?) },
            ..Default::default()
        })
    }

    /// How the blocks' weights are quantized.
    fn quantization(self, n_bits: u32) -> Quantization {
        match n_bits {
            1 => PerChannel(Ste::BINARY).into(),
            _ if self.changes(Change::GivenSteps) => {
                PerChannel(Ste { n_bits: Some(n_bits), symmetric: false }).into()
            }
            _ => Lsq { n_bits, per_channel: !self.changes(Change::StepPerLayer) }.into(),
        }
    }

    fn run(self, data: &Data, config: &TrainConfig) -> Result<History> {
        let net = resnet_cifar(ResNetConfig::default())?.build(0, &best_device()?)?;
        net.load_weights(pretrained_model()?)?;
        Ok(match self.target {
            Target::Bits(n_bits) => {
                let net = net.quantized(|layer| match layer.starts_with("body_op") {
                    true => self.quantization(n_bits),
                    false => Quantization::default(),
                })?;
                finetune(&net, data, config)?
            }
            Target::Zeros(percentage) => {
                let pruning = Pruning::new(f64::from(percentage) / 100.0, config.epochs / 2);
                let pruning = pruning.scope(PruneScope::Global);
                let pruning = match self.changes(Change::LinearRamp) {
                    true => pruning,
                    false => pruning.schedule(CubicRamp),
                };
                iterative_prune(&net, data, config, pruning)?
            }
        })
    }
}

impl FromStr for Run {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        Run::all().find(|run| run.to_string() == name).with_context(|| {
            let names: Vec<String> = Run::all().map(|run| run.to_string()).collect();
            format!("expected one of {}, found `{name}`", names.join(", "))
        })
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target {
            Target::Bits(bits) => write!(f, "bits={bits}")?,
            Target::Zeros(percentage) => write!(f, "zeros={percentage}")?,
        }
        f.write_str(match self.change {
            None => "",
            Some(Change::GivenSteps) => "/given-steps",
            Some(Change::StepPerLayer) => "/step-per-layer",
            Some(Change::ConstantRate) => "/constant-rate",
            Some(Change::LabelsAlone) => "/labels-alone",
            Some(Change::LinearRamp) => "/linear-ramp",
            Some(Change::MoreEpochs) => "/more-epochs",
        })
    }
}
