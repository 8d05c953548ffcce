//! The state of an unfinished run between two epochs: all that the epochs to come depend on.

use super::identity::RunIdentity;
use super::{History, Trainer};
use crate::checkpoint::{StateDict, load_with_text, save_with_text};
use crate::files::write_whole;
use crate::network::set_state;
use crate::{Error, Network, Result, state_dict};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Under which key the file's header holds the [`RunState`].
const KEY: &str = "run_state";
/// What the names of the network's tensors and of the velocities begin with.
const NETWORK: &str = "network/";
const VELOCITY: &str = "velocity/";
/// The file of the best weights so far, as bytes: in here, it can be neither older nor newer than the rest.
const BEST: &str = "best";

/// What the state file says besides its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RunState {
    /// The run's configuration.
    pub run: RunIdentity,
    /// How long it has taken so far.
    pub minutes: f64,
    /// The finished epochs.
    pub history: History,
}

impl RunState {
    /// Writes the state with the network's tensors, the optimizer's velocities, and the best weights so far, which lie in
    /// the file `best` if there are any.
    pub fn save<N: Network>(&self, net: &N, trainer: &Trainer, best: &Path, path: &Path) -> Result<()> {
        let tensors = state_dict(net)?.into_iter().map(|(name, tensor)| (format!("{NETWORK}{name}"), tensor));
        let mut tensors: StateDict = tensors.collect();
        for ((name, _), velocity) in net.named_parameters().iter().zip(trainer.velocities()) {
            if let Some(velocity) = velocity {
                tensors.insert(format!("{VELOCITY}{name}"), velocity.to_device(&Device::Cpu)?);
            }
        }
        if self.history.best().is_some() {
            let bytes = std::fs::read(best).map_err(|e| Error::io(best, e, "Start the run again."))?;
            tensors.insert(BEST.to_owned(), Tensor::new(bytes, &Device::Cpu)?);
        }
        save_with_text(&tensors, KEY, serde_json::to_string(self).expect("a state is plain data"), path)
    }

    /// Reads what [`Self::save`] wrote: the state and the tensors.
    pub fn load(path: &Path) -> Result<(Self, StateDict)> {
        let damaged = |found: String| {
            Error::file(path, "the state of an unfinished run", found, "Delete it, and the run starts anew.")
        };
        let (tensors, text) = load_with_text(path, KEY).map_err(|error| match error {
            // A checkpoint could be fetched again, but this file was written here.
            Error::File { found, .. } => damaged(found),
            other => other,
        })?;
        let state = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
        Ok((state, tensors))
    }

    /// Brings the network, the trainer and the file of the best weights to this state.
    pub fn restore<N: Network>(
        self,
        tensors: &StateDict,
        net: &N,
        trainer: &mut Trainer,
        best: &Path,
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
        if let Some(bytes) = tensors.get(BEST) {
            write_whole(best, &bytes.to_vec1::<u8>()?)?;
        }
        trainer.resume(self.history, velocities);
        Ok(())
    }
}
