//! How many images a second a network trains and evaluates, on synthetic input, and how close each kernel comes to
//! what a core can do.

mod operators;

pub use operators::{OperatorReport, operators, peak_gflop_per_s};

use crate::kernels::Isa;
use crate::train_util::{Sgd, SgdConfig};
use crate::{Network, Result, ops};
use candle_core::{DType, Device, Tensor};
use candle_nn::Optimizer;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::time::Instant;

/// Steps before the clock counts.
const WARM_UP: usize = 3;

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BenchConfig {
    /// Images a step.
    pub batch_size: usize,
    /// Steps whose median counts, of training and of evaluation each.
    pub steps: usize,
}

impl Default for BenchConfig {
    /// 12 steps of 256 images.
    fn default() -> Self {
        BenchConfig { batch_size: 256, steps: 12 }
    }
}

/// Images a second: medians over the steps after the warm-up, and the fastest step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThroughputReport {
    /// Forward, backward and the optimizer's step.
    pub train_img_per_s: f64,
    /// The fastest training step.
    pub train_best_img_per_s: f64,
    /// Forward with running statistics.
    pub eval_img_per_s: f64,
    /// The fastest evaluation.
    pub eval_best_img_per_s: f64,
    /// Threads of the pool.
    pub threads: usize,
    /// The instruction set of the kernels.
    pub isa: &'static str,
    /// The most memory that this process has held, in MB; 0 where the system does not tell.
    pub peak_rss_mb: f64,
}

/// Trains and evaluates `net` on random 32 x 32 images with random labels. Its weights and statistics change.
///
/// # Errors
/// If a tensor operation fails.
pub fn throughput<N: Network>(net: &N, config: BenchConfig) -> Result<ThroughputReport> {
    let BenchConfig { batch_size, steps } = config;
    let (images, labels) = synthetic_batch(batch_size, net.device())?;
    let mut optimizer = Sgd::of(net, SgdConfig::default());
    let train = seconds(steps, || {
        let loss = ops::cross_entropy(&net.forward_t(&images, true)?, &labels)?;
        Ok(optimizer.backward_step(&loss)?)
    })?;
    let eval = seconds(steps, || Ok(net.forward_t(&images, false).map(drop)?))?;
    let rate = |seconds: f64| batch_size as f64 / seconds;
    Ok(ThroughputReport {
        train_img_per_s: rate(train[train.len() / 2]),
        train_best_img_per_s: rate(train[0]),
        eval_img_per_s: rate(eval[eval.len() / 2]),
        eval_best_img_per_s: rate(eval[0]),
        threads: rayon::current_num_threads(),
        isa: Isa::current()?.name(),
        peak_rss_mb: peak_rss_mb(),
    })
}

fn synthetic_batch(batch_size: usize, device: &Device) -> Result<(Tensor, Tensor)> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let images: Vec<f32> = (0..batch_size * 3 * 32 * 32).map(|_| rng.random_range(-2.0..2.0)).collect();
    let labels: Vec<u32> = (0..batch_size).map(|_| rng.random_range(0..10)).collect();
    let images = Tensor::from_vec(images, (batch_size, 3, 32, 32), device)?.to_dtype(DType::F32)?;
    Ok((images, Tensor::from_vec(labels, batch_size, device)?))
}

/// The duration of each of `steps` calls after the warm-up, shortest first.
fn seconds(steps: usize, mut work: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    let mut durations = Vec::with_capacity(steps.max(1));
    for step in 0..WARM_UP + steps.max(1) {
        let start = Instant::now();
        work()?;
        if step >= WARM_UP {
            durations.push(start.elapsed().as_secs_f64());
        }
    }
    durations.sort_by(f64::total_cmp);
    Ok(durations)
}

/// The kernel's high-water mark of this process's resident memory.
fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    kilobytes.and_then(|kb| kb.trim().parse::<f64>().ok()).map_or(0.0, |kb| kb / 1024.0)
}
