//! `cargo lab bench-kernel`: how long a notebook's start and its cells take, beside evcxr's own kernel, in the same kind of
//! folder and with nothing set up.

use super::setup;
use crate::kernel::{LIBRARY_PATH, compile};
use crate::project::Project;
use crate::python::{self, Kernelspec};
use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf, absolute};
use std::process::Stdio;

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

/// The cell that prints much, in Rust and in Python.
const LINES: [&str; 2] =
    ["for i in 0..100_000 { println!(\"{i}\"); }", "for i in range(100_000):\n    print(i)"];

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// How often to start the kernels, one after the other, and run the cells in each of them in turns; medians count.
    #[arg(long, default_value_t = 10)]
    runs: usize,
    /// In how many of the runs also plain evcxr, which compiles all dependencies at each start; 0 for none.
    #[arg(long, default_value_t = 1)]
    plain_runs: usize,
    /// A Python with ipykernel, to run a cell that prints 100,000 lines in both kernels.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What `time_kernel.py` answers for a kernel, in seconds; `None` for what failed.
#[derive(Deserialize)]
struct Times {
    /// From the kernel's launch to the first output, with the helpers loaded.
    start: Option<f64>,
    /// Of the later cells.
    cells: Vec<CellTimes>,
}

/// How long a cell takes.
#[derive(Clone, Copy, Deserialize, Serialize)]
struct CellTimes {
    /// To its first output.
    first: Option<f64>,
    /// Until the kernel is idle.
    end: Option<f64>,
}

