//! The state of an unfinished run between two epochs: all that the epochs to come depend on.

use super::identity::RunIdentity;
use super::{History, Trainer};
use crate::checkpoint::{StateDict, load_with_text, save_with_text};
use crate::network::set_state;
use crate::{Error, Network, Result, state_dict};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Under which key the file's header holds the [`RunState`].
const KEY: &str = "run_state";
/// What the names of the network's tensors and of the velocities begin with.
const NETWORK: &str = "network/";
const VELOCITY: &str = "velocity/";

/// What the state file says besides its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RunState {
    /// The run's configuration.
    pub run: RunIdentity,
    /// How long it has taken so far.
    pub minutes: f64,
    /// The SHA-256 sum of the best weights' file so far.
    pub best_sha256: Option<String>,
    /// The finished epochs.
    pub history: History,
}

impl RunState {
    /// Writes the state with the network's tensors and the optimizer's velocities.
    pub fn save<N: Network>(&self, net: &N, trainer: &Trainer, path: &Path) -> Result<()> {
        let tensors = state_dict(net)?.into_iter().map(|(name, tensor)| (format!("{NETWORK}{name}"), tensor));
        let mut tensors: StateDict = tensors.collect();
        for ((name, _), velocity) in net.named_parameters().iter().zip(trainer.velocities()) {
            if let Some(velocity) = velocity {
                tensors.insert(format!("{VELOCITY}{name}"), velocity.to_device(&Device::Cpu)?);
            }
        }
        save_with_text(&tensors, KEY, serde_json::to_string(self).expect("a state is plain data"), path)
    }

    /// Reads what [`Self::save`] wrote: the state and the tensors.
    pub fn load(path: &Path) -> Result<(Self, StateDict)> {
        let (tensors, text) = load_with_text(path, KEY)?;
        let state = serde_json::from_str(&text)
            .map_err(|e| Error::file(path, "the state of a run", e, "Delete it: the run starts anew."))?;
        Ok((state, tensors))
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
        let velocity = |(name, _): (String, _)| {
            let velocity = tensors.get(&format!("{VELOCITY}{name}"));
            Ok(velocity.map(|velocity| velocity.to_device(net.device())).transpose()?)
        };
        let velocities = net.named_parameters().into_iter().map(velocity).collect::<Result<_>>()?;
        trainer.resume(self.history, velocities);
        Ok(())
    }
}
