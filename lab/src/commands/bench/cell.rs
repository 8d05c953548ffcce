//! The measurement inside a notebook's cell.

use super::Options;
use crate::commands::execute::execute;
use crate::commands::run::Execution;
use crate::commands::setup;
use crate::notebook::Notebook;
use crate::project::Project;
use anyhow::{Context, Result};
use kernel_helpers::bench::BenchReport;
use kernel_helpers::homework::Scale;
use serde_json::{Value, json};
use std::fs;

/// Executes a notebook of one cell that measures, and reads what it prints.
pub fn measure(project: &Project, options: &Options) -> Result<BenchReport> {
    setup::ensure(project)?;
    let folder = project.own().join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    let path = folder.join("throughput.ipynb");
    fs::write(&path, notebook(options).to_string())
        .with_context(|| format!("could not write {}", path.display()))?;
    execute(project, &Notebook::read(&path)?, Execution::at(Scale::Full))?;
    let executed: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
    let printed = match &executed["cells"][0]["outputs"][0]["text"] {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        text => text.as_str().unwrap_or_default().to_owned(),
    };
    serde_json::from_str(&printed).with_context(|| format!("the cell printed `{printed}`, not figures"))
}

fn notebook(options: &Options) -> Value {
    let Options { batch_size, steps, .. } = options;
    let data = if options.no_epoch {
        "None"
    } else {
        "Some(&kernel_helpers::homework::cifar10(kernel_helpers::homework::Scale::Full)?)"
    };
    let source = format!(
        "use kernel_helpers::bench;\n\
         let config = bench::BenchConfig {{ batch_size: {batch_size}, steps: {steps} }};\n\
         println!(\"{{}}\", bench::measure(config, {data})?.to_json());"
    );
    let cell = json!({
        "cell_type": "code",
        "id": "measure",
        "metadata": {},
        "execution_count": null,
        "outputs": [],
        "source": source,
    });
    json!({ "nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell] })
}
