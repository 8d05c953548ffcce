//! A network with the widths of a checkpoint.

use crate::checkpoint::StateDict;
use crate::graph::{Graph, Operation};
use base::{Error, Result};

impl Graph {
    /// The same network with as many channels in each layer as a checkpoint has, so that one that was
    /// [shrunk](crate::graph::Model::shrunk) can be loaded in another process.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let file = folder.path().join("small.safetensors");
    /// let net = lenet(10)?.build(0, &Device::Cpu)?;
    /// ChannelPruning::new(ChannelShare::Channels(0.5)).prune(&net)?;
    /// net.shrunk()?.save_packed(&file)?;
    ///
    /// // Elsewhere:
    /// let small = lenet(10)?.fitted_to(&load_state_dict(&file)?)?.build(0, &Device::Cpu)?;
    /// small.load_weights(&file)?;
    /// assert_eq!(small.graph().description(), net.shrunk()?.graph().description());
    /// assert!(small.layer_weights("conv2")?.len() < 16 * 6 * 5 * 5 / 2);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If a layer's weight is missing or of another kind, layers do not fit each other, such as two that are added, or the
    /// output is another than the network's own.
    pub fn fitted_to(&self, state: &StateDict) -> Result<Self> {
        self.resized(|at, input| {
            let layer = &self.layers[at];
            let name = format!("{}.weight", layer.name);
            let seen = match layer.operation {
                Operation::Conv { kernel, .. } => vec![input.channels, kernel, kernel],
                _ => vec![input.channels],
            };
            match state.get(&name).map(|weight| weight.dims()) {
                Some([outputs, rest @ ..]) if rest == seen => Ok(*outputs),
                found => {
                    let listed: Vec<String> = seen.iter().map(usize::to_string).collect();
                    let expected = format!("a weight of shape [O, {}]", listed.join(", "));
                    let found =
                        found.map_or("none in the checkpoint".to_owned(), |found| format!("{found:?}"));
                    Err(Error::argument(name, expected, found))
                }
            }
        })
    }
}
