//! Source code that a library carries with it, shown in a cell.

mod cells;
mod items;

use base::{Error, Result};
use display::{MimeBundle, Show, shows_itself};
use include_dir::Dir;
use items::{Excerpt, Item, items, items_of_file};
use std::fmt;
use std::path::Path;

/// Source code of one or more items, with their comments. As the last value of a cell it shows itself.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let source = show_source("Ste::apply")?;
/// assert!(source.code().contains("pub fn apply(self, weight: &Tensor)"));
/// assert!(source.to_markdown().starts_with("`kernel-helpers/nn/src/quant/ste.rs`"));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    excerpts: Vec<Excerpt>,
}

/// The source code of items by name, from the folder with a library's sources, which lies at `place` in the project: a
/// function, a type (with its impls), a constant, a macro; one method as `Ste::apply`; only the impls as `impl Ste`.
/// Several names are separated by commas.
///
/// ```
/// use include_dir::{Dir, include_dir};
/// use kernel_helpers::notebook::source::find;
///
/// static SOURCES: Dir = include_dir!("$CARGO_MANIFEST_DIR/src");
///
/// let source = find(&SOURCES, "notebook/src", "Source::code, plot_loss")?;
/// assert!(source.code().contains("pub fn code(&self) -> String {"));
/// let message = find(&SOURCES, "notebook/src", "plot_lost").unwrap_err().to_string();
/// assert!(message.contains("such as `plot_loss`"), "{message}");
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If there is no item of that name; the message lists similar ones.
pub fn find(sources: &Dir, place: &str, names: &str) -> Result<Source> {
    of_names(&items(sources, place), place, names)
}

/// The same of the items that the cells of a notebook define; `place` is what it is called.
///
/// ```
/// use kernel_helpers::notebook::source::find_in_cells;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("half.ipynb");
/// let cell = r#"{"cell_type": "code", "source": ["fn half(x: f64) -> f64 {\n", "    x / 2.0\n", "}\n", "half(8.0)"]}"#;
/// std::fs::write(&path, format!(r#"{{"cells": [{cell}]}}"#)).unwrap();
/// let source = find_in_cells(&path, "notebooks/half.ipynb", "half")?;
/// assert_eq!(source.code(), "fn half(x: f64) -> f64 {\n    x / 2.0\n}");
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If the file cannot be read or is no notebook, or as [`find`].
pub fn find_in_cells(notebook: &Path, place: &str, names: &str) -> Result<Source> {
    let cells = cells::code_cells(notebook)?;
    let items: Vec<Item> = cells.iter().flat_map(|cell| items_of_file(place, cell)).collect();
    of_names(&items, place, names)
}

fn of_names(items: &[Item], place: &str, names: &str) -> Result<Source> {
    let mut excerpts = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let found = select(items, place, name)?;
        excerpts.extend(found.into_iter().map(|item| item.excerpt.clone()));
    }
    if excerpts.is_empty() {
        return Err(Error::argument("the name", format!("an item of {place}"), "nothing"));
    }
    Ok(Source { excerpts })
}

impl Source {
    /// The code alone, items separated by an empty line.
    pub fn code(&self) -> String {
        let codes: Vec<_> = self.excerpts.iter().map(|excerpt| excerpt.code.as_str()).collect();
        codes.join("\n\n")
    }

    /// The code as fenced Markdown blocks, one for each file, under the file's name.
    pub fn to_markdown(&self) -> String {
        let by_file = self.excerpts.chunk_by(|a, b| a.file == b.file).map(|excerpts| {
            let codes: Vec<_> = excerpts.iter().map(|excerpt| excerpt.code.as_str()).collect();
            let (file, code) = (&excerpts[0].file, codes.join("\n\n"));
            let fence = fence(&code);
            format!("`{file}`\n\n{fence}rust\n{code}\n{fence}\n")
        });
        by_file.collect::<Vec<_>>().join("\n")
    }
}

impl Show for Source {
    fn forms(&self) -> MimeBundle {
        MimeBundle::plain(self.code()).markdown(self.to_markdown())
    }
}

shows_itself!(Source);

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code())
    }
}

/// The items that `name` means: exact names of free items first, then methods.
fn select<'a>(items: &'a [Item], place: &str, name: &str) -> Result<Vec<&'a Item>> {
    let matching =
        |wanted: &dyn Fn(&Item) -> bool| items.iter().filter(|item| wanted(item)).collect::<Vec<_>>();
    let mut found = matching(&|item| item.owner.is_none() && item.name == name);
    if found.is_empty() {
        found = matching(&|item| item.qualified_name() == name);
    }
    if !found.is_empty() {
        // The definition comes before its impls.
        found.sort_by_key(|item| item.keyword == "impl");
        return Ok(found);
    }
    let methods = matching(&|item| item.name == name);
    match methods.len() {
        1 => Ok(methods),
        0 => Err(Error::argument(
            "the name of the source code to show",
            format!("an item of {place}, such as {}", similar_names(items, name)),
            format!("`{name}`"),
        )),
        _ => Err(Error::argument(
            "the name of the source code to show",
            format!("one of {}", list(methods.iter().map(|item| item.qualified_name()))),
            format!("`{name}`, which several types have"),
        )),
    }
}

/// A Markdown fence longer than any in the code's own documentation.
fn fence(code: &str) -> String {
    let fences = code.split(|c| c != '`').map(str::len);
    "`".repeat(fences.max().unwrap_or(0).max(2) + 1)
}

/// The five names with the least edit distance to `name`, or that contain it.
fn similar_names(items: &[Item], name: &str) -> String {
    let wanted = name.to_lowercase();
    let mut names: Vec<_> =
        items.iter().filter(|item| item.keyword != "impl").map(Item::qualified_name).collect();
    names.sort();
    names.dedup();
    names.sort_by_cached_key(|candidate| {
        let candidate = candidate.to_lowercase();
        (!candidate.contains(&wanted), edit_distance(&candidate, &wanted))
    });
    list(names.into_iter().take(5))
}

fn list(names: impl Iterator<Item = String>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Levenshtein's distance.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
