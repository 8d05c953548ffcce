//! What training, pruning and checkpoints need to know of a model.

#[cfg(test)]
mod tests;
mod visitor;

pub use visitor::{Part, Visitor};

use crate::checkpoint::{self, StateDict};
use crate::quant::Quantization;
use crate::summary;
use base::{Error, Result};
use candle_core::{Device, Tensor, Var};
use candle_nn::ModuleT;
use display::table::Table;
use std::path::Path;

/// A model with named parameters; PyTorch's `nn.Module`, as far as the labs use it. A model of your own names its parts
/// and tells its device, and it can be trained, pruned, quantized, saved and loaded like [`crate::graph::Model`]:
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// struct Classifier {
///     hidden: FpLinear,
///     output: FpLinear,
/// }
///
/// impl ModuleT for Classifier {
///     fn forward_t(&self, x: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
///         self.output.forward(&self.hidden.forward(x)?.relu()?)
///     }
/// }
///
/// impl Network for Classifier {
///     fn visit(&self, visitor: &mut Visitor) {
///         visitor.part("hidden", &self.hidden);
///         visitor.part("output", &self.output);
///     }
///     fn device(&self) -> &Device {
///         self.hidden.weight.device()
///     }
/// }
///
/// let mut rng = ChaCha8Rng::seed_from_u64(0);
/// let hidden = FpLinear::new(4, 8, Ste { n_bits: Some(4), symmetric: false }, &mut rng, &Device::Cpu)?;
/// let net = Classifier { hidden, output: FpLinear::new(8, 2, Ste::default(), &mut rng, &Device::Cpu)? };
/// assert_eq!(net.named_parameters()[3].0, "output.bias");
/// # Ok::<(), Error>(())
/// ```
pub trait Network: ModuleT {
    /// Names the model's parts, and the tensors that are in none, in a fixed order. From this come the names in
    /// checkpoints and all that training, pruning, saving and showing need to know.
    fn visit(&self, visitor: &mut Visitor);

    /// Where the tensors live.
    fn device(&self) -> &Device;

    /// All that decides what the model computes besides its parameters, buffers and quantizers, such as its depth, in
    /// words. It is a part of a run's identity: a model that does not describe itself is trained like any other, but
    /// its runs are neither recorded nor resumed, since they cannot be told apart.
    fn description(&self) -> Option<String> {
        None
    }

    /// The trainable tensors under their checkpoint names, in a fixed order.
    fn named_parameters(&self) -> Vec<(String, Var)> {
        Visitor::of(self).parameters
    }

    /// The tensors that are saved but not trained, such as running statistics.
    fn named_buffers(&self) -> Vec<(String, Var)> {
        Visitor::of(self).buffers
    }

    /// How the model quantizes its weights before it uses them, under the weights' names; none that are used in
    /// floating point.
    fn quantizers(&self) -> Vec<(String, Quantization)> {
        let weights = Visitor::of(self).weights.into_iter();
        let quantized = weights.filter(|weight| weight.quantization.quantizer().is_some());
        quantized.map(|weight| (weight.name, weight.quantization)).collect()
    }

    /// The layers that pruning reaches: every parameter of rank 2 or more, without those of a
    /// [`Visitor::unpruned_part`]. A layer is called by its weight's name without `.conv.weight`, `.linear.weight` or
    /// `.weight`.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let net = lenet(10)?.build(0, &Device::Cpu)?;
    /// let names: Vec<String> = net.prunable_layers().into_iter().map(|(name, _)| name).collect();
    /// assert_eq!(names, ["conv1", "conv2", "linear1", "linear2", "linear3"]);
    /// # Ok::<(), Error>(())
    /// ```
    fn prunable_layers(&self) -> Vec<(String, Var)> {
        Visitor::of(self).prunable
    }

    /// The multiplications by weights that are not zero, for one image, if the model knows them.
    fn nonzero_multiplications(&self) -> Option<usize> {
        None
    }

    /// The layers with the shape of the weight and the count of the parameters, and their sums: what a cell shows of
    /// the model.
    fn summary(&self) -> Table {
        summary::summary(self)
    }

    /// Sets all parameters and buffers from a checkpoint: safetensors, or a PyTorch file of either form. From a
    /// checkpoint that knows nothing of a quantizer's learned parameters, such as one in floating point, these start
    /// anew with the loaded weights.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let file = folder.path().join("lenet.safetensors");
    /// let (net, copy) = (lenet(10)?.build(0, &Device::Cpu)?, lenet(10)?.build(1, &Device::Cpu)?);
    /// net.save_weights(&file)?;
    /// copy.load_weights(&file)?;
    /// assert_eq!(copy.layer_weights("conv1")?, net.layer_weights("conv1")?);
    /// let error = mlp(10)?.build(0, &Device::Cpu)?.load_weights(&file).unwrap_err().to_string();
    /// assert!(error.contains("with the unexpected `conv1.bias`"), "{error}");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If the file cannot be read, if its names and shapes are not this model's, or if there is a record of the run
    /// that the file came from, and the weights are not those of the record. The model is then unchanged.
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
    /// [`checkpoint::save_packed`]; of a parameter that is quantized, the quantized values are saved.
    ///
    /// # Errors
    /// If the file cannot be written.
    fn save_packed(&self, path: impl AsRef<Path>) -> Result<()>
    where
        Self: Sized,
    {
        checkpoint::save_packed(&state_dict(self)?, quantization_by_name(self), path)
    }

