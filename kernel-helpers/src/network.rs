//! What training, pruning and checkpoints need to know of a model.

use crate::checkpoint::{self, StateDict};
use crate::display;
use crate::fp_layers::Ste;
use crate::table::Table;
use crate::{Error, Result};
use candle_core::{Device, Tensor, Var};
use candle_nn::ModuleT;
use std::path::Path;

/// A model with named parameters; PyTorch's `nn.Module`, as far as the labs use it. Implement the first three methods
/// for a model of your own, and it can be trained, pruned, saved and loaded like [`crate::graph::Model`].
pub trait Network: ModuleT {
    /// The trainable tensors under their checkpoint names, in a fixed order.
    fn named_parameters(&self) -> Vec<(String, Var)>;

    /// The tensors that are saved but not trained, such as running statistics.
    fn named_buffers(&self) -> Vec<(String, Var)>;

    /// Where the tensors live.
    fn device(&self) -> &Device;

    /// All that decides what the model computes besides its parameters and buffers, such as its depth and bit widths, in
    /// words. It is a part of a run's identity: a model that does not describe itself is trained like any other, but its
    /// runs are neither recorded nor resumed, since they cannot be told apart.
    fn description(&self) -> Option<String> {
        None
    }

    /// How the model quantizes the parameter of this name before it uses it; floating point if it does not.
    fn quantizer(&self, _parameter: &str) -> Ste {
        Ste::default()
    }

    /// The layers with the shape of the weight and the count of the parameters, and their sums: what a cell shows of the
    /// model.
    fn summary(&self) -> Table {
        display::summary(self)
    }

    /// The layers that pruning reaches: every convolution and linear weight (rank 2 or more), without the `id_mapping`
    /// convolutions of the skip connections, which the course leaves alone. A layer is called by its weight's name
    /// without `.conv.weight`, `.linear.weight` or `.weight`.
    fn prunable_layers(&self) -> Vec<(String, Var)> {
        let weights = self.named_parameters().into_iter();
        let prunable = weights.filter(|(name, weight)| weight.rank() >= 2 && !name.contains("id_mapping"));
        prunable.map(|(name, weight)| (layer_name(&name).to_owned(), weight)).collect()
    }

    /// Sets all parameters and buffers from a checkpoint: safetensors, or a PyTorch file of either form.
    ///
    /// # Errors
    /// If the file cannot be read, if its names and shapes are not this model's, or if there is a record of the run that
    /// the file came from, and the weights are not those of the record. The model is then unchanged.
    fn load_weights(&self, path: impl AsRef<Path>) -> Result<()>
    where
        Self: Sized,
    {
        let path = path.as_ref();
        checkpoint::check_recorded(path)?;
        let tensors = named_tensors(self);
        let size = checkpoint::size_in_bytes(tensors.iter().map(|(_, var)| var.as_tensor()));
        set_state(self, &checkpoint::load_state_dict_of_size(path, size)?, path)
    }

    /// Saves all parameters and buffers as safetensors, under the names of the checkpoint. The file appears whole or
    /// not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    fn save_weights(&self, path: impl AsRef<Path>) -> Result<()>
    where
        Self: Sized,
    {
        checkpoint::save_state_dict(&state_dict(self)?, path)
    }

    /// Saves all parameters and buffers in less space, where there are zeros or few bits, see
    /// [`checkpoint::save_packed`]; of a parameter with a [`Self::quantizer`], the quantized values are saved.
    ///
    /// # Errors
    /// If the file cannot be written.
    fn save_packed(&self, path: impl AsRef<Path>) -> Result<()>
    where
        Self: Sized,
    {
        checkpoint::save_packed(&state_dict(self)?, |name| self.quantizer(name), path)
    }

    /// The content of the file that [`Self::save_packed`] writes.
    ///
    /// # Errors
    /// If a tensor cannot be copied.
    fn packed_weights(&self) -> Result<Vec<u8>>
    where
        Self: Sized,
    {
        checkpoint::packed_bytes(&state_dict(self)?, |name| self.quantizer(name))
    }

    /// The values of one layer's weight, by the layer's name in [`Self::prunable_layers`], for a histogram say.
    ///
    /// # Errors
    /// If there is no layer of that name.
    fn layer_weights(&self, layer: &str) -> Result<Vec<f64>> {
        let layers = self.prunable_layers();
        let Some((_, weight)) = layers.iter().find(|(name, _)| name == layer) else {
            let names: Vec<&str> = layers.iter().map(|(name, _)| name.as_str()).collect();
            return Err(Error::argument(
                "layer",
                format!("one of {}", names.join(", ")),
                format!("`{layer}`"),
            ));
        };
        let values = weight.flatten_all()?.to_dtype(candle_core::DType::F64)?;
        Ok(values.to_vec1()?)
    }
}

/// A copy of all parameters and buffers on the CPU, under their checkpoint names.
///
/// # Errors
/// If a tensor cannot be copied.
pub fn state_dict<N: Network>(net: &N) -> Result<StateDict> {
    let copy = |(name, var): (String, Var)| Ok((name, var.to_device(&Device::Cpu)?.copy()?));
    named_tensors(net).into_iter().map(copy).collect()
}

/// Sets all parameters and buffers to those of a state dict that was read from `path`.
///
/// # Errors
/// If names and shapes are not this model's. The model is then unchanged.
pub(crate) fn set_state<N: Network>(net: &N, state: &StateDict, path: &Path) -> Result<()> {
    let tensors = named_tensors(net);
    let expected: Vec<_> = tensors.iter().map(|(name, var)| (name.clone(), var.dims().to_vec())).collect();
    checkpoint::check_fits(path, state, &expected)?;
    // The counter of training steps is absent from some checkpoints and changes nothing here.
    let found = tensors.iter().filter_map(|(name, var)| Some((var, state.get(name)?)));
    let new = |(var, tensor): (&Var, &Tensor)| {
        Ok((var.clone(), tensor.to_device(net.device())?.to_dtype(var.dtype())?))
    };
    // All that can fail comes before the first tensor is set.
    let new = found.map(new).collect::<Result<Vec<_>>>()?;
    new.into_iter().try_for_each(|(var, tensor)| Ok(var.set(&tensor)?))
}

fn named_tensors<N: Network>(net: &N) -> Vec<(String, Var)> {
    net.named_parameters().into_iter().chain(net.named_buffers()).collect()
}

fn layer_name(weight_name: &str) -> &str {
    let suffixes = [".conv.weight", ".linear.weight", ".weight"];
    suffixes.iter().find_map(|suffix| weight_name.strip_suffix(suffix)).unwrap_or(weight_name)
}
