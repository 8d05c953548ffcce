//! Convolutions that skip zero weights, to measure what that is worth.

mod blocks;
mod rows;

pub use blocks::BlockSparseConv;
pub use rows::SparseConv;

use base::{Error, Result};
use candle_core::Tensor;

/// What is wrong with images that do not fit a convolution.
fn misfit<T>(inputs: usize, images: &Tensor) -> Result<T> {
    let expected = format!("images of {inputs} channels, at least as large as the kernel");
    Err(Error::argument("images", expected, format!("{:?}", images.dims())))
}
