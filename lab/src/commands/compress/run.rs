//! The runs by their names.

use anyhow::{Context, Result, bail};
use kernel_helpers::homework::prelude::*;
use kernel_helpers::prelude::*;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

const EPOCHS: usize = 20;
/// With [`Change::MoreEpochs`].
const MORE_EPOCHS: usize = 40;

/// A run by its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub target: Target,
    /// What differs from the recipe.
    pub changes: BTreeSet<Change>,
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

/// What can differ from the recipe, for an ablation or for a better network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// A learning rate of 0.05 in place of 0.02.
    HigherRate,
    /// AdamW, with its usual learning rate, in place of SGD with momentum.
    AdamW,
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
    Target::zeros(Zeros::Channels(30)),
    Target::zeros(Zeros::Single(80)).and_bits(4),
    Target::zeros(Zeros::Channels(30)).and_bits(4),
];

impl Run {
    /// All with the recipe as it is.
    pub fn main() -> impl Iterator<Item = Run> {
        TARGETS.into_iter().map(|target| Run { target, changes: BTreeSet::new() })
    }

    fn changes(&self, change: Change) -> bool {
        self.changes.contains(&change)
    }

    /// The file of the run's best weights.
    pub fn weights(&self, folder: &Path) -> PathBuf {
        folder.join(format!("compressed_{}.safetensors", self.in_file_names()))
    }

    /// Its name as a part of those of files.
    pub fn in_file_names(&self) -> String {
        self.to_string().replace(['/', '=', '-', '+'], "_")
    }

    /// The settings that do not depend on where it is saved.
    pub fn config(&self, scale: Scale) -> Result<TrainConfig> {
        let teacher = || Ok::<_, anyhow::Error>(Distillation::from(trained()?)?);
        let (optimizer, learning_rate) = if self.changes(Change::AdamW) {
            (AdamWConfig::default().into(), 0.001)
        } else {
            (OptimizerChoice::default(), if self.changes(Change::HigherRate) { 0.05 } else { 0.02 })
        };
        Ok(TrainConfig {
            epochs: scale.epochs(if self.changes(Change::MoreEpochs) { MORE_EPOCHS } else { EPOCHS }),
            batch_size: 128,
            learning_rate,
            momentum: 0.9,
            optimizer,
            schedule: if self.changes(Change::ConstantRate) { Constant.into() } else { Cosine.into() },
            distillation: if self.changes(Change::LabelsAlone) { None } else { Some(teacher()?) },
            ..Default::default()
        })
    }

    /// Makes the run, or finds it recorded.
    pub fn train(&self, data: &Data, config: &TrainConfig) -> Result<History> {
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
    pub fn has_integers(&self) -> bool {
        self.target.bits.is_some() || matches!(self.target.zeros, Some(Zeros::Channels(_)))
    }

    /// The network with the best weights of the run in this file.
    pub fn load(&self, weights: &Path) -> Result<Model> {
        let graph = resnet_cifar(ResNetConfig::default())?;
        let net = graph.fitted_to(&load_state_dict(weights)?)?.build(0, &Device::Cpu)?;
        let net = self.quantized(&net)?;
        net.load_weights(weights)?;
        Ok(net)
    }

    /// How weights become zero little by little, in so many epochs.
    fn pruning(&self, ramp: usize) -> Option<Pruning> {
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
    fn quantized(&self, net: &Model) -> Result<Model> {
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
        let mut parts = name.split('/');
        let target = parts.next().unwrap_or_default().parse();
        let target = target.with_context(|| format!("expected a run such as bits=2, found `{name}`"))?;
        let changes = parts.map(|change| Change::named(change, name)).collect::<Result<_>>()?;
        let run = Run { target, changes };
        if run.changes(Change::AdamW) && run.changes(Change::HigherRate) {
            bail!("{name}: expected adamw, which has a rate of its own, or higher-rate, found both");
        }
        Ok(run)
    }
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        let (zeros, bits) = match name.split_once('+') {
            Some((zeros, bits)) => (Some(zeros), Some(bits)),
            None if name.starts_with("bits=") => (None, Some(name)),
            None => (Some(name), None),
        };
        let zeros = zeros.map(Zeros::from_str).transpose()?;
        let bits = bits.map(|bits| number(bits, "bits", 1..=16)).transpose()?;
        Ok(Target { zeros, bits })
    }
}

impl FromStr for Zeros {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        let percentage = |what| number(name, what, 1..=99);
        match name.split('=').next() {
            Some("two-of-four") if name == "two-of-four" => Ok(Zeros::TwoOfFour),
            Some(what @ "zeros") => percentage(what).map(Zeros::Single),
            Some(what @ "blocks") => percentage(what).map(Zeros::Blocks),
            Some(what @ "channels") => percentage(what).map(Zeros::Channels),
            _ => bail!(
                "expected bits=N, zeros=N, blocks=N, channels=N or two-of-four, and perhaps +bits=N, found `{name}`"
            ),
        }
    }
}

