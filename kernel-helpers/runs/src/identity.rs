//! What makes two runs the same run.

use super::TrainConfig;
use crate::machine::Machine;
use base::Result;
use base::digest::sha256;
use nn::checkpoint::sha256_of_state;
use nn::data::{Data, Dataset};
use nn::optim::{Constant, RateSchedule, StepDecay};
use nn::prune::{PruneSchedule, Pruning};
use nn::{Network, state_dict};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// All that decides how a run ends: two runs of the same identity give the same bits.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let run = RunIdentity::of(Procedure::Train, &net, &data, &TrainConfig::default())?.unwrap();
/// let longer = RunIdentity { epochs: 40, ..run.clone() };
/// assert_eq!(run.differences(&longer), ["epochs: 40 there, 20 here"]);
/// assert_ne!(run.key(), longer.key());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunIdentity {
    /// What is done in an epoch.
    pub procedure: Procedure,
    /// How often the training images are gone through.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// The learning rate, before the procedure changes it.
    pub learning_rate: f64,
    /// The weight decay.
    pub weight_decay: f64,
    /// The momentum of SGD.
    pub momentum: f64,
    /// The optimizer in words, if it is not SGD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<String>,
    /// How the learning rate changes, if not as the procedure has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// The [`Distillation`](super::Distillation) in words, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distillation: Option<String>,
    /// The seed of shuffling and augmentation.
    pub seed: u64,
    /// The network's [`Network::description`].
    pub network: String,
    /// The parameters that are not used in floating point, each with its quantizer in words, see
    /// [`Network::quantizers`]. As the next four, it is absent from what the first version kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantizers: Option<BTreeMap<String, String>>,
    /// The names of the [`Network::prunable_layers`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prunable_layers: Option<Vec<String>>,
    /// Where the tensors are, see [`Machine::device`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The instruction set of the CPU kernels, see [`Machine::instructions`]: sums are taken in the order of its lanes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// What is done at random to the examples trained on, each in its
    /// [`Augmentation::description`](nn::data::Augmentation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augmentations: Option<Vec<String>>,
    /// The SHA-256 sum of the network's parameters and buffers at the start.
    pub start_sha256: String,
    /// The examples to train on.
    pub training_images: Examples,
    /// The examples by which the best epoch is chosen, if it is not on those to test on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_images: Option<Examples>,
    /// The examples to test on.
    pub test_images: Examples,
}

/// What is done in an epoch.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let procedure = Procedure::Finetune { keep_zeros: true };
/// let run = RunIdentity::of(procedure, &net, &data, &TrainConfig::default())?.unwrap();
/// assert!(run.to_string().starts_with("finetune with the zeros kept, 20 epochs, 64 images"));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Procedure {
    /// [`super::train`].
    Train,
    /// [`super::finetune`].
    Finetune {
        /// Whether the weights that are zero at the start stay zero.
        keep_zeros: bool,
    },
    /// [`super::iterative_prune`] by magnitude, weight by weight, to a sparsity that grows linearly.
    IterativePrune(PruneSchedule),
    /// [`super::iterative_prune`] in another way.
    Pruning {
        /// The [`Pruning`] in words.
        method: String,
        /// The share of zeros in the end.
        sparsity: f64,
        /// The epochs in which the sparsity grows.
        ramp: usize,
    },
}

impl Procedure {
    /// How the learning rate changes unless the configuration says otherwise.
    fn schedule(&self) -> &'static dyn RateSchedule {
        match self {
            Procedure::Train => &StepDecay,
            _ => &Constant,
        }
    }

    /// Iterative pruning. The course's method has the name that it always had.
    pub(super) fn of_pruning(pruning: &Pruning) -> Self {
        let Pruning { scope, sparsity, ramp, .. } = *pruning;
        let course = PruneSchedule { scope, sparsity, ramp };
        match pruning.to_string() == Pruning::from(course).to_string() {
            true => Procedure::IterativePrune(course),
            false => Procedure::Pruning { method: pruning.to_string(), sparsity, ramp },
        }
    }
}

/// Which examples.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let data = Cifar10::striped(64, 32);
/// let (training, test) = (Examples::of(&*data.train), Examples::of(&*data.test));
/// assert_eq!((training.count, test.count), (64, 32));
/// assert_ne!(training.sha256, test.sha256);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Examples {
    /// How many.
    pub count: usize,
    /// Their [`Dataset::sha256`].
    pub sha256: String,
    /// Their [`Dataset::preparation`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preparation: Option<String>,
}

impl Examples {
    /// Those of a dataset.
    pub fn of(dataset: &dyn Dataset) -> Self {
        Self { count: dataset.len(), sha256: dataset.sha256(), preparation: dataset.preparation() }
    }

    fn complete(&mut self, other: &Self) {
        self.preparation = self.preparation.take().or_else(|| other.preparation.clone());
    }
}

