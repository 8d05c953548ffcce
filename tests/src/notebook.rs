//! Notebooks that tests write, execute and read.

use crate::scratch_folder;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A notebook with these code cells, in a folder of its own.
pub fn notebook(test: &str, cells: &[&str]) -> PathBuf {
    let cell = |(index, source): (usize, &&str)| {
        json!({ "cell_type": "code", "id": format!("cell-{index}"), "metadata": {}, "source": source,
                "outputs": [], "execution_count": null })
    };
    let notebook = json!({
        "cells": cells.iter().enumerate().map(cell).collect::<Vec<_>>(),
        "metadata": { "kernelspec": { "name": "rust", "display_name": "Rust", "language": "rust" } },
        "nbformat": 4,
        "nbformat_minor": 5,
    });
    let path = scratch_folder(test).join("notebook.ipynb");
    write(&path, &notebook);
    path
}

/// The notebook in a file.
pub fn read(path: &Path) -> Value {
    let bytes = std::fs::read(path).expect("the notebook can be read");
    serde_json::from_slice(&bytes).expect("a notebook is JSON")
}

/// Writes a notebook into a file.
pub fn write(path: &Path, notebook: &Value) {
    std::fs::write(path, notebook.to_string()).expect("the notebook can be written");
}

/// What each code cell of a notebook printed, and the MIME types that it showed.
pub fn outputs(path: &Path) -> Vec<(String, Vec<String>)> {
    let cell = |cell: &Value| {
        let outputs = cell["outputs"].as_array()?;
        let printed = outputs.iter().map(|output| text(&output["text"])).collect();
        let shown = outputs.iter().filter_map(|output| output["data"].as_object());
        Some((printed, shown.flat_map(|data| data.keys().cloned()).collect()))
    };
    read(path)["cells"].as_array().into_iter().flatten().filter_map(cell).collect()
}

/// A text, which the format allows to be one string or a list of lines.
pub fn text(value: &Value) -> String {
    match value {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}
