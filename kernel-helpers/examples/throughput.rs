//! Prints how many images a second ResNet-20 trains and evaluates: `cargo run -p kernel-helpers --example throughput`.

use candle_core::Device;
use kernel_helpers::bench::{BenchConfig, throughput};
use kernel_helpers::candle_core;
use kernel_helpers::resnet20::{ResNetCifar, ResNetConfig};

fn main() -> kernel_helpers::Result<()> {
    let net = ResNetCifar::new(ResNetConfig::default(), &Device::Cpu)?;
    println!("{:#?}", throughput(&net, BenchConfig::default())?);
    Ok(())
}
