//! Networks of several kinds, each measured by itself.

use super::{BenchConfig, ThroughputReport, peak_rss_mb, throughput};
use base::{Error, Result};
use candle_core::Device;
use nn::graph::Graph;
use nn::models::{ResNetConfig, lenet, mlp, mobilenet, resnet_cifar, vgg, wide_resnet};
use serde::{Deserialize, Serialize};

/// The names of the networks that [`network`] knows, in the order in which they are reported.
pub const NETWORKS: [&str; 7] = ["resnet20", "resnet56", "wrn16_4", "vgg", "mobilenet", "lenet", "mlp"];

/// How fast a network is on the CPU, and how much memory it takes.
///
/// ```
/// use kernel_helpers::bench::{BenchConfig, NetworkReport, measure_network, network};
///
/// let report: NetworkReport = measure_network(network("mlp")?, BenchConfig { batch_size: 4, steps: 1 })?;
/// assert!(report.throughput.eval_img_per_s > 0.0);
/// assert!(report.memory_mb.is_none_or(|mb| mb >= 0.0));
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkReport {
    /// Images a second on synthetic input.
    #[serde(flatten)]
    pub throughput: ThroughputReport,
    /// The most memory that the measurement took beyond what the process held before it, in MB; `None` where the system
    /// does not tell.
    pub memory_mb: Option<f64>,
}

/// The network of one of [`NETWORKS`], with 10 classes.
///
/// ```
/// use kernel_helpers::bench::{NETWORKS, network};
///
/// assert_eq!(network("resnet20")?.parameters(), 272_474);
/// assert!(NETWORKS.iter().all(|name| network(name).is_ok()));
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If there is none of this name.
pub fn network(name: &str) -> Result<Graph> {
    match name {
        "resnet20" => resnet_cifar(ResNetConfig::default()),
        "resnet56" => resnet_cifar(ResNetConfig { num_layers: 56, ..Default::default() }),
        "wrn16_4" => wide_resnet(16, 4),
        "vgg" => vgg(10),
        "mobilenet" => mobilenet(10),
        "lenet" => lenet(10),
        "mlp" => mlp(10),
        _ => Err(Error::argument("network", format!("one of {}", NETWORKS.join(", ")), name)),
    }
}

/// Trains and evaluates a network on the CPU. The process should have done little before, as it is the most memory that
/// it ever held that counts.
///
/// ```
/// use kernel_helpers::bench::{BenchConfig, measure_network};
/// use kernel_helpers::prelude::*;
///
/// let graph = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?;
/// let report = measure_network(graph, BenchConfig { batch_size: 4, steps: 1 })?;
/// assert!(report.throughput.train_img_per_s > 0.0);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If a tensor operation fails, or the notebook's stop button is pressed.
pub fn measure_network(graph: Graph, config: BenchConfig) -> Result<NetworkReport> {
    let before = peak_rss_mb();
    let image = graph.input_shape();
    let throughput = throughput(&graph.build(0, &Device::Cpu)?, image, config)?;
    let memory_mb = peak_rss_mb().zip(before).map(|(after, before)| after - before);
    Ok(NetworkReport { throughput, memory_mb })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counted in PyTorch, in the networks of `torch_bench.py`.
    #[test]
    fn the_networks_are_those_of_the_comparison() {
        let counted = NETWORKS.map(|name| {
            let graph = network(name).unwrap();
            (graph.parameters(), graph.multiplications())
        });
        let expected = [
            (272_474, 40_813_184),
            (855_770, 125_747_840),
            (2_749_786, 392_612_352),
            (1_148_874, 152_766_976),
            (543_050, 22_930_432),
            (61_706, 416_520),
            (535_818, 535_040),
        ];
        assert_eq!(counted, expected);
    }

    #[test]
    fn an_unknown_network_is_refused() {
        let message = network("resnet21").unwrap_err().to_string();
        assert!(message.contains("resnet20, resnet56, wrn16_4"), "{message}");
    }

    #[test]
    fn a_measurement_has_rates_and_memory() {
        let config = BenchConfig { batch_size: 4, steps: 1 };
        let report = measure_network(network("lenet").unwrap(), config).unwrap();
        let ThroughputReport { train_img_per_s, eval_img_per_s } = report.throughput;
        assert!(train_img_per_s > 0.0 && eval_img_per_s > 0.0, "{report:?}");
        assert_eq!(report.memory_mb.is_some(), cfg!(target_os = "linux"));
    }
}
