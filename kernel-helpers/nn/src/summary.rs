//! How networks are shown, and what a notebook knows of their size.

use crate::Network;
use base::units::{bytes, grouped, short_type_name};
use candle_core::Var;
use display::table::Table;
use display::{Measure, Probe, ShownReference, size};
use std::collections::HashMap;

/// One layer: the parameters whose names differ in the last word alone.
struct Layer {
    name: String,
    parameters: Vec<(String, Var)>,
}

/// A network's layers with the shape of the weight and the count of the parameters, and their sums.
pub(crate) fn summary<N: Network + ?Sized>(net: &N) -> Table {
    let layers = layers(net.named_parameters());
    let quantizers: HashMap<String, String> =
        net.quantizers().into_iter().map(|(name, quantization)| (name, quantization.to_string())).collect();
    let mut columns = vec!["layer", "weight", "parameters"];
    if !quantizers.is_empty() {
        columns.push("quantized to");
    }
    let row = |layer: &Layer| {
        let mut row = vec![layer.name.clone(), layer.shape(), grouped(layer.count())];
        if !quantizers.is_empty() {
            row.push(quantizers.get(&layer.weight().0).cloned().unwrap_or_default());
        }
        row
    };
    let total: usize = layers.iter().map(Layer::count).sum();
    let memory = |tensors: &[(String, Var)]| tensors.iter().map(|(_, tensor)| size(tensor)).sum::<usize>();
    let (parameters, buffers) = (net.named_parameters(), net.named_buffers());
    let values = buffers.iter().map(|(_, buffer)| buffer.elem_count()).sum();
    let name = net.description().unwrap_or_else(|| short_type_name(std::any::type_name::<N>()));
    let table = Table::new(columns).caption(name).rows(layers.iter().map(row));
    let table = table.row(vec!["all layers".to_owned(), String::new(), grouped(total)]);
    table.note(format!("{} of parameters", bytes(memory(&parameters)))).notes(
        (!buffers.is_empty())
            .then(|| format!("{} values in buffers, {}", grouped(values), bytes(memory(&buffers)))),
    )
}

/// Shows a network at the end of a cell, also one of a type of its own, by its [`Network::summary`].
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::display::ShownValue;
/// use kernel_helpers::nn::DisplayNetwork as _;
///
/// struct Classifier(FpLinear);
///
/// # impl ModuleT for Classifier {
/// #     fn forward_t(&self, x: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
/// #         self.0.forward(x)
/// #     }
/// # }
/// impl Network for Classifier {
///     fn visit(&self, visitor: &mut Visitor) {
///         visitor.part("output", &self.0);
///     }
/// #     fn device(&self) -> &Device {
/// #         self.0.weight.device()
/// #     }
/// }
///
/// # let mut rng = ChaCha8Rng::seed_from_u64(0);
/// let net = Classifier(FpLinear::new(4, 2, Ste::default(), &mut rng, &Device::Cpu)?);
/// ShownValue::of(&net).evcxr_display(); // what a cell does that ends with `net`
/// let shown = net.summary().forms();
/// assert!(shown.get("text/plain").is_some_and(|text| text.contains("2 × 4")));
/// # Ok::<(), Error>(())
/// ```
pub trait DisplayNetwork {
    /// Shows the network as the cell's output.
    fn evcxr_display(&self);
}

impl<N: Network + ?Sized> DisplayNetwork for ShownReference<'_, N> {
    fn evcxr_display(&self) {
        display::show(&self.value().summary());
    }
}

/// Measures networks: their parameters, and the bytes of these and of the buffers.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::variable;
///
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// let listed = variable!("net", "Model", net); // a row in the table of variables
/// assert_eq!(listed.measure().extent.as_deref(), Some("61,706 parameters"));
/// # Ok::<(), Error>(())
/// ```
pub trait ByNetwork {
    /// The value's measure.
    fn measure(&self) -> Measure;
}