/// The number in `what=N`.
fn number(text: &str, what: &str, range: RangeInclusive<u32>) -> Result<u32> {
    let value = text.strip_prefix(what).and_then(|rest| rest.strip_prefix('='));
    let number = value.and_then(|value| value.parse().ok()).filter(|number| range.contains(number));
    number.with_context(|| format!("expected {what}={} to {}, found `{text}`", range.start(), range.end()))
}

impl Change {
    /// All of them with their names.
    const NAMES: [(Change, &str); 8] = [
        (Change::GivenSteps, "given-steps"),
        (Change::StepPerLayer, "step-per-layer"),
        (Change::ConstantRate, "constant-rate"),
        (Change::LabelsAlone, "labels-alone"),
        (Change::LinearRamp, "linear-ramp"),
        (Change::HigherRate, "higher-rate"),
        (Change::AdamW, "adamw"),
        (Change::MoreEpochs, "more-epochs"),
    ];

    fn named(name: &str, run: &str) -> Result<Self> {
        let names = || Self::NAMES.map(|(_, name)| name).join(", ");
        let found = Self::NAMES.iter().find(|(_, other)| *other == name).map(|(change, _)| *change);
        found.with_context(|| format!("{run}: expected one of {} behind the slash, found `{name}`", names()))
    }

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(change, _)| *change == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zeros = self.target.zeros.map(|zeros| zeros.to_string());
        let bits = self.target.bits.map(|bits| format!("bits={bits}"));
        let parts: Vec<String> = zeros.into_iter().chain(bits).collect();
        f.write_str(&parts.join("+"))?;
        self.changes.iter().try_for_each(|change| write!(f, "/{}", change.name()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_what_its_name_says() {
        let name = |name: &str| name.parse::<Run>().unwrap().to_string();
        for run in Run::main() {
            assert_eq!(name(&run.to_string()), run.to_string());
        }
        for other in ["bits=2/labels-alone", "zeros=85+bits=3/adamw/more-epochs", "two-of-four+bits=8"] {
            assert_eq!(name(other), other);
        }
        assert_eq!(name("bits=1/more-epochs/adamw"), "bits=1/adamw/more-epochs", "one run has one name");
        let changed: Run = "bits=2/step-per-layer".parse().unwrap();
        assert_eq!(changed.changes, BTreeSet::from([Change::StepPerLayer]));
        assert!(changed.weights(Path::new("")).ends_with("compressed_bits_2_step_per_layer.safetensors"));
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        for (name, told) in [
            ("bits=0", "expected bits=1 to 16, found `bits=0`"),
            ("zeros=100", "expected zeros=1 to 99"),
            ("two-of-fourteen", "expected bits=N, zeros=N"),
            ("zeros=80+zeros=90", "expected bits=1 to 16"),
            ("bits=2/fast", "expected one of given-steps"),
            ("bits=2/more-epochs/fast", "found `fast`"),
            ("bits=2/adamw/higher-rate", "found both"),
        ] {
            let error = format!("{:#}", name.parse::<Run>().unwrap_err());
            assert!(error.contains(told), "{name}: {error}");
        }
    }
}
