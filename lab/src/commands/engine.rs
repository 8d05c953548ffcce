//! Another engine, in a process of its own, as a network that can be asked.

use crate::project::Project;
use anyhow::{Context, Result};
use kernel_helpers::Error;
use kernel_helpers::prelude::*;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// The engines that `engine.py` knows.
pub const ENGINES: [&str; 2] = ["onnxruntime", "openvino"];

/// An engine with a network in ONNX's form.
pub struct Engine {
    name: String,
    process: Mutex<Process>,
}

struct Process {
    child: Child,
    requests: ChildStdin,
    answers: ChildStdout,
}

impl Engine {
    /// Starts the engine with as many threads as compute here.
    pub fn start(project: &Project, python: &Path, name: &str, model: &Path) -> Result<Self> {
        let mut child = Command::new(python)
            .arg(project.python_scripts().join("engine.py"))
            .args([name, &rayon::current_num_threads().to_string()])
            .arg(model)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("could not start {}", python.display()))?;
        let requests = child.stdin.take().context("no pipe to the engine")?;
        let answers = child.stdout.take().context("no pipe from the engine")?;
        Ok(Self { name: name.to_owned(), process: Mutex::new(Process { child, requests, answers }) })
    }
}

impl Predictor for Engine {
    fn logits(&self, images: &Tensor) -> kernel_helpers::Result<Tensor> {
        Ok(self.ask(images)?.0)
    }

    /// Without the way through the pipe.
    fn seconds(&self, images: &Tensor) -> kernel_helpers::Result<f64> {
        Ok(self.ask(images)?.1)
    }
}

impl Engine {
    /// The logits, and the seconds that they took.
    fn ask(&self, images: &Tensor) -> kernel_helpers::Result<(Tensor, f64)> {
        let shape = images.dims4()?;
        let values: Vec<f32> = images.flatten_all()?.to_vec1()?;
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = process.ask(shape, &values);
        let ([count, classes], seconds, logits) = answer.map_err(|error| {
            Error::argument(&self.name, "an answer, see what its process has written above", error)
        })?;
        Ok((Tensor::from_vec(logits, (count, classes), &Device::Cpu)?, seconds))
    }
}

impl Process {
    fn ask(
        &mut self,
        (count, channels, height, width): (usize, usize, usize, usize),
        values: &[f32],
    ) -> io::Result<([usize; 2], f64, Vec<f32>)> {
        let head = [count, channels, height, width].map(|extent| (extent as u32).to_le_bytes());
        let request: Vec<u8> =
            head.into_iter().flatten().chain(values.iter().flat_map(|value| value.to_le_bytes())).collect();
        self.requests.write_all(&request)?;
        self.requests.flush()?;
        let shape = [u32::from_le_bytes(self.read()?), u32::from_le_bytes(self.read()?)];
        let shape = shape.map(|extent| extent as usize);
        let seconds = f64::from_le_bytes(self.read()?);
        let mut logits = vec![0; 4 * shape[0] * shape[1]];
        self.answers.read_exact(&mut logits)?;
        let (logits, _) = logits.as_chunks::<4>();
        Ok((shape, seconds, logits.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()))
    }

    fn read<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.answers.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner);
        // It ends with its input too, but only after it has answered.
        drop(process.child.kill());
        drop(process.child.wait());
    }
}
