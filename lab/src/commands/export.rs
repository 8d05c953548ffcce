//! `cargo lab export`: a network in a file for its use here or in other engines.

use super::compress::{Run, trained};
use super::data;
use crate::project::Project;
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use kernel_helpers::display::print_line;
use kernel_helpers::homework::prelude::*;
use kernel_helpers::prelude::*;
use std::path::{Path, PathBuf};

#[derive(Args)]
/// What `cargo lab export` can be asked for.
pub struct Options {
    /// A run of `cargo lab compress`, such as `bits=2`, or a file with weights of a ResNet-20; the trained network if not given.
    #[arg(value_name = "RUN|WEIGHTS")]
    network: Option<String>,
    /// The form of the file.
    #[arg(long, value_enum, default_value_t)]
    form: Form,
    /// Where it goes; if not given, a name that tells what it is, in this folder.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The form of an exported network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// ONNX in floating point.
    #[default]
    Onnx,
    /// ONNX with QuantizeLinear and DequantizeLinear: 8-bit weights and activations.
    OnnxIntegers,
    /// The same with weights of at most four bits in half a byte; for engines that know version 21 of the operators.
    OnnxFourBits,
    /// This project's integer network, each weight in its bits; `IntegerNetwork::load` reads it.
    Integers,
}

/// Writes the file, and says how large it is and how well the network does.
pub fn export(project: &Project, options: &Options) -> Result<()> {
    let (name, net) = options.network()?;
    let output = options.output.clone().unwrap_or_else(|| PathBuf::from(options.form.file_name(&name)));
    let test = match options.form {
        Form::Onnx => {
            OnnxModel::of(&net)?.save(&output)?;
            None
        }
        form => {
            data::ensure(project)?;
            let data = cifar10(Scale::from_env()?)?;
            let integers = IntegerNetwork::quantize(&net, &data, Calibration::default())?;
            match form {
                Form::Integers => integers.save(&output)?,
                _ => {
                    let options = OnnxOptions { four_bits: form == Form::OnnxFourBits };
                    OnnxModel::of_integers(&integers, options).save(&output)?;
                }
            }
            Some(test(&integers, &data)?)
        }
    };
    let size = std::fs::metadata(&output)?.len();
    print_line(format_args!("{}: {size} bytes", output.display()));
    if let Some(test) = test {
        print_line(format_args!("as integers: {test}"));
    }
    Ok(())
}

impl Options {
    /// The network with its name.
    fn network(&self) -> Result<(String, Model)> {
        let Some(name) = &self.network else { return Ok(("resnet20".to_owned(), trained()?)) };
        let path = Path::new(name);
        if path.is_file() {
            let graph = resnet_cifar(ResNetConfig::default())?.fitted_to(&load_state_dict(path)?)?;
            let net = graph.build(0, &Device::Cpu)?;
            net.load_weights(path)?;
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            return Ok((stem.into_owned(), net));
        }
        let run: Run = match name.parse() {
            Ok(run) => run,
            Err(error) if name.contains(['/', '.']) => bail!("{name}: no such file; {error}"),
            Err(error) => return Err(error),
        };
        let weights = run.weights(&output_dir(Scale::from_env()?, 0)?);
        if !weights.is_file() {
            bail!(
                "{}: expected the weights of {run}, found no file: run `cargo lab compress {run}`",
                weights.display()
            );
        }
        Ok((format!("resnet20_{}", run.in_file_names()), run.load(&weights)?))
    }
}

impl Form {
    fn file_name(self, network: &str) -> String {
        match self {
            Form::Onnx => format!("{network}.onnx"),
            Form::OnnxIntegers => format!("{network}.integers.onnx"),
            Form::OnnxFourBits => format!("{network}.four-bits.onnx"),
            Form::Integers => format!("{network}.integers.safetensors"),
        }
    }
}
