//! The state of an unfinished run between two epochs: all that the epochs to come depend on.

use super::identity::RunIdentity;
use super::{History, Trainer};
use base::digest::sha256;
use base::files;
use base::{Error, Result};
use candle_core::{Device, Tensor};
use nn::checkpoint::sha256_of_state;
use nn::checkpoint::{StateDict, from_bytes, load_with_text, save_with_text, size_in_bytes};
use nn::set_state;
use nn::{Network, state_dict};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Under which key the file's header holds the [`Sealed`] state.
const KEY: &str = "run_state";
/// What the names of the network's tensors and of the optimizer's begin with.
const NETWORK: &str = "network/";
const OPTIMIZER: &str = "optimizer/";
/// What the names of the optimizer's tensors began with when there was SGD alone.
const VELOCITY: &str = "velocity/";
/// The file of the best weights so far, as bytes.
const BEST: &str = "best";

/// What the state file says besides its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RunState {
    /// The run's configuration.
    pub run: RunIdentity,
    /// The numerics that the run began with.
    pub numerics: u32,
    /// How long it has taken so far.
    pub minutes: f64,
    /// The finished epochs.
    pub history: History,
}

/// A state and the sum of itself and of the tensors beside it.
#[derive(Serialize, Deserialize)]
struct Sealed {
    state: RunState,
    sha256: String,
}

impl RunState {
    /// Writes the state with the network's tensors, the optimizer's, and the best weights so far if there are any.
    pub fn save<N: Network>(&self, net: &N, trainer: &Trainer, path: &Path) -> Result<()> {
        let tensors = state_dict(net)?.into_iter().map(|(name, tensor)| (format!("{NETWORK}{name}"), tensor));
        let mut tensors: StateDict = tensors.collect();
        for (name, tensor) in trainer.optimizer_state()? {
            tensors.insert(format!("{OPTIMIZER}{name}"), tensor.to_device(&Device::Cpu)?);
        }
        if let Some(best) = trainer.best() {
            tensors.insert(BEST.to_owned(), Tensor::new(best, &Device::Cpu)?);
        }
        let sealed = Sealed { state: self.clone(), sha256: self.sum(&tensors) };
        let text = serde_json::to_string(&sealed).expect("a state is plain data");
        save_with_text(&tensors, KEY, text, path)
    }

    /// Reads what [`Self::save`] wrote: the state and the tensors.
    pub fn load(path: &Path) -> Result<(Self, StateDict)> {
        let damaged = |found: String| {
            Error::file(path, "the state of an unfinished run", found, "Delete it, and the run starts anew.")
        };
        files::step("read", path).map_err(|e| Error::io(path, e, "Check the file's permissions."))?;
        let (tensors, text) = load_with_text(path, KEY).map_err(|error| match error {
            // A checkpoint could be fetched again, but this file was written here.
            Error::File { found, .. } => damaged(found),
            other => other,
        })?;
        let Sealed { state, sha256 } = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
        if state.sum(&tensors) != sha256 {
            return Err(damaged("one that was altered since it was written".to_owned()));
        }
        Ok((state, tensors))
    }

    /// The sum of the state and of the tensors beside it.
    fn sum(&self, tensors: &StateDict) -> String {
        let json = serde_json::to_string(self).expect("a state is plain data");
        sha256((json + &sha256_of_state(tensors)).as_bytes())
    }

    /// The best weights so far.
    pub fn best(tensors: &StateDict) -> Result<Option<Vec<u8>>> {
        Ok(tensors.get(BEST).map(Tensor::to_vec1).transpose()?)
    }

    /// The sum of the state that a network has with the best weights so far.
    pub fn best_sha256(tensors: &StateDict, path: &Path) -> Result<Option<String>> {
        let best = Self::best(tensors)?;
        let size = size_in_bytes(tensors.values());
        best.map(|bytes| Ok(sha256_of_state(&from_bytes(&bytes, size, path)?))).transpose()
    }

    /// Brings the network and the trainer to this state.
    pub fn restore<N: Network>(
        self,
        tensors: &StateDict,
        net: &N,
        trainer: &mut Trainer,
        path: &Path,
    ) -> Result<()> {
        let of_network = tensors
            .iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix(NETWORK)?.to_owned(), tensor.clone())));
        set_state(net, &of_network.collect(), path)?;
        let of_optimizer = tensors.iter().filter_map(|(name, tensor)| {
            let older = name.starts_with(VELOCITY).then_some(name.as_str());
            Some((name.strip_prefix(OPTIMIZER).or(older)?.to_owned(), tensor.clone()))
        });
        trainer.resume(self.history, &of_optimizer.collect(), Self::best(tensors)?)
    }
}
