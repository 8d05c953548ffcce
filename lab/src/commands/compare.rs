//! `cargo lab compare`: the compressed networks side by side, as they are used.

use super::compress::{Run, trained};
use super::data;
use super::engine::{ENGINES, Engine};
use crate::project::Project;
use anyhow::{Context, Result};
use clap::Args;
use kernel_helpers::display::print_line;
use kernel_helpers::homework::prelude::*;
use kernel_helpers::prelude::*;
use std::path::{Path, PathBuf};

#[derive(Args)]
/// What `cargo lab compare` can be asked for.
pub struct Options {
    /// Compare with ONNX Runtime and OpenVINO too, installed in the environment of this Python.
    #[arg(long, value_name = "PYTHON")]
    engines: Option<PathBuf>,
    /// Where the plot goes, a PNG; `.lab/comparison.png` if not given.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// How many turns; medians count.
    #[arg(long, default_value_t = Timing::default().turns)]
    turns: usize,
    /// Images in a batch.
    #[arg(long, default_value_t = Timing::default().batch_size)]
    batch_size: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A network with its name and file.
struct Entry {
    name: String,
    network: Box<dyn Predictor>,
    file: PathBuf,
}

/// Compares the trained network with those that `cargo lab compress` has made, in floating point and in integers.
pub fn compare(project: &Project, options: &Options) -> Result<()> {
    data::ensure(project)?;
    let scale = Scale::from_env()?;
    let data = cifar10(scale)?;
    let folder = output_dir(scale, 0)?;
    let files = tempfile::tempdir_in(project.temporary()).context("no room for temporary files")?;
    let float = trained()?;
    let mut entries = vec![Entry::prepared("dense", &float, pretrained_model()?)?];
    let integers = IntegerNetwork::quantize(&float, &data, Calibration::default())?;
    let in_other_engines = [
        ("", OnnxModel::of(&float)?),
        (" 8 bits", OnnxModel::of_integers(&integers, OnnxOptions::default())),
    ];
    entries.push(Entry::integers("dense", integers, files.path())?);
    let mut missing = Vec::new();
    for run in Run::main() {
        let weights = run.weights(&folder);
        if !weights.is_file() || !RunFiles::of(&weights).record().is_file() {
            missing.push(run.to_string());
            continue;
        }
        let net = run.load(&weights)?;
        let name = run.to_string();
        entries.push(Entry::prepared(&name, &net, weights)?);
        if run.has_integers() {
            let integers = IntegerNetwork::quantize(&net, &data, Calibration::default())?;
            entries.push(Entry::integers(&name, integers, files.path())?);
        }
    }
    if let Some(python) = &options.engines {
        for engine in ENGINES {
            for (what, model) in &in_other_engines {
                entries.push(Entry::of_engine(project, python, engine, model, files.path(), what)?);
            }
        }
    }
    let contenders: Vec<Contender> =
        entries.iter().map(|entry| Contender::new(&entry.name, &*entry.network).file(&entry.file)).collect();
    let timing = Timing { batch_size: options.batch_size, turns: options.turns };
    let found = kernel_helpers::prelude::compare(&contenders, &data, timing)?;
    if options.json {
        print_line(serde_json::to_string_pretty(&found)?);
    } else {
        print_line(&found);
    }
    let plot = options.plot.clone().unwrap_or_else(|| project.own().join("comparison.png"));
    found.plot().draw()?.save(&plot)?;
    if !options.json {
        print_line(format_args!("plot: {}", project.relative(&plot)));
        if !missing.is_empty() {
            print_line(format_args!("not there: {}; `cargo lab compress` makes them", missing.join(", ")));
        }
    }
    Ok(())
}

impl Entry {
    fn prepared(name: &str, net: &Model, file: PathBuf) -> Result<Self> {
        Ok(Entry { name: name.to_owned(), network: Box::new(net.prepared()?), file })
    }

    /// The network in integers, in a file in `folder`.
    fn integers(name: &str, integers: IntegerNetwork, folder: &Path) -> Result<Self> {
        let file = folder.join(format!("{name}.safetensors"));
        integers.save(&file)?;
        Ok(Entry { name: format!("{name}, integers"), network: Box::new(integers), file })
    }

    /// A network that another engine computes.
    fn of_engine(
        project: &Project,
        python: &Path,
        engine: &str,
        model: &OnnxModel,
        folder: &Path,
        what: &str,
    ) -> Result<Self> {
        let file = folder.join(format!("{engine}{what}.onnx"));
        model.save(&file)?;
        let network = Box::new(Engine::start(project, python, engine, &file)?);
        Ok(Entry { name: format!("{engine}{what}"), network, file })
    }
}