    /// The content of the file that [`Self::save_packed`] writes.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let net = lenet(10)?.build(0, &Device::Cpu)?;
    /// let before = net.packed_weights()?.len();
    /// prune_layers(&net, 0.9)?;
    /// assert!(net.packed_weights()?.len() < before / 4);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If a tensor cannot be copied.
    fn packed_weights(&self) -> Result<Vec<u8>> {
        checkpoint::packed_bytes(&state_dict(self)?, quantization_by_name(self))
    }

    /// The values of one layer's weight, by the layer's name in [`Self::prunable_layers`], for a histogram say.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let net = lenet(10)?.build(0, &Device::Cpu)?;
    /// assert_eq!(net.layer_weights("conv1")?.len(), 6 * 5 * 5);
    /// let error = net.layer_weights("conv3").unwrap_err().to_string();
    /// assert!(error.starts_with("layer: expected one of conv1, conv2, linear1"), "{error}");
    /// # Ok::<(), Error>(())
    /// ```
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
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::state_dict;
///
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// assert_eq!(state_dict(&net)?["conv1.weight"].dims(), [6, 1, 5, 5]);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If a tensor cannot be copied, or two have the same name.
pub fn state_dict<N: Network + ?Sized>(net: &N) -> Result<StateDict> {
    let mut state = StateDict::new();
    for (name, var) in named_tensors(net) {
        if state.insert(name.clone(), var.to_device(&Device::Cpu)?.copy()?).is_some() {
            return Err(Error::argument("the network's names", "each once", format!("`{name}` twice")));
        }
    }
    Ok(state)
}

/// Sets all parameters and buffers to those of a state dict that was read from `path`.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::nn::{set_state, state_dict};
///
/// let [net, copy] = [0, 1].map(|seed| lenet(10)?.build(seed, &Device::Cpu));
/// let (net, copy) = (net?, copy?);
/// set_state(&copy, &state_dict(&net)?, "a copy".as_ref())?;
/// assert_eq!(copy.layer_weights("conv1")?, net.layer_weights("conv1")?);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If names and shapes are not this model's. The model is then unchanged.
pub fn set_state<N: Network + ?Sized>(net: &N, state: &StateDict, path: &Path) -> Result<()> {
    let fresh = fresh_parameters(net, state)?;
    let tensors = named_tensors(net);
    let from_file = tensors.iter().filter(|(name, _)| !fresh.contains_key(name));
    let expected: Vec<_> = from_file.map(|(name, var)| (name.clone(), var.dims().to_vec())).collect();
    checkpoint::check_fits(path, state, &expected)?;
    // The counter of training steps is absent from some checkpoints and changes nothing here.
    let found =
        tensors.iter().filter_map(|(name, var)| Some((var, state.get(name).or_else(|| fresh.get(name))?)));
    let new = |(var, tensor): (&Var, &Tensor)| {
        Ok((var.clone(), tensor.to_device(net.device())?.to_dtype(var.dtype())?))
    };
    // All that can fail comes before the first tensor is set.
    let new = found.map(new).collect::<Result<Vec<_>>>()?;
    new.into_iter().try_for_each(|(var, tensor)| Ok(var.set(&tensor)?))
}

/// Where the learned parameters start of those quantizers of which a checkpoint has none.
fn fresh_parameters<N: Network + ?Sized>(net: &N, state: &StateDict) -> Result<StateDict> {
    let mut fresh = StateDict::new();
    for (name, quantization) in net.quantizers() {
        let learned = |parameter: &str| visitor::learned_name(&name, parameter);
        let names = quantization.parameters().iter().map(|(parameter, _)| learned(parameter));
        if let Some(weight) = state.get(&name)
            && names.into_iter().all(|name| !state.contains_key(&name))
        {
            let start = quantization.start(weight)?.into_iter();
            fresh.extend(start.map(|(parameter, tensor)| (learned(&parameter), tensor)));
        }
    }
    Ok(fresh)
}

/// How each tensor is quantized, by its name.
fn quantization_by_name<N: Network + ?Sized>(net: &N) -> impl Fn(&str) -> Quantization + use<N> {
    let quantizers = net.quantizers();
    move |name| {
        let found = quantizers.iter().find(|(weight, _)| weight == name);
        found.map_or_else(Quantization::default, |(_, quantization)| quantization.clone())
    }
}

fn named_tensors<N: Network + ?Sized>(net: &N) -> Vec<(String, Var)> {
    let Visitor { parameters, buffers, .. } = Visitor::of(net);
    parameters.into_iter().chain(buffers).collect()
}

/// What [`Network::prunable_layers`] calls the layer with a weight of this name.
///
/// ```
/// use kernel_helpers::nn::layer_name;
/// assert_eq!(layer_name("body_op.0.conv1.0.conv.weight"), "body_op.0.conv1.0");
/// ```
pub fn layer_name(weight_name: &str) -> &str {
    let suffixes = [".conv.weight", ".linear.weight", ".weight"];
    suffixes.iter().find_map(|suffix| weight_name.strip_suffix(suffix)).unwrap_or(weight_name)
}
