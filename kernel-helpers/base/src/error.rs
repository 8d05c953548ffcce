//! The helpers' error: short enough for a cell, complete enough to act on.

use crate::printable::{part, whole};
use std::fmt;
use std::path::{Path, PathBuf};

/// What can go wrong in the helpers. `Display` and `Debug` print the same sentence, so that `?` and `unwrap` read alike
/// in a notebook cell.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let error = Error::argument("bits", "1 to 8", 9);
/// assert_eq!(error.to_string(), "bits: expected 1 to 8, found 9");
/// assert_eq!(format!("{error:?}"), error.to_string());
/// // Candle's errors become one by `?`.
/// let product = || -> Result<Tensor> {
///     let zeros = Tensor::zeros((2, 3), DType::F32, &Device::Cpu)?;
///     Ok(zeros.matmul(&zeros)?)
/// };
/// assert!(matches!(product(), Err(Error::Tensor(_))));
/// ```
#[derive(thiserror::Error)]
pub enum Error {
    /// A file is there but holds something else than it should.
    #[error("{}: expected {}, found {}. {}", part(path.display()), part(expected), part(found), part(help))]
    File {
        /// The file.
        path: PathBuf,
        /// What the file should hold.
        expected: String,
        /// What it holds.
        found: String,
        /// What to do about it, as a sentence.
        help: String,
    },
    /// The operating system refused to read or write a file.
    #[error("{}: {}. {}", part(path.display()), part(reason), part(help))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        reason: std::io::Error,
        /// What to do about it, as a sentence.
        help: String,
    },
    /// An argument has a value that the function cannot use.
    #[error("{}: expected {}, found {}", part(what), part(expected), part(found))]
    Argument {
        /// The argument, by its name in the signature or the model.
        what: String,
        /// The values that would do.
        expected: String,
        /// The value that was given.
        found: String,
    },
    /// A tensor operation failed.
    #[error("{}", whole(_0))]
    Tensor(candle_core::Error),
    /// The notebook's stop button was pressed; holds what it ended.
    #[error("stopped: {}", whole(_0))]
    Stopped(String),
    /// A figure could not be drawn.
    #[error("the figure could not be drawn: {}", whole(_0))]
    Plot(String),
}

/// The helpers' results; another error type can be named, as with the standard one.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An [`Error::Argument`].
    pub fn argument(what: impl fmt::Display, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Error::Argument { what: what.to_string(), expected: expected.to_string(), found: found.to_string() }
    }

    /// An [`Error::File`].
    pub fn file(
        path: impl AsRef<Path>,
        expected: impl fmt::Display,
        found: impl fmt::Display,
        help: impl fmt::Display,
    ) -> Self {
        Error::File {
            path: path.as_ref().to_owned(),
            expected: expected.to_string(),
            found: found.to_string(),
            help: help.to_string(),
        }
    }

    /// An [`Error::Io`].
    pub fn io(path: impl AsRef<Path>, reason: std::io::Error, help: impl fmt::Display) -> Self {
        Error::Io { path: path.as_ref().to_owned(), reason, help: help.to_string() }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<candle_core::Error> for Error {
    /// Drops the backtrace that candle attaches: a cell has room for the message alone.
    fn from(error: candle_core::Error) -> Self {
        match error {
            candle_core::Error::WithBacktrace { inner, .. } => Error::from(*inner),
            candle_core::Error::Context { inner, .. } => Error::from(*inner),
            other => Error::Tensor(other),
        }
    }
}

impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Tensor(error) => error,
            other => candle_core::Error::wrap(other),
        }
    }
}