/// Medians over several starts of a kernel.
#[derive(Serialize)]
struct Medians {
    kernel: &'static str,
    runs: usize,
    start: Option<f64>,
    cells: Vec<(&'static str, CellTimes)>,
    /// Of all later cells of all runs.
    later_cells: CellTimes,
}

/// Measures, and prints a table or JSON.
pub fn bench_kernel(project: &Project, options: &Options) -> Result<()> {
    setup::ensure(project)?;
    let bar = ProgressBar::new(2 * options.runs as u64);
    let kernels = [("kernel", ours()), ("evcxr_jupyter", evcxr_jupyter()), ("plain evcxr", plain(project)?)];
    let mut times = [const { Vec::new() }; 3];
    let mut lines = [const { Vec::new() }; 2];
    for run in 0..options.runs {
        let started = if run < options.plain_runs { 3 } else { 2 };
        let requests = kernels[..started].iter().map(|(_, request)| request.clone()).collect();
        times.iter_mut().zip(time(project, &requests)?).for_each(|(all, one)| all.push(one));
        bar.inc(1);
        if let Some(python) = &options.python {
            let cells = time(project, &json!([printing(), printing_in(&absolute(python)?)]))?;
            lines.iter_mut().zip(cells).for_each(|(all, one)| all.extend(one.cells));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let measured = kernels.iter().zip(&times).filter(|(_, times)| !times.is_empty());
    let medians: Vec<Medians> = measured.map(|((name, _), times)| Medians::of(name, times)).collect();
    let lines = options.python.is_some().then(|| lines.map(|cells| CellTimes::medians(&cells).end));
    if options.json {
        let lines = lines.map(|[kernel, ipykernel]| json!({ "kernel": kernel, "ipykernel": ipykernel }));
        println!("{}", json!({ "kernels": medians, "hundred_thousand_lines": lines }));
    } else {
        print_table(&medians);
        if let Some([kernel, ipykernel]) = lines.map(|both| both.map(seconds)) {
            println!("\n100,000 lines: {kernel} s, in ipykernel {ipykernel} s");
        }
    }
    Ok(())
}

fn sources(first: &str) -> Vec<&str> {
    std::iter::once(first).chain(CELLS.map(|(_, source)| source)).collect()
}

fn ours() -> Value {
    json!({ "kernel": Kernelspec::Rust.name(), "cells": sources(FIRST_CELL) })
}

fn evcxr_jupyter() -> Value {
    json!({ "kernel": Kernelspec::Evcxr.name(), "cells": sources(FIRST_CELL) })
}

/// evcxr's own kernel with nothing set up, not even by the cargo of `cargo lab`: it compiles in a temporary folder. A shell
/// leads the process group, as `evcxr_jupyter` itself has no use for being told that its launcher is gone.
fn plain(project: &Project) -> Result<Value> {
    let nowhere = project.own().join("no-jupyter");
    let script = format!(
        "unset {LIBRARY_PATH} RUSTUP_TOOLCHAIN; {}=1 EVCXR_CONFIG_DIR=/ JUPYTER_PATH=\"$2\" \
         \"$0\" --control_file \"$1\"; exit",
        compile::AS_IT_IS
    );
    let argv = json!(["sh", "-c", script, std::env::current_exe()?, "{connection_file}", nowhere]);
    let helpers = json!(project.root().join("kernel-helpers"));
    let load = format!(
        ":dep kernel-helpers = {{ path = {helpers} }}\nuse kernel_helpers::prelude::*;\n{FIRST_CELL}"
    );
    Ok(json!({ "kernel": Kernelspec::Evcxr.name(), "argv": argv, "cells": sources(&load) }))
}

fn printing() -> Value {
    json!({ "kernel": Kernelspec::Rust.name(), "cells": [FIRST_CELL, LINES[0]] })
}

fn printing_in(python: &Path) -> Value {
    let argv = json!([python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]);
    json!({ "kernel": Kernelspec::Rust.name(), "argv": argv, "cells": [FIRST_CELL, LINES[1]] })
}

fn time(project: &Project, kernels: &Value) -> Result<Vec<Times>> {
    let mut child = python::command(project)
        .arg(project.python_scripts().join("time_kernel.py"))
        .arg(kernels.to_string())
        .current_dir(project.notebooks())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("could not start Python to run the cells")?;
    // Closes when this process ends, however it does, and Python ends the kernels.
    let lifeline = child.stdin.take();
    let output = child.wait_with_output().context("could not wait for the cells")?;
    drop(lifeline);
    if !output.status.success() {
        bail!("the cells could not be run:\n{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    // The kernels' own messages come first.
    let text = String::from_utf8_lossy(&output.stdout);
    let answer = text.trim_end().lines().last().unwrap_or_default();
    serde_json::from_str(answer).with_context(|| format!("unexpected answer: {answer}"))
}

impl Medians {
    fn of(kernel: &'static str, runs: &[Times]) -> Self {
        let cell = |index: usize| {
            let times: Vec<CellTimes> = runs.iter().map(|run| run.cells[index]).collect();
            CellTimes::medians(&times)
        };
        let all: Vec<CellTimes> = runs.iter().flat_map(|run| run.cells.iter().copied()).collect();
        Medians {
            kernel,
            runs: runs.len(),
            start: median(runs.iter().map(|run| run.start)),
            cells: CELLS.iter().enumerate().map(|(index, (name, _))| (*name, cell(index))).collect(),
            later_cells: CellTimes::medians(&all),
        }
    }
}

impl CellTimes {
    fn medians(times: &[CellTimes]) -> Self {
        CellTimes {
            first: median(times.iter().map(|cell| cell.first)),
            end: median(times.iter().map(|cell| cell.end)),
        }
    }
}

/// The median, `None` if one of the values is missing or there is none.
pub(super) fn median(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let mut values = values.collect::<Option<Vec<f64>>>()?;
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        _ if values.is_empty() => None,
        1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

fn seconds(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |seconds| format!("{seconds:.2}"))
}

fn print_table(kernels: &[Medians]) {
    let row = |name: &str, value: &dyn Fn(&Medians) -> String| {
        print!("{name:<36}");
        kernels.iter().for_each(|kernel| print!("{:>16}", value(kernel)));
        println!();
    };
    let cell = |times: CellTimes| format!("{} / {}", seconds(times.first), seconds(times.end));
    println!("seconds to the first output / until the kernel is idle, medians");
    row("", &|kernel| kernel.kernel.to_owned());
    row("runs", &|kernel| kernel.runs.to_string());
    row("start and first cell, helpers loaded", &|kernel| seconds(kernel.start));
    for (index, (name, _)) in CELLS.iter().enumerate() {
        row(name, &|kernel| cell(kernel.cells[index].1));
    }
    row("all later cells", &|kernel| cell(kernel.later_cells));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_needs_all_values() {
        assert_eq!(median([Some(3.0), Some(1.0), Some(2.0)].into_iter()), Some(2.0));
        assert_eq!(median([Some(3.0), Some(1.0)].into_iter()), Some(2.0));
        assert_eq!(median([Some(3.0), None].into_iter()), None);
        assert_eq!(median(std::iter::empty()), None);
    }
}