impl RunIdentity {
    /// The identity of a run that starts with the network as it is now; `None` if the network does not describe itself.
    ///
    /// # Errors
    /// If the network's tensors cannot be copied, or the environment names an instruction set that this processor
    /// lacks.
    pub fn of<N: Network>(
        procedure: Procedure,
        net: &N,
        data: &Data,
        config: &TrainConfig,
    ) -> Result<Option<Self>> {
        let Some(network) = net.description() else { return Ok(None) };
        let machine = Machine::here(net.device())?;
        let quantizers = net.quantizers().into_iter();
        let schedule = config.schedule.schedule().map(|schedule| schedule.description());
        let usual = procedure.schedule().description();
        Ok(Some(Self {
            procedure,
            epochs: config.epochs,
            batch_size: config.batch_size,
            learning_rate: config.learning_rate,
            weight_decay: config.weight_decay,
            momentum: config.momentum,
            optimizer: config.optimizer.description(net.named_parameters(), config.rates()),
            schedule: schedule.filter(|schedule| *schedule != usual),
            distillation: config.distillation.as_ref().map(|distillation| distillation.to_string()),
            seed: config.seed,
            network,
            quantizers: Some(quantizers.map(|(name, quantizer)| (name, quantizer.to_string())).collect()),
            prunable_layers: Some(net.prunable_layers().into_iter().map(|(name, _)| name).collect()),
            device: Some(machine.device),
            instructions: Some(machine.instructions),
            augmentations: Some(data.augmentations.iter().map(|one| one.description()).collect()),
            start_sha256: sha256_of_state(&state_dict(net)?),
            training_images: Examples::of(&*data.train),
            validation_images: data.validation.as_ref().map(|dataset| Examples::of(&**dataset)),
            test_images: Examples::of(&*data.test),
        }))
    }

    /// A short name: the first eight digits of the identity's SHA-256 sum.
    pub fn key(&self) -> String {
        let json = serde_json::to_vec(self).expect("an identity is plain data");
        sha256(&json)[..8].to_owned()
    }

    /// Whether a kept run is this one, as far as what was kept of it tells.
    pub fn is(&self, kept: &Self) -> bool {
        kept.completed_by(self) == *self
    }

    /// Whether a kept run is this one but for what it was computed on: its numbers can differ in the last digits.
    pub fn is_elsewhere(&self, kept: &Self) -> bool {
        let here =
            Self { device: self.device.clone(), instructions: self.instructions.clone(), ..kept.clone() };
        self.is(&here)
    }

    /// This identity with the start of another: the network may by now be what the other run has left of it.
    pub(super) fn begun_like(&self, other: &Self) -> Self {
        Self { start_sha256: other.start_sha256.clone(), ..self.clone() }
    }

    /// The fields in which a kept run is another one than this, such as `learning_rate: 0.01 there, 0.002 here`. Layers
    /// that differ in the same way are counted.
    pub fn differences(&self, kept: &Self) -> Vec<String> {
        let (here, there) = (self.fields(), kept.completed_by(self).fields());
        let names = here.keys().chain(there.keys().filter(|name| !here.contains_key(*name)));
        let differing = names.filter(|name| here.get(*name) != there.get(*name));
        let mut layers: BTreeMap<String, usize> = BTreeMap::new();
        let mut differences = Vec::new();
        for name in differing {
            let is_quantizer = name.starts_with("quantizers.");
            let none = if is_quantizer { "floating point" } else { "absent" };
            let shown = |value: Option<&String>| value.map_or(none, String::as_str).to_owned();
            let values = format!("{} there, {} here", shown(there.get(name)), shown(here.get(name)));
            match is_quantizer {
                true => *layers.entry(values).or_default() += 1,
                false => differences.push(format!("{name}: {values}")),
            }
        }
        differences.extend(
            layers.into_iter().map(|(values, count)| format!("quantizers of {count} layers: {values}")),
        );
        differences
    }

    /// This identity with what it lacks, having been kept by an older version, taken from another.
    fn completed_by(&self, other: &Self) -> Self {
        let mut whole = self.clone();
        whole.quantizers = whole.quantizers.or_else(|| other.quantizers.clone());
        whole.prunable_layers = whole.prunable_layers.or_else(|| other.prunable_layers.clone());
        whole.device = whole.device.or_else(|| other.device.clone());
        whole.augmentations = whole.augmentations.or_else(|| other.augmentations.clone());
        whole.training_images.complete(&other.training_images);
        whole.test_images.complete(&other.test_images);
        whole.instructions = whole.instructions.or_else(|| other.instructions.clone());
        whole
    }

    /// Every field by its path, as text.
    fn fields(&self) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        flatten("", &serde_json::to_value(self).expect("an identity is plain data"), &mut fields);
        fields
    }
}

fn flatten(path: &str, value: &Value, fields: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, fields);
            }
        }
        // Of a checksum, the start is enough to see that it is another.
        Value::String(text) => {
            let text = if path.ends_with("sha256") { text.get(..8).unwrap_or(text) } else { text };
            fields.insert(path.to_owned(), text.to_owned());
        }
        Value::Array(names) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            fields.insert(path.to_owned(), names.join(" "));
        }
        other => {
            fields.insert(path.to_owned(), other.to_string());
        }
    }
}
