//! How many images a second a network trains and evaluates, on synthetic input, and how close each kernel comes to
//! what a core can do.

mod networks;
mod operators;
mod report;

pub use networks::{NETWORKS, NetworkReport, measure_network, network};
pub use operators::{OperatorReport, operators, peak_gflop_per_s};
pub use report::{BenchReport, measure};

use base::Result;
use candle_core::{DType, Device, Tensor};
use nn::data::Data;
use nn::graph::Shape;
use nn::optim::{Optimizer, Sgd, SgdConfig};
use nn::{Network, ops};
use notebook::stop;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runs::{TrainConfig, Trainer};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Steps before the clock counts.
const WARM_UP: usize = 3;

/// What to measure.
///
/// ```
/// use kernel_helpers::bench::BenchConfig;
///
/// let short = BenchConfig { steps: 3, ..Default::default() };
/// assert_eq!(short.batch_size, 256);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BenchConfig {
    /// Images a step.
    pub batch_size: usize,
    /// Steps whose median counts, of training and of evaluation each.
    pub steps: usize,
}

impl Default for BenchConfig {
    /// 8 steps of 256 images.
    fn default() -> Self {
        BenchConfig { batch_size: 256, steps: 8 }
    }
}

/// Images a second on synthetic input: medians over the steps after the warm-up.
///
/// ```
/// use kernel_helpers::bench::{BenchConfig, ThroughputReport, measure_network, network};
///
/// let config = BenchConfig { batch_size: 4, steps: 1 };
/// let ThroughputReport { train_img_per_s, eval_img_per_s } = measure_network(network("lenet")?, config)?.throughput;
/// assert!(train_img_per_s > 0.0 && eval_img_per_s > 0.0);
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThroughputReport {
    /// Forward, backward and the optimizer's step.
    pub train_img_per_s: f64,
    /// Forward with running statistics.
    pub eval_img_per_s: f64,
}

/// Trains and evaluates `net`, which has 10 classes, on random images of this shape with random labels. Its weights and
/// statistics change.
///
/// ```
/// use kernel_helpers::bench::{BenchConfig, throughput};
/// use kernel_helpers::prelude::*;
///
/// let graph = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?;
/// let image = graph.input_shape();
/// let net = graph.build(0, &Device::Cpu)?;
/// let report = throughput(&net, image, BenchConfig { batch_size: 4, steps: 1 })?;
/// assert!(report.train_img_per_s > 0.0);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If a tensor operation fails, or the notebook's stop button is pressed.
pub fn throughput<N: Network>(net: &N, image: Shape, config: BenchConfig) -> Result<ThroughputReport> {
    let BenchConfig { batch_size, steps } = config;
    let (images, labels) = synthetic_batch(image, batch_size, net.device())?;
    let mut optimizer = Sgd::of(net, SgdConfig::default());
    let train = median_seconds(steps, || {
        let loss = ops::cross_entropy(&net.forward_t(&images, true)?, &labels)?;
        optimizer.backward_step(&loss)
    })?;
    let eval = median_seconds(steps, || Ok(net.forward_t(&images, false).map(drop)?))?;
    let rate = |seconds: f64| batch_size as f64 / seconds;
    Ok(ThroughputReport { train_img_per_s: rate(train), eval_img_per_s: rate(eval) })
}

/// Images a second of one training epoch on all of `data.train`, shuffling and augmentation included; the test after
/// it is not. The network's weights and statistics change.
///
/// ```
/// use kernel_helpers::bench::epoch_throughput;
/// use kernel_helpers::prelude::*;
///
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// assert!(epoch_throughput(&net, &Cifar10::striped(64, 32), 16)? > 0.0);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If a tensor operation fails.
pub fn epoch_throughput<N: Network>(net: &N, data: &Data, batch_size: usize) -> Result<f64> {
    let config =
        TrainConfig { epochs: 1, batch_size, log_every_n: 0, log_every_epochs: 0, ..Default::default() };
    let mut trainer = Trainer::new(net, data, &config)?;
    trainer.next_epoch();
    let start = Instant::now();
    trainer.run_epoch(net, false)?;
    Ok(data.train.len() as f64 / start.elapsed().as_secs_f64())
}

fn synthetic_batch(image: Shape, batch_size: usize, device: &Device) -> Result<(Tensor, Tensor)> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let images: Vec<f32> = (0..batch_size * image.values()).map(|_| rng.random_range(-2.0..2.0)).collect();
    let labels: Vec<u32> = (0..batch_size).map(|_| rng.random_range(0..10)).collect();
    let images = Tensor::from_vec(images, image.of_batch(batch_size), device)?.to_dtype(DType::F32)?;
    Ok((images, Tensor::from_vec(labels, batch_size, device)?))
}

/// The median duration of `steps` calls after the warm-up.
fn median_seconds(steps: usize, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    for _ in 0..WARM_UP {
        work()?;
    }
    let mut durations = Vec::with_capacity(steps.max(1));
    for _ in 0..steps.max(1) {
        stop::check(|| format!("{} steps were measured", durations.len()))?;
        let start = Instant::now();
        work()?;
        durations.push(start.elapsed().as_secs_f64());
    }
    durations.sort_by(f64::total_cmp);
    Ok(durations[durations.len() / 2])
}

/// The most memory that this process has held so far, in MB; `None` where the system does not tell.
fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    Some(kilobytes?.trim().parse::<f64>().ok()? / 1024.0)
}
