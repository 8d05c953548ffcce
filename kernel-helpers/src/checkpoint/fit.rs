//! Whether a state dict belongs to a network.

use super::StateDict;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// Names that an error lists before it counts the rest.
const LISTED: usize = 3;

/// Checks that the state dict read from `path` has exactly the names and shapes of `expected`, like PyTorch's
/// `load_state_dict(strict=True)`. Batch norm's counters `num_batches_tracked` are neither asked for nor rejected:
/// nothing computes with them.
///
/// # Errors
/// One [`Error::File`] with what is missing, unexpected or of another shape: the first names of each, and a count.
pub fn check_fits(
    path: impl AsRef<Path>,
    state_dict: &StateDict,
    expected: &[(String, Vec<usize>)],
) -> Result<()> {
    let counts = |name: &&str| !name.ends_with("num_batches_tracked");
    let shapes: BTreeMap<&str, &[usize]> = expected.iter().map(|(name, shape)| (&**name, &**shape)).collect();
    let missing = shapes.keys().copied().filter(counts).filter(|name| !state_dict.contains_key(*name));
    let unexpected =
        state_dict.keys().map(String::as_str).filter(counts).filter(|name| !shapes.contains_key(name));
    let misshapen = shapes.iter().filter(|(name, _)| counts(name)).filter_map(|(name, shape)| {
        let found = state_dict.get(*name)?.dims();
        (found != *shape).then(|| format!("`{name}` with {found:?} instead of {shape:?}"))
    });

    let lists = [
        list("without", missing.map(|name| format!("`{name}`")).collect()),
        list("with the unexpected", unexpected.map(|name| format!("`{name}`")).collect()),
        list("with the wrong shape:", misshapen.collect()),
    ];
    let problems: Vec<_> = lists.into_iter().flatten().collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::file(
        path,
        format!("the {} tensors of this network", shapes.keys().filter(|name| counts(name)).count()),
        format!("a checkpoint {}", problems.join("; ")),
        "Load a checkpoint that was saved from the same network.",
    ))
}

fn list(title: &str, items: Vec<String>) -> Option<String> {
    let shown = items.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    match items.len() {
        0 => None,
        count if count <= LISTED => Some(format!("{title} {shown}")),
        count => Some(format!("{title} {shown} and {} more", count - LISTED)),
    }
}
