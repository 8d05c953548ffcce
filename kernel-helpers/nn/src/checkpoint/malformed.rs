//! What is wrong with a file, before its path is known.

use base::Error;
use std::fmt::Display;
use std::path::Path;

/// Help for a file that ends too early.
pub(super) const CUT_SHORT: &str = "The file is cut short: copy or download it again.";
/// Help for a file whose content contradicts itself.
pub(super) const DAMAGED: &str = "The file is damaged: copy or download it again.";
/// Help for a file that holds something else than a state dict.
pub(super) const SAVE_STATE_DICT: &str =
    "Save the weights alone in Python, `torch.save(net.state_dict(), \"model.pt\")`, and load that file.";

/// The operands of an [`Error::File`], all but the path.
#[derive(Debug, Clone)]
pub(super) struct Malformed {
    expected: String,
    found: String,
    help: String,
}

/// The results of the readers, which know bytes and no path.
pub(super) type Result<T> = std::result::Result<T, Malformed>;

impl Malformed {
    pub(super) fn new(expected: impl Display, found: impl Display, help: impl Display) -> Self {
        Self { expected: expected.to_string(), found: found.to_string(), help: help.to_string() }
    }

    pub(super) fn at(self, path: &Path) -> Error {
        Error::file(path, self.expected, self.found, self.help)
    }
}
