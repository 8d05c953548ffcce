//! The runs by their names.

use anyhow::{Context, Result};
use kernel_helpers::homework::prelude::*;
use kernel_helpers::prelude::*;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

const EPOCHS: usize = 20;
/// What the ablation compares that with.
const MORE_EPOCHS: usize = 40;

/// A run by its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    pub target: Target,
    /// For an ablation.
    pub change: Option<Change>,
}

/// What becomes of the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    pub zeros: Option<Zeros>,
    /// The weights of the blocks have so many bits.
    pub bits: Option<u32>,
}

/// Which weights are zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Zeros {
    /// This percentage of them.
    Single(u32),
    /// Two of four that follow each other along the input channels.
    TwoOfFour,
    /// This percentage, in blocks of 16 output channels.
    Blocks(u32),
    /// Those of whole channels, which are left out: with them goes this percentage of the multiplications.
    Channels(u32),
}

/// What an ablation changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
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

impl Target {
    pub const fn bits(bits: u32) -> Self {
        Target { zeros: None, bits: Some(bits) }
    }

    pub const fn zeros(zeros: Zeros) -> Self {
        Target { zeros: Some(zeros), bits: None }
    }

    const fn and_bits(self, bits: u32) -> Self {
        Target { bits: Some(bits), ..self }
    }
}

const TARGETS: [Target; 13] = [
    Target::bits(4),
    Target::bits(3),
    Target::bits(2),
    Target::bits(1),
    Target::zeros(Zeros::Single(80)),
    Target::zeros(Zeros::Single(90)),
    Target::zeros(Zeros::Single(95)),
    Target::zeros(Zeros::TwoOfFour),
    Target::zeros(Zeros::Blocks(75)),
    Target::zeros(Zeros::Blocks(90)),
    Target::zeros(Zeros::Channels(50)),
    Target::zeros(Zeros::Single(80)).and_bits(4),
    Target::zeros(Zeros::Channels(50)).and_bits(4),
];
const CHANGES: [(Target, &[Change]); 2] = [
    (
        Target::bits(2),
        &[
            Change::GivenSteps,
            Change::StepPerLayer,
            Change::ConstantRate,
            Change::LabelsAlone,
            Change::MoreEpochs,
        ],
    ),
    (
        Target::zeros(Zeros::Single(90)),
        &[Change::LinearRamp, Change::ConstantRate, Change::LabelsAlone, Change::MoreEpochs],
    ),
];

impl Run {
    /// All but those of the ablation.
    pub fn main() -> impl Iterator<Item = Run> {
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
    pub fn weights(self, folder: &Path) -> PathBuf {
        let name = self.to_string().replace(['/', '=', '-', '+'], "_");
        folder.join(format!("compressed_{name}.safetensors"))
    }

    /// The settings that do not depend on where it is saved.
    pub fn config(self, scale: Scale) -> Result<TrainConfig> {
        let teacher = || Ok::<_, anyhow::Error>(Distillation::from(trained()?)?);
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

    /// Makes the run, or finds it recorded.
    pub fn train(self, data: &Data, config: &TrainConfig) -> Result<History> {
        let net = match self.target.zeros {
            Some(Zeros::Channels(percentage)) => {
                let net = trained()?;
                let share = ChannelShare::Multiplications(f64::from(percentage) / 100.0);
                // The channels of a vector: others would be multiplied with for nothing.
                ChannelPruning { multiple: 16, ..ChannelPruning::new(share) }.prune(&net)?;
                net.shrunk()?
            }
            _ => trained()?,
        };
        let net = self.quantized(&net)?;
        Ok(match self.pruning(config.epochs / 2) {
            Some(pruning) => iterative_prune(&net, data, config, pruning)?,
            None => finetune(&net, data, config)?,
        })
    }

    /// Whether integers make more of it: they compute with zeros as with other weights, so that only fewer bits and fewer
    /// channels count.
    pub fn has_integers(self) -> bool {
        self.target.bits.is_some() || matches!(self.target.zeros, Some(Zeros::Channels(_)))
    }

    /// The network with the best weights of the run in this file.
    pub fn load(self, weights: &Path) -> Result<Model> {
        let graph = resnet_cifar(ResNetConfig::default())?;
        let net = graph.fitted_to(&load_state_dict(weights)?)?.build(0, &Device::Cpu)?;
        let net = self.quantized(&net)?;
        net.load_weights(weights)?;
        Ok(net)
    }

    /// How weights become zero little by little, in so many epochs.
    fn pruning(self, ramp: usize) -> Option<Pruning> {
        let single = |share| Pruning::new(share, ramp);
        let share = |percentage| f64::from(percentage) / 100.0;
        let pruning = match self.target.zeros? {
            Zeros::Single(percentage) => single(share(percentage)).scope(PruneScope::Global),
            Zeros::TwoOfFour => single(0.5).granularity(NOfM { m: 4 }),
            Zeros::Blocks(percentage) => single(share(percentage))
                .granularity(Block { rows: 16, columns: 1 })
                .scope(PruneScope::Global),
            Zeros::Channels(_) => return None,
        };
        Some(if self.changes(Change::LinearRamp) { pruning } else { pruning.schedule(CubicRamp) })
    }

    /// The network with its blocks quantized as the run wants it.
    fn quantized(self, net: &Model) -> Result<Model> {
        let of_blocks = match self.target.bits {
            None => return Ok(net.clone()),
            Some(1) => Quantization::from(PerChannel(Ste::BINARY)),
            Some(n_bits) if self.changes(Change::GivenSteps) => {
                PerChannel(Ste { n_bits: Some(n_bits), symmetric: false }).into()
            }
            Some(n_bits) => Lsq { n_bits, per_channel: !self.changes(Change::StepPerLayer) }.into(),
        };
        Ok(net.quantized(|layer| match layer.starts_with("body_op") {
            true => of_blocks.clone(),
            false => Quantization::default(),
        })?)
    }
}

/// The network that all runs start from, which is the teacher of most.
pub fn trained() -> Result<Model> {
    let net = resnet_cifar(ResNetConfig::default())?.build(0, &best_device()?)?;
    net.load_weights(pretrained_model()?)?;
    Ok(net)
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
        let zeros = self.target.zeros.map(|zeros| zeros.to_string());
        let bits = self.target.bits.map(|bits| format!("bits={bits}"));
        let parts: Vec<String> = zeros.into_iter().chain(bits).collect();
        f.write_str(&parts.join("+"))?;
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

impl fmt::Display for Zeros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Zeros::Single(percentage) => write!(f, "zeros={percentage}"),
            Zeros::TwoOfFour => f.write_str("two-of-four"),
            Zeros::Blocks(percentage) => write!(f, "blocks={percentage}"),
            Zeros::Channels(percentage) => write!(f, "channels={percentage}"),
        }
    }
}
