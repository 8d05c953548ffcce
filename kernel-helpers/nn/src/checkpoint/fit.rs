//! Whether a state dict belongs to a network.

use super::StateDict;
use base::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// Names that an error lists before it counts the rest.
const LISTED: usize = 3;

/// Checks that the state dict read from `path` has exactly the names and shapes of `expected`, like PyTorch's
/// `load_state_dict(strict=True)`. Batch norm's counters `num_batches_tracked` may be missing or too many, as nothing
/// computes with them; where the network has one, it must have the right shape.
///
/// # Errors
/// One [`Error::File`] with what is missing, unexpected or of another shape: the first names of each, and a count.
pub(crate) fn check_fits(
    path: impl AsRef<Path>,
    state_dict: &StateDict,
    expected: &[(String, Vec<usize>)],
) -> Result<()> {
    let counts = |name: &&str| !name.ends_with("num_batches_tracked");
    let shapes: BTreeMap<&str, &[usize]> = expected.iter().map(|(name, shape)| (&**name, &**shape)).collect();
    let missing = shapes.keys().copied().filter(counts).filter(|name| !state_dict.contains_key(*name));
    let unexpected =
        state_dict.keys().map(String::as_str).filter(counts).filter(|name| !shapes.contains_key(name));
    let misshapen = shapes.iter().filter_map(|(name, shape)| {
        let found = state_dict.get(*name)?.dims();
        (found != *shape).then_some((name, found, shape))
    });

    let quoted = |name| format!("`{name}`");
    let lists = [
        list("without", missing, quoted),
        list("with the unexpected", unexpected, quoted),
        list("with the wrong shape:", misshapen, |(name, found, shape)| {
            format!("`{name}` with {found:?} instead of {shape:?}")
        }),
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

fn list<T>(title: &str, mut items: impl Iterator<Item = T>, said: impl Fn(T) -> String) -> Option<String> {
    let shown: Vec<String> = items.by_ref().take(LISTED).map(said).collect();
    let shown = (!shown.is_empty()).then(|| shown.join(", "))?;
    match items.count() {
        0 => Some(format!("{title} {shown}")),
        more => Some(format!("{title} {shown} and {more} more")),
    }
}
