//! What comes of the turns: medians, ratios to PyTorch, and the share of what the processor can do.

use super::turns::Side;
use crate::commands::bench_kernel::median;
use kernel_helpers::bench::{NetworkReport, ThroughputReport};
use kernel_helpers::table::Table;
use serde::Serialize;
use std::fmt;

/// All measurements of a network.
pub struct Measured {
    /// One of [`kernel_helpers::bench::NETWORKS`].
    pub name: String,
    /// Multiplications for an image in evaluation.
    pub multiplications: usize,
    reports: [Vec<NetworkReport>; Side::ALL.len()],
}

impl Measured {
    /// Nothing measured so far.
    pub fn new(name: &str, multiplications: usize) -> Self {
        Self { name: name.to_owned(), multiplications, reports: Default::default() }
    }

    /// Adds a turn's.
    pub fn add(&mut self, side: Side, report: NetworkReport) {
        self.reports[side as usize].push(report);
    }

    /// The medians over the turns; `None` without one.
    fn medians(&self, side: Side) -> Option<NetworkReport> {
        let reports = &self.reports[side as usize];
        let of = |figure: fn(&NetworkReport) -> Option<f64>| median(reports.iter().map(figure));
        let throughput = ThroughputReport {
            train_img_per_s: of(|report| Some(report.throughput.train_img_per_s))?,
            eval_img_per_s: of(|report| Some(report.throughput.eval_img_per_s))?,
        };
        Some(NetworkReport { throughput, memory_mb: of(|report| report.memory_mb) })
    }
}

/// How it was measured.
#[derive(Serialize)]
pub struct Settings {
    /// How often each measurement was made.
    pub turns: usize,
    /// Images a step.
    pub batch_size: usize,
    /// Steps of each measurement.
    pub steps: usize,
    /// Threads of both sides.
    pub threads: usize,
    /// The instruction set of our kernels.
    pub isa: &'static str,
    /// What one core can do, in multiplications and additions.
    pub peak_gflop_per_s: f64,
}

/// All networks, as they are printed.
#[derive(Serialize)]
pub struct Comparison {
    #[serde(flatten)]
    settings: Settings,
    networks: Vec<Compared>,
}

/// A network's medians.
#[derive(Serialize)]
struct Compared {
    network: String,
    multiplications: usize,
    /// Multiplications and additions in our training.
    gflop_per_s: f64,
    /// The share of what all threads together can do.
    share_of_peak: f64,
    lab: NetworkReport,
    #[serde(flatten)]
    torch: Option<Torch>,
}

/// PyTorch's medians, and the ratios of ours to the better of its memory layouts, for each figure by itself.
#[derive(Serialize)]
struct Torch {
    torch_contiguous: NetworkReport,
    torch_channels_last: NetworkReport,
    train_ratio: f64,
    eval_ratio: f64,
    memory_ratio: Option<f64>,
}

impl Comparison {
    /// The medians and ratios of what was measured.
    pub fn new(settings: Settings, networks: &[Measured]) -> Self {
        let networks = networks.iter().filter_map(|network| Compared::new(&settings, network)).collect();
        Self { settings, networks }
    }
}

impl Compared {
    fn new(settings: &Settings, network: &Measured) -> Option<Self> {
        let lab = network.medians(Side::Lab)?;
        // The gradients by the input and by the weight take as many as the forward pass each.
        let operations = 3.0 * 2.0 * network.multiplications as f64;
        let gflop_per_s = operations * lab.throughput.train_img_per_s / 1e9;
        let layouts = network.medians(Side::Contiguous).zip(network.medians(Side::ChannelsLast));
        Some(Self {
            network: network.name.clone(),
            multiplications: network.multiplications,
            gflop_per_s,
            share_of_peak: gflop_per_s / (settings.threads as f64 * settings.peak_gflop_per_s),
            lab,
            torch: layouts.map(|(contiguous, channels_last)| Torch::new(&lab, contiguous, channels_last)),
        })
    }
}

impl Torch {
    fn new(lab: &NetworkReport, torch_contiguous: NetworkReport, torch_channels_last: NetworkReport) -> Self {
        let better = better(&torch_contiguous, &torch_channels_last);
        Self {
            torch_contiguous,
            torch_channels_last,
            train_ratio: lab.throughput.train_img_per_s / better.throughput.train_img_per_s,
            eval_ratio: lab.throughput.eval_img_per_s / better.throughput.eval_img_per_s,
            memory_ratio: lab.memory_mb.zip(better.memory_mb).map(|(ours, theirs)| ours / theirs),
        }
    }
}

