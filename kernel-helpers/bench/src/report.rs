//! The benchmark of ResNet-20.

use super::{BenchConfig, epoch_throughput, peak_rss_mb, throughput};
use base::Result;
use candle_core::Device;
use display::{MimeBundle, Show, shows_itself};
use nn::data::Data;
use nn::device::instruction_set;
use nn::graph::Shape;
use nn::models::{ResNetConfig, resnet_cifar};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How fast ResNet-20 is on the CPU, in images of `[3, 32, 32]` a second, f32.
///
/// ```
/// use kernel_helpers::bench::{BenchConfig, measure};
///
/// let report = measure(BenchConfig { batch_size: 2, steps: 1 }, None)?;
/// assert!(report.to_string().starts_with("ResNet-20, f32, batches of 2, "));
/// assert!(report.to_json().contains(r#""batch_size":2"#));
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchReport {
    /// Training in floating point on synthetic input: forward, backward and the optimizer's step.
    pub train_img_per_s: f64,
    /// Evaluation in floating point on synthetic input.
    pub eval_img_per_s: f64,
    /// Training with 4-bit weights.
    pub train_4bit_img_per_s: f64,
    /// Evaluation with 4-bit weights.
    pub eval_4bit_img_per_s: f64,
    /// An epoch of training on CIFAR-10, shuffling and augmentation included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch_img_per_s: Option<f64>,
    /// Images a step.
    pub batch_size: usize,
    /// Threads of the pool.
    pub threads: usize,
    /// The instruction set of the kernels.
    pub isa: String,
    /// The most memory that this process has held, in MB; 0 where the system does not tell.
    pub peak_rss_mb: f64,
}

/// Measures ResNet-20 in floating point and with 4-bit weights on synthetic input, and with `data` an epoch on them.
///
/// ```
/// use kernel_helpers::bench::{BenchConfig, measure};
/// use kernel_helpers::data::Cifar10;
///
/// let report = measure(BenchConfig { batch_size: 2, steps: 1 }, Some(&Cifar10::striped(4, 2)))?;
/// assert!(report.train_img_per_s > 0.0 && report.epoch_img_per_s.is_some());
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If a tensor operation fails.
pub fn measure(config: BenchConfig, data: Option<&Data>) -> Result<BenchReport> {
    let network =
        |n_bits| resnet_cifar(ResNetConfig { n_bits, ..Default::default() })?.build(0, &Device::Cpu);
    let image = Shape { channels: 3, size: Some([32, 32]) };
    let float = throughput(&network(None)?, image, config)?;
    let quantized = throughput(&network(Some(4))?, image, config)?;
    let epoch = |data| epoch_throughput(&network(None)?, data, config.batch_size);
    Ok(BenchReport {
        train_img_per_s: float.train_img_per_s,
        eval_img_per_s: float.eval_img_per_s,
        train_4bit_img_per_s: quantized.train_img_per_s,
        eval_4bit_img_per_s: quantized.eval_img_per_s,
        epoch_img_per_s: data.map(epoch).transpose()?,
        batch_size: config.batch_size,
        threads: rayon::current_num_threads(),
        isa: instruction_set()?.name().to_owned(),
        peak_rss_mb: peak_rss_mb().unwrap_or(0.0),
    })
}

impl BenchReport {
    /// The report as one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a report is plain data")
    }
}

impl Show for BenchReport {
    fn forms(&self) -> MimeBundle {
        MimeBundle::plain(self)
    }
}

shows_itself!(BenchReport);

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch_size, threads, isa, peak_rss_mb, .. } = self;
        writeln!(f, "ResNet-20, f32, batches of {batch_size}, {threads} threads, {isa}")?;
        writeln!(f, "{:<24}{:>10}{:>10}", "images a second", "float", "4 bits")?;
        let mut row = |name, float, bits| writeln!(f, "{name:<24}{float:>10.0}{bits:>10.0}");
        row("training step", self.train_img_per_s, self.train_4bit_img_per_s)?;
        row("evaluation", self.eval_img_per_s, self.eval_4bit_img_per_s)?;
        if let Some(epoch) = self.epoch_img_per_s {
            let share = 100.0 * epoch / self.train_img_per_s;
            writeln!(f, "{:<24}{epoch:>10.0}    {share:.0} % of the step's rate", "epoch")?;
        }
        write!(f, "most memory held: {peak_rss_mb:.0} MB")
    }
}
