//! The code in a notebook's file.

use base::{Error, Result, files};
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
struct Notebook {
    cells: Vec<Cell>,
}

#[derive(Deserialize)]
struct Cell {
    cell_type: String,
    source: Text,
}

/// Lines, or all of them in one string: the format allows both.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Lines(Vec<String>),
    Whole(String),
}

/// The sources of the code cells.
pub(super) fn code_cells(path: &Path) -> Result<Vec<String>> {
    const HELP: &str = "restore the notebook, or execute it again";
    let damaged = |error| Error::file(path, "a notebook", error, HELP);
    let notebook: Notebook = serde_json::from_slice(&files::read(path)?).map_err(damaged)?;
    let code = notebook.cells.into_iter().filter(|cell| cell.cell_type == "code");
    Ok(code
        .map(|cell| match cell.source {
            Text::Lines(lines) => lines.concat(),
            Text::Whole(text) => text,
        })
        .collect())
}
