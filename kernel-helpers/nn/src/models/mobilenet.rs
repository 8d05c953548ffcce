//! A MobileNet for small images.

use crate::graph::Graph;
use base::Result;

/// Depthwise separable convolutions in the manner of MobileNet (Howard et al., 2017), 32 to 512 channels, for images
/// `[3, 32, 32]`.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let (small, large) = (mobilenet(10)?, vgg(10)?);
/// assert_eq!(small.parameters(), 543_050);
/// assert!(small.multiplications() * 5 < large.multiplications());
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If there are no classes.
pub fn mobilenet(classes: usize) -> Result<Graph> {
    Graph::new("MobileNet", [3, 32, 32], |x| {
        let mut x = x.conv(32, 3).batch_norm().relu();
        for (channels, stride) in [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)] {
            x = x.depthwise_conv(3).stride(stride).batch_norm().relu();
            x = x.conv(channels, 1).batch_norm().relu();
        }
        x.global_average_pool().linear(classes)
    })
}
