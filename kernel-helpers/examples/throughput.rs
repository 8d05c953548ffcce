//! Prints how many images a second ResNet-20 trains and evaluates, and how close each kernel comes to one core's peak:
//! `cargo run -p kernel-helpers --example throughput`.

use candle_core::Device;
use kernel_helpers::bench::{BenchConfig, operators, peak_gflop_per_s, throughput};
use kernel_helpers::candle_core;
use kernel_helpers::resnet20::{ResNetCifar, ResNetConfig};

fn main() -> kernel_helpers::Result<()> {
    for n_bits in [None, Some(4)] {
        let net = ResNetCifar::new(ResNetConfig { n_bits, ..Default::default() }, &Device::Cpu)?;
        println!("{n_bits:?} bits: {:#?}", throughput(&net, BenchConfig::default())?);
    }
    println!("one core's peak: {:.0} GFLOP/s", peak_gflop_per_s()?);
    for report in operators()? {
        let share = 100.0 * report.share_of_peak;
        println!(
            "{:34} {:16} {:6.0} GFLOP/s {share:4.0} %",
            report.shape, report.operator, report.gflop_per_s
        );
    }
    Ok(())
}
