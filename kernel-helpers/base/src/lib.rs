//! What every other crate stands on: errors, files, sums, the project's folders, the writing of numbers and of text.

pub mod digest;
mod error;
pub mod files;
pub mod paths;
pub mod printable;
pub mod units;

pub use error::{Error, Result};