/// Each figure from the report in which it is better.
fn better(one: &NetworkReport, other: &NetworkReport) -> NetworkReport {
    let (a, b) = (one.throughput, other.throughput);
    NetworkReport {
        throughput: ThroughputReport {
            train_img_per_s: a.train_img_per_s.max(b.train_img_per_s),
            eval_img_per_s: a.eval_img_per_s.max(b.eval_img_per_s),
        },
        memory_mb: one.memory_mb.zip(other.memory_mb).map(|(a, b)| a.min(b)),
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { turns, batch_size, threads, isa, peak_gflop_per_s, .. } = self.settings;
        let plural = if turns == 1 { "" } else { "s" };
        let torch = self.networks.iter().any(|network| network.torch.is_some());
        let columns = ["training", "evaluation", "memory"].into_iter().flat_map(|figure| {
            [Some(figure), torch.then_some("PyTorch"), torch.then_some("ratio")].into_iter().flatten()
        });
        let rates = Table::new(["network"].into_iter().chain(columns).collect::<Vec<_>>());
        let rates = rates.rows(self.networks.iter().map(Compared::rates));
        let rates = rates.caption(format!(
            "Images a second, f32, batches of {batch_size}, {threads} threads, {isa}; medians of {turns} turn{plural}"
        ));
        let rates = match torch {
            true => rates.note("PyTorch in the better of its memory layouts, for each figure by itself"),
            false => rates,
        };
        writeln!(f, "{rates}")?;
        let arithmetic =
            Table::new(["network", "multiplications for an image", "in training", "of the peak"])
                .caption("Arithmetic, by the definition of the layers")
                .rows(self.networks.iter().map(Compared::arithmetic))
                .note(format!(
                    "one core's peak is {peak_gflop_per_s:.0} GFLOP/s, measured in registers alone"
                ));
        write!(f, "{arithmetic}")
    }
}

impl Compared {
    fn rates(&self) -> Vec<String> {
        let torch = self.torch.as_ref();
        let better = torch.map(|torch| better(&torch.torch_contiguous, &torch.torch_channels_last));
        let missing = || "–".to_owned();
        let ratio = |ratio: Option<f64>| ratio.map_or_else(missing, |ratio| format!("{ratio:.2}"));
        let training = |report: NetworkReport| format!("{:.0}", report.throughput.train_img_per_s);
        let evaluation = |report: NetworkReport| format!("{:.0}", report.throughput.eval_img_per_s);
        let memory =
            |report: NetworkReport| report.memory_mb.map_or_else(missing, |mb| format!("{mb:.0} MB"));
        let figures = [
            (training(self.lab), better.map(training), torch.map(|torch| ratio(Some(torch.train_ratio)))),
            (evaluation(self.lab), better.map(evaluation), torch.map(|torch| ratio(Some(torch.eval_ratio)))),
            (memory(self.lab), better.map(memory), torch.map(|torch| ratio(torch.memory_ratio))),
        ];
        let cells = figures.into_iter().flat_map(|(ours, theirs, ratio)| [Some(ours), theirs, ratio]);
        [self.network.clone()].into_iter().chain(cells.flatten()).collect()
    }

    fn arithmetic(&self) -> [String; 4] {
        [
            self.network.clone(),
            format!("{:.1} million", self.multiplications as f64 / 1e6),
            format!("{:.1} GFLOP/s", self.gflop_per_s),
            format!("{:.1} %", 100.0 * self.share_of_peak),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(train_img_per_s: f64, eval_img_per_s: f64, memory_mb: Option<f64>) -> NetworkReport {
        NetworkReport { throughput: ThroughputReport { train_img_per_s, eval_img_per_s }, memory_mb }
    }

    fn settings() -> Settings {
        Settings { turns: 3, batch_size: 256, steps: 8, threads: 2, isa: "portable", peak_gflop_per_s: 50.0 }
    }

    #[test]
    fn ratios_are_those_of_the_medians_to_the_better_layout() {
        let mut network = Measured::new("vgg", 1_000_000);
        for (train, memory) in [(5000.0, 90.0), (9000.0, 100.0), (1000.0, 150.0)] {
            network.add(Side::Lab, report(train, 2.0 * train, Some(memory)));
        }
        for train in [1000.0, 2000.0] {
            network.add(Side::Contiguous, report(train, 7500.0, Some(400.0)));
        }
        network.add(Side::ChannelsLast, report(2500.0, 5000.0, Some(500.0)));
        let comparison = Comparison::new(settings(), &[network]);
        let compared = &comparison.networks[0];
        let torch = compared.torch.as_ref().unwrap();
        assert_eq!(compared.lab, report(5000.0, 10_000.0, Some(100.0)));
        assert_eq!(torch.torch_contiguous, report(1500.0, 7500.0, Some(400.0)));
        assert_eq!((torch.train_ratio, torch.eval_ratio), (2.0, 10_000.0 / 7500.0));
        assert_eq!(torch.memory_ratio, Some(0.25));
        // 6 million operations, 5000 times a second, of 2 times 50 billion.
        assert!((compared.gflop_per_s - 30.0).abs() < 1e-9 && (compared.share_of_peak - 0.3).abs() < 1e-9);
        let table = comparison.to_string();
        let row = table.lines().find(|line| line.starts_with("vgg")).unwrap();
        let cells: Vec<&str> = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        let expected = ["vgg", "5000", "2500", "2.00", "10000", "7500", "1.33", "100 MB", "400 MB", "0.25"];
        assert_eq!(cells, expected);
    }

    #[test]
    fn without_pytorch_there_are_no_ratios() {
        let mut network = Measured::new("mlp", 1_000_000);
        network.add(Side::Lab, report(100.0, 200.0, None));
        let comparison = Comparison::new(settings(), &[network]);
        let json = serde_json::to_value(&comparison).unwrap();
        let keys: Vec<&String> = json["networks"][0].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["gflop_per_s", "lab", "multiplications", "network", "share_of_peak"]);
        assert!(!comparison.to_string().contains("PyTorch"));
    }
}