impl<T: Network + ?Sized> ByNetwork for &&&Probe<'_, T> {
    fn measure(&self) -> Measure {
        let parameters = self.0.named_parameters();
        let count = parameters.iter().map(|(_, parameter)| parameter.elem_count()).sum();
        let tensors =
            parameters.iter().chain(&self.0.named_buffers()).map(|(_, tensor)| size(tensor)).sum::<usize>();
        Measure {
            extent: Some(format!("{} parameters", grouped(count))),
            bytes: size_of_val(self.0) + tensors,
        }
    }
}

fn layers(parameters: Vec<(String, Var)>) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    for (name, parameter) in parameters {
        let layer = name.rsplit_once('.').map_or(name.as_str(), |(layer, _)| layer).to_owned();
        match layers.last_mut().filter(|last| last.name == layer) {
            Some(last) => last.parameters.push((name, parameter)),
            None => layers.push(Layer { name: layer, parameters: vec![(name, parameter)] }),
        }
    }
    layers
}

impl Layer {
    fn count(&self) -> usize {
        self.parameters.iter().map(|(_, parameter)| parameter.elem_count()).sum()
    }

    /// The parameter of the highest rank, the earliest of equals.
    fn weight(&self) -> &(String, Var) {
        let by_rank = self.parameters.iter().rev().max_by_key(|(_, parameter)| parameter.rank());
        by_rank.expect("a layer begins with a parameter")
    }

    /// `16 × 3 × 3 × 3`.
    fn shape(&self) -> String {
        let sides: Vec<_> = self.weight().1.dims().iter().map(usize::to_string).collect();
        sides.join(" × ")
    }
}

#[cfg(test)]
mod tests {
    use crate::models::{ResNetConfig, resnet_cifar};
    use candle_core::Tensor;
    use candle_core::{DType, Device};
    use display::Show;

    fn plain(value: &impl Show) -> String {
        value.forms().get("text/plain").unwrap().to_owned()
    }

    #[test]
    fn a_network_is_a_row_for_each_layer_and_the_sums() {
        let net = resnet_cifar(ResNetConfig::default()).unwrap().build(0, &Device::Cpu).unwrap();
        let text = plain(&net);
        let cells = |name: &str| -> Vec<String> {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split("  ").map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect()
        };
        assert!(text.starts_with("ResNet-20\n"), "{text}");
        assert_eq!(cells("head_conv.0.conv"), ["head_conv.0.conv", "[16, 32, 32]", "432", "442,368"]);
        assert_eq!(cells("head_conv.1"), ["head_conv.1", "[16, 32, 32]", "32"]);
        assert_eq!(cells("final_fc.linear"), ["final_fc.linear", "[10]", "650", "640"]);
        assert_eq!(cells("all layers"), ["all layers", "272,474", "40,813,184"]);
        assert!(text.contains("1.1 MB of parameters"), "{text}");
        assert!(!text.contains("quantized"), "{text}");
    }

    #[test]
    fn a_quantized_network_says_which_layers_are() {
        let config = ResNetConfig { num_layers: 8, n_bits: Some(4), ..Default::default() };
        let text = plain(&resnet_cifar(config).unwrap().build(0, &Device::Cpu).unwrap());
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(
            line("body_op.0.conv1.0").ends_with("4 bits") && line("final_fc").trim_end().ends_with("640"),
            "{text}"
        );
    }

    #[test]
    fn a_network_stays_short_after_it_was_trained() {
        let net = resnet_cifar(ResNetConfig { num_layers: 8, ..Default::default() })
            .unwrap()
            .build(0, &Device::Cpu)
            .unwrap();
        let x = Tensor::zeros((4, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
        drop(candle_nn::ModuleT::forward_t(&net, &x, true).unwrap());
        let (debug, shown) = (format!("{net:?}").len(), plain(&net).len());
        assert!(debug < 10_000 && shown < 3_000, "{debug} and {shown} characters");
    }
}
