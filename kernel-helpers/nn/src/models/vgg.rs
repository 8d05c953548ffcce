//! A VGG for small images.

use crate::graph::Graph;
use base::Result;

/// Six 3x3 convolutions in the manner of VGG (Simonyan and Zisserman, 2014) with batch norm, 64 to 256 channels, for
/// images `[3, 32, 32]`.
///
/// ```
/// use kernel_helpers::prelude::*;
/// assert_eq!(vgg(10)?.parameters(), 1_148_874);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If there are no classes.
pub fn vgg(classes: usize) -> Result<Graph> {
    Graph::new("VGG", [3, 32, 32], |mut x| {
        for channels in [64, 128, 256] {
            for _ in 0..2 {
                x = x.conv(channels, 3).batch_norm().relu();
            }
            x = x.max_pool(2);
        }
        x.global_average_pool().linear(classes)
    })
}
