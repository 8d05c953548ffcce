//! `cargo lab bench-kernel`: how long a notebook's start and its cells take, beside plain evcxr.

use super::setup;
use crate::kernel::LIBRARY_PATH;
use crate::project::Project;
use crate::python;
use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The cell whose first output ends the start.
const FIRST_CELL: &str = "1 + 1";

/// Later cells, each with the name under which it is reported.
const CELLS: [(&str, &str); 6] = [
    ("1 + 2", "1 + 2"),
    ("a variable", "let layers = vec![16, 32, 64];\nprintln!(\"{}\", layers.len());"),
    ("a tensor", "let x = Tensor::ones((2, 3), DType::F32, &Device::Cpu)?;\nprintln!(\"{x}\");"),
    ("an operation on it", "let total = x.sum_all()?.to_scalar::<f32>()?;\ntotal"),
    ("a function and its call", "fn twice(n: u32) -> u32 {\n    2 * n\n}\nprintln!(\"{}\", twice(21));"),
    ("a figure", "plot_loss(&[1.0, 0.1, 0.01]).draw()?"),
];

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// How many kernels to start, one after the other; medians count.
    #[arg(long, default_value_t = 10)]
    runs: usize,
    /// How many of plain evcxr, which compiles all dependencies at each start; 0 for none.
    #[arg(long, default_value_t = 1)]
    plain_runs: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What `time_kernel.py` answers, in seconds.
#[derive(Deserialize)]
struct Times {
    start: Option<f64>,
    cells: Vec<Option<f64>>,
}

/// Medians over several kernels, in seconds; `None` where a cell failed.
#[derive(Serialize)]
struct Medians {
    runs: usize,
    /// From the kernel's launch to the first output, with the helpers loaded.
    start: Option<f64>,
    /// From running a later cell to its output.
    cells: Vec<(&'static str, Option<f64>)>,
    /// The median of all later cells of all runs.
    later_cell: Option<f64>,
}

/// Measures, and prints a table or JSON.
pub fn bench_kernel(project: &Project, options: &Options) -> Result<()> {
    setup::ensure(project)?;
    let lab = std::env::current_exe()?;
    // The same evcxr with nothing set up, not even by the cargo of `cargo lab`: it compiles in a temporary folder. A shell
    // leads the process group, as `evcxr_jupyter` itself has no use for being told that its launcher is gone.
    let plain_command = json!([
        "sh",
        "-c",
        format!(
            "unset {LIBRARY_PATH} RUSTUP_TOOLCHAIN; LAB_RELAYED=1 EVCXR_CONFIG_DIR=/ \"$0\" --control_file \"$1\"; exit"
        ),
        lab,
        "{connection_file}"
    ]);
    let helpers = project.root().join("kernel-helpers");
    let load = format!(
        ":dep kernel-helpers = {{ path = {helpers:?} }}\nuse kernel_helpers::prelude::*;\n{FIRST_CELL}"
    );
    let sources = |first: &str| -> Vec<String> {
        let first = std::iter::once(first.to_owned());
        first.chain(CELLS.map(|(_, source)| source.to_owned())).collect()
    };
    let bar = ProgressBar::new((options.runs + options.plain_runs) as u64);
    let measure = |runs: usize, request: serde_json::Value| -> Result<Option<Medians>> {
        let times = (0..runs).map(|_| {
            bar.inc(1);
            time(project, &request)
        });
        let times = times.collect::<Result<Vec<_>>>()?;
        Ok((!times.is_empty()).then(|| Medians::of(&times)))
    };
    let ours = measure(options.runs, json!({ "cells": sources(FIRST_CELL) }))?;
    let plain = measure(options.plain_runs, json!({ "argv": plain_command, "cells": sources(&load) }))?;
    bar.finish_and_clear();
    if options.json {
        println!("{}", json!({ "kernel": ours, "plain_evcxr": plain }));
    } else {
        print_table(ours.as_ref(), plain.as_ref());
    }
    Ok(())
}

fn time(project: &Project, request: &serde_json::Value) -> Result<Times> {
    let output = python::command(project)
        .arg(project.python_scripts().join("time_kernel.py"))
        .arg(request.to_string())
        .current_dir(project.notebooks())
        .output()
        .context("could not start Python to run the cells")?;
    if !output.status.success() {
        bail!("the cells could not be run:\n{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    // The kernel's own messages come first.
    let text = String::from_utf8_lossy(&output.stdout);
    let answer = text.trim_end().lines().last().unwrap_or_default();
    serde_json::from_str(answer).with_context(|| format!("unexpected answer: {answer}"))
}

impl Medians {
    fn of(runs: &[Times]) -> Self {
        let cell =
            |index: usize| median(runs.iter().map(|run| run.cells.get(index).copied().flatten()).collect());
        Medians {
            runs: runs.len(),
            start: median(runs.iter().map(|run| run.start).collect()),
            cells: CELLS.iter().enumerate().map(|(index, (name, _))| (*name, cell(index))).collect(),
            later_cell: median(runs.iter().flat_map(|run| run.cells.clone()).collect()),
        }
    }
}

/// The median, `None` if one of the values is missing or there is none.
fn median(values: Vec<Option<f64>>) -> Option<f64> {
    let mut values = values.into_iter().collect::<Option<Vec<f64>>>()?;
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        _ if values.is_empty() => None,
        1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

fn print_table(ours: Option<&Medians>, plain: Option<&Medians>) {
    let seconds = |value: Option<f64>| value.map_or("-".to_owned(), |seconds| format!("{seconds:.2}"));
    let runs = |medians: Option<&Medians>| medians.map_or(0, |medians| medians.runs);
    println!(
        "seconds to the first output, medians of {} kernels and {} of plain evcxr",
        runs(ours),
        runs(plain)
    );
    println!("{:<36}{:>10}{:>14}", "", "kernel", "plain evcxr");
    let row = |name: &str, value: &dyn Fn(&Medians) -> Option<f64>| {
        println!("{name:<36}{:>10}{:>14}", seconds(ours.and_then(value)), seconds(plain.and_then(value)));
    };
    row("start and first cell, helpers loaded", &|medians| medians.start);
    for (index, (name, _)) in CELLS.iter().enumerate() {
        row(name, &|medians| medians.cells[index].1);
    }
    row("all later cells", &|medians| medians.later_cell);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_needs_all_values() {
        assert_eq!(median(vec![Some(3.0), Some(1.0), Some(2.0)]), Some(2.0));
        assert_eq!(median(vec![Some(3.0), Some(1.0)]), Some(2.0));
        assert_eq!(median(vec![Some(3.0), None]), None);
        assert_eq!(median(vec![]), None);
    }
}
