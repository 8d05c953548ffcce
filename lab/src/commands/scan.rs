//! `cargo lab scan`: the homework's deterministic grid for a checkpoint.

use super::data;
use crate::project::Project;
use anyhow::Result;
use clap::Args;
use kernel_helpers::prelude::*;
use serde::Serialize;
use std::path::{Path, PathBuf};

const SPARSITIES: [f64; 5] = [0.2, 0.4, 0.6, 0.7, 0.8];
const BIT_WIDTHS: [u32; 5] = [6, 5, 4, 3, 2];

#[derive(Args)]
/// What `cargo lab scan` can be asked for.
pub struct Options {
    /// The checkpoint: safetensors or a PyTorch file; the one that the notebooks start from if not given.
    #[arg(long)]
    weights: Option<PathBuf>,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// One case of the grid and how the network fares in it.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    case: Case,
    accuracy: f64,
    loss: f64,
    sparsity: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(tag = "case", rename_all = "lowercase")]
enum Case {
    Float,
    Prune { scope: PruneScope, q: f64 },
    Quantize { mode: Mode, bits: u32 },
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Asymmetric,
    Symmetric,
}

/// Tests the checkpoint in every case of the grid, and prints a line for each as soon as it is known.
pub fn scan(project: &Project, options: &Options) -> Result<()> {
    data::ensure(project)?;
    let weights = options.weights.clone().map_or_else(pretrained_model, Ok)?;
    let data = Cifar10::load(Scale::from_env()?)?;
    let device = best_device()?;
    if !options.json {
        println!("{}", weights.display());
        data.note().iter().for_each(|note| println!("{note}"));
        println!("{:<26}{:>10}{:>10}{:>10}", "case", "accuracy", "loss", "sparsity");
    }
    for case in cases() {
        let (result, sparsity) = case.run(&weights, &data, &device)?;
        if options.json {
            let row = Row { case, accuracy: result.accuracy, loss: result.loss, sparsity, note: result.note };
            println!("{}", serde_json::to_string(&row)?);
        } else {
            let case = case.to_string();
            println!("{case:<26}{:>10.4}{:>10.4}{sparsity:>10.4}", result.accuracy, result.loss);
        }
    }
    Ok(())
}

/// The grid, in the homework's order.
fn cases() -> Vec<Case> {
    let prune = |scope| SPARSITIES.map(|q| Case::Prune { scope, q });
    let quantize = |mode| BIT_WIDTHS.map(|bits| Case::Quantize { mode, bits });
    let pruned = [PruneScope::Layer, PruneScope::Global].into_iter().flat_map(prune);
    let quantized = [Mode::Asymmetric, Mode::Symmetric].into_iter().flat_map(quantize);
    [Case::Float].into_iter().chain(pruned).chain(quantized).collect()
}

impl Case {
    /// Loads the weights afresh and tests them in this case; the result and the total sparsity.
    fn run(self, weights: &Path, data: &Cifar10, device: &Device) -> Result<(TestResult, f64)> {
        let (n_bits, symmetric) = match self {
            Case::Quantize { mode, bits } => (Some(bits), matches!(mode, Mode::Symmetric)),
            Case::Float | Case::Prune { .. } => (None, false),
        };
        let net = ResNetCifar::new(ResNetConfig { n_bits, symmetric, ..Default::default() }, device)?;
        net.load_weights(weights)?;
        match self {
            Case::Prune { scope, q } => scope.prune(&net, q)?,
            Case::Float | Case::Quantize { .. } => sparsity(&net)?,
        };
        Ok((test(&net, data)?, sparsity(&net)?.total()))
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Case::Float => write!(f, "float"),
            Case::Prune { scope: PruneScope::Layer, q } => write!(f, "pruned per layer, q = {q}"),
            Case::Prune { scope: PruneScope::Global, q } => write!(f, "pruned globally, q = {q}"),
            Case::Quantize { mode: Mode::Asymmetric, bits } => write!(f, "asymmetric, {bits} bits"),
            Case::Quantize { mode: Mode::Symmetric, bits } => write!(f, "symmetric, {bits} bits"),
        }
    }
}
