//! Small networks for images of digits.

use crate::graph::Graph;
use base::Result;

/// LeNet-5 (LeCun et al., 1998) with ReLU and max pooling, for images `[1, 28, 28]`.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// let digits = Tensor::zeros((4, 1, 28, 28), DType::F32, &Device::Cpu)?;
/// assert_eq!(net.forward_t(&digits, false)?.dims(), [4, 10]);
/// assert_eq!(net.graph().parameters(), 61_706);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If there are no classes.
pub fn lenet(classes: usize) -> Result<Graph> {
    Graph::new("LeNet-5", [1, 28, 28], |x| {
        let x = x.conv(6, 5).with_bias().relu().max_pool(2);
        let x = x.conv(16, 5).padding(0).with_bias().relu().max_pool(2);
        x.flatten().linear(120).relu().linear(84).relu().linear(classes)
    })
}

/// A multilayer perceptron with two hidden layers of 512 and 256, for images `[1, 28, 28]`.
///
/// ```
/// use kernel_helpers::prelude::*;
/// assert_eq!(mlp(10)?.parameters(), 784 * 512 + 512 + 512 * 256 + 256 + 256 * 10 + 10);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If there are no classes.
pub fn mlp(classes: usize) -> Result<Graph> {
    Graph::new("MLP", [1, 28, 28], |x| x.flatten().linear(512).relu().linear(256).relu().linear(classes))
}
