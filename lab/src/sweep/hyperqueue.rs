//! Runs as tasks of HyperQueue, which its workers take where they are; through its Python package.

use super::engine::Engine;
use super::{Row, Sweep, environment, folder, local, threads};
use crate::project::Project;
use crate::python::Environment;
use anyhow::{Context, Result, bail, ensure};
use kernel_helpers::files::{remove, write_whole};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Stdio};

/// A server with its workers.
pub struct HyperQueue {
    project: Project,
    name: String,
    folder: PathBuf,
    environment: Vec<(String, String)>,
    threads: usize,
    server: Option<PathBuf>,
    /// The Python that waits for the job.
    waiting: Option<Child>,
}

impl HyperQueue {
    pub fn new(project: &Project, sweep: &Sweep, server: Option<PathBuf>) -> Result<Self> {
        let python = Environment::hyperqueue(project);
        if !python.is_current() {
            eprintln!("Installing HyperQueue's Python package into .lab/hyperqueue");
            python.install()?;
        }
        Ok(HyperQueue {
            project: project.clone(),
            name: sweep.name.clone(),
            folder: folder(project, sweep)?,
            environment: environment(sweep),
            threads: threads(sweep, "HyperQueue")?,
            server,
            waiting: None,
        })
    }

    /// The number of the job that the runs were last handed over with.
    fn job(&self) -> PathBuf {
        self.folder.join("hyperqueue-job")
    }

    /// Asks for a job, and returns what HyperQueue says to it first: its number.
    fn ask(&mut self, request: &Value) -> Result<Option<u64>> {
        let mut child = Environment::hyperqueue(&self.project)
            .command(&self.project)
            .arg(self.project.python_scripts().join("hyperqueue_job.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("Python did not start")?;
        let mut input = child.stdin.take().expect("a piped standard input");
        // If it has ended by now, it has said why.
        let _ = input.write_all(request.to_string().as_bytes());
        drop(input);
        let mut answer = String::new();
        BufReader::new(child.stdout.as_mut().expect("a piped standard output")).read_line(&mut answer)?;
        let number = answer.trim().parse().ok();
        if number.is_some() {
            self.waiting = Some(child);
            return Ok(number);
        }
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "HyperQueue: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(None)
    }
}

impl Engine for HyperQueue {
    fn resume(&mut self) -> Result<bool> {
        let Ok(job) = std::fs::read_to_string(self.job()) else { return Ok(false) };
        let job: u64 = job.trim().parse().context("the number of HyperQueue's job is none")?;
        Ok(self.ask(&json!({ "server": self.server, "wait_for": job }))?.is_some())
    }

    fn start(&mut self, rows: &[&Row]) -> Result<()> {
        let tasks = rows.iter().map(|row| {
            Ok(json!({ "name": row.name, "command": row.program()?, "log": local::log(&self.folder, row) }))
        });
        let tasks = tasks.collect::<Result<Vec<_>>>()?;
        let environment: serde_json::Map<_, _> =
            self.environment.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let job = self.ask(&json!({
            "server": self.server,
            "name": self.name,
            "folder": self.project.root(),
            "environment": environment,
            "cpus": self.threads,
            "tasks": tasks,
        }))?;
        let Some(job) = job else { bail!("HyperQueue gave the job no number") };
        Ok(write_whole(self.job(), job.to_string().as_bytes())?)
    }

    fn is_busy(&mut self) -> Result<bool> {
        let Some(child) = &mut self.waiting else { return Ok(false) };
        let Some(status) = child.try_wait().context("could not look after Python")? else { return Ok(true) };
        let mut said = String::new();
        child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut said)).transpose()?;
        self.waiting = None;
        ensure!(status.success(), "HyperQueue: {}", said.trim());
        remove(self.job())?;
        Ok(false)
    }

    fn farewell(&self) -> Option<String> {
        let job = std::fs::read_to_string(self.job()).ok()?;
        Some(format!("`hq job cancel {}` ends it", job.trim()))
    }
}
