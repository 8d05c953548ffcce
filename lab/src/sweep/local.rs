//! Runs as processes of this machine.

use super::engine::Engine;
use super::{Row, Sweep, environment, folder};
use crate::project::Project;
use crate::stop::Stop;
use anyhow::{Context, Result};
use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// This machine.
pub struct Local {
    root: PathBuf,
    logs: PathBuf,
    environment: Vec<(String, String)>,
    at_once: usize,
    waiting: VecDeque<Row>,
    running: Vec<(Child, Stop)>,
}

impl Local {
    pub fn new(project: &Project, sweep: &Sweep) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Local {
            root: project.root().to_owned(),
            logs: folder(project, sweep)?,
            environment: environment(sweep),
            at_once: sweep.threads.map_or(1, |threads| (cores / threads).max(1)),
            waiting: VecDeque::new(),
            running: Vec::new(),
        })
    }

    fn spawn(&self, row: &Row) -> Result<(Child, Stop)> {
        let program = row.program()?;
        let log = log(&self.logs, row);
        let output = File::create(&log).with_context(|| format!("could not write {}", log.display()))?;
        let child = Command::new(&program[0])
            .args(&program[1..])
            .envs(self.environment.iter().cloned())
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("`{}` did not start", program[0]))?;
        let stop = Stop::of_group(&child)?;
        Ok((child, stop))
    }
}

impl Engine for Local {
    fn resume(&mut self) -> Result<bool> {
        Ok(false)
    }

    fn start(&mut self, rows: &[&Row]) -> Result<()> {
        self.waiting = rows.iter().map(|row| (*row).clone()).collect();
        Ok(())
    }

    fn is_busy(&mut self) -> Result<bool> {
        let mut going = Vec::new();
        for (mut child, stop) in self.running.drain(..) {
            match child.try_wait().context("could not look after a run")? {
                None => going.push((child, stop)),
                Some(_) => stop.end_group(&child),
            }
        }
        self.running = going;
        while self.running.len() < self.at_once {
            let Some(row) = self.waiting.pop_front() else { break };
            self.running.push(self.spawn(&row)?);
        }
        Ok(!self.running.is_empty())
    }

    fn farewell(&self) -> Option<String> {
        None
    }
}

/// Where all goes that a run says.
pub fn log(folder: &Path, row: &Row) -> PathBuf {
    folder.join(format!("{}.log", row.file_name()))
}
