//! Layers of one's own.

use super::Shape;
use base::Result;
use candle_core::Tensor;
use std::fmt::Debug;

/// A layer that the executor has no node for: candle computes it, at the place where it stands, and its autograd the
/// gradients.
///
/// ```
/// use kernel_helpers::prelude::*;
/// #[derive(Debug)]
/// struct Swish;
///
/// impl CustomLayer for Swish {
///     fn kind(&self) -> &str {
///         "swish"
///     }
///     fn forward(&self, x: &Tensor, _parameters: &[Tensor], _train: bool) -> Result<Tensor> {
///         Ok(candle_nn::ops::silu(x)?)
///     }
/// }
///
/// let graph = Graph::new("swish", [1, 4, 4], |x| x.conv(8, 3).layer(Swish).flatten().linear(2))?;
/// let images = Tensor::ones((5, 1, 4, 4), DType::F32, &Device::Cpu)?;
/// assert_eq!(graph.build(0, &Device::Cpu)?.forward_t(&images, true)?.dims(), [5, 2]);
/// # Ok::<(), Error>(())
/// ```
pub trait CustomLayer: Debug + Send + Sync {
    /// A word for the kind of layer, which names it where it has no name of its own: `swish`.
    fn kind(&self) -> &str;

    /// All that decides what it computes besides its parameters; a part of a run's identity.
    fn description(&self) -> String {
        self.kind().to_owned()
    }

    /// The shape of one image's output, that of its input if it is not said; or what would have been expected.
    ///
    /// # Errors
    /// If the layer cannot take features of this shape.
    fn shape(&self, input: Shape) -> Result<Shape, String> {
        Ok(input)
    }

    /// Whether each channel of the output comes from the same channel of the input alone, by the same rule for all, and
    /// is zero where that is zero; no, if it is not said. Channels of a layer without parameters can then be removed, see
    /// [`Graph::channel_groups`](super::Graph::channel_groups).
    fn is_channelwise(&self) -> bool {
        false
    }

    /// The parameters at the start, by name; none if it is not said.
    fn parameters(&self) -> Vec<(String, Tensor)> {
        Vec::new()
    }

    /// The output for `x [N, C, H, W]`, or `[N, C]` of flat features, with the parameters in their order, by candle's
    /// differentiable operations.
    ///
    /// # Errors
    /// If an operation fails.
    fn forward(&self, x: &Tensor, parameters: &[Tensor], train: bool) -> Result<Tensor>;
}
