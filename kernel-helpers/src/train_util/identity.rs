//! What makes two runs the same run.

use super::TrainConfig;
use crate::cifar10::{Cifar10, Split};
use crate::digest::sha256_of_state;
use crate::prune::PruneSchedule;
use crate::{Network, Result, state_dict};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// All that decides how a run ends: two runs of the same identity give the same bits, on processors with the same
/// instruction set.
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
    /// The seed of shuffling and augmentation.
    pub seed: u64,
    /// The network's [`Network::description`].
    pub network: String,
    /// The SHA-256 sum of the network's parameters and buffers at the start.
    pub start_sha256: String,
    /// The images to train on.
    pub training_images: Images,
    /// The images to test on.
    pub test_images: Images,
}

/// What is done in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Procedure {
    /// [`super::train`].
    Train,
    /// [`super::finetune`].
    Finetune {
        /// Whether the weights that are zero at the start stay zero.
        keep_zeros: bool,
    },
    /// [`super::iterative_prune`].
    IterativePrune(PruneSchedule),
}

/// Which images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Images {
    /// How many.
    pub count: usize,
    /// Their [`Split::sha256`].
    pub sha256: String,
}

impl Images {
    /// The images of a split.
    pub fn of(split: &Split) -> Self {
        Self { count: split.len(), sha256: split.sha256().to_owned() }
    }
}

impl RunIdentity {
    /// The identity of a run that starts with the network as it is now; `None` if the network does not describe itself.
    ///
    /// # Errors
    /// If the network's tensors cannot be copied.
    pub fn of<N: Network>(
        procedure: Procedure,
        net: &N,
        data: &Cifar10,
        config: &TrainConfig,
    ) -> Result<Option<Self>> {
        let Some(network) = net.description() else { return Ok(None) };
        Ok(Some(Self {
            procedure,
            epochs: config.epochs,
            batch_size: config.batch_size,
            learning_rate: config.learning_rate,
            weight_decay: config.weight_decay,
            momentum: config.momentum,
            seed: config.seed,
            network,
            start_sha256: sha256_of_state(&state_dict(net)?),
            training_images: Images::of(&data.train),
            test_images: Images::of(&data.test),
        }))
    }

    /// The fields in which a kept run is another one than this, such as `learning_rate: 0.01 there, 0.002 here`.
    pub fn differences(&self, kept: &Self) -> Vec<String> {
        let (here, there) = (self.fields(), kept.fields());
        let names = here.keys().chain(there.keys().filter(|name| !here.contains_key(*name)));
        let shown = |value: Option<&String>| value.map_or("absent", String::as_str).to_owned();
        let differing = names.filter(|name| here.get(*name) != there.get(*name));
        differing
            .map(|name| format!("{name}: {} there, {} here", shown(there.get(name)), shown(here.get(name))))
            .collect()
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
        other => {
            fields.insert(path.to_owned(), other.to_string());
        }
    }
}
