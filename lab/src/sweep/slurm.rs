//! Runs as an array of Slurm's jobs.

use super::engine::Engine;
use super::{Row, Sweep, environment, folder, local, threads};
use crate::project::Project;
use anyhow::{Context, Result, ensure};
use kernel_helpers::files::{remove, write_whole};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How often the controller is asked, which others ask too.
const INTERVAL: Duration = Duration::from_secs(5);

/// A controller with its nodes.
pub struct Slurm {
    root: PathBuf,
    name: String,
    folder: PathBuf,
    environment: Vec<(String, String)>,
    threads: usize,
    options: Vec<String>,
    job: Option<String>,
    asked: Option<Instant>,
}

impl Slurm {
    pub fn new(project: &Project, sweep: &Sweep) -> Result<Self> {
        Ok(Slurm {
            root: project.root().to_owned(),
            name: sweep.name.clone(),
            folder: folder(project, sweep)?,
            environment: environment(sweep),
            threads: threads(sweep, "Slurm")?,
            options: sweep.slurm.clone(),
            job: None,
            asked: None,
        })
    }

    fn noted(&self) -> PathBuf {
        self.folder.join("slurm-job")
    }

    /// The script of the array: each of its jobs takes the run at its place.
    fn script(&self, rows: &[&Row]) -> Result<String> {
        let mut script = "#!/bin/bash\n".to_owned();
        let mut option = |text: &str| writeln!(script, "#SBATCH {text}");
        option(&format!("--job-name={}", self.name))?;
        option(&format!("--cpus-per-task={}", self.threads))?;
        option(&format!("--array=0-{}", rows.len() - 1))?;
        // A run that is started again goes on where it was.
        option("--requeue")?;
        // What a run says goes to its own log.
        option("--output=/dev/null")?;
        self.options.iter().try_for_each(|text| option(text))?;
        for (name, value) in &self.environment {
            writeln!(script, "export {name}={}", quoted(value))?;
        }
        writeln!(script, "cd {} || exit", quoted(path(&self.root)?))?;
        writeln!(script, "case $SLURM_ARRAY_TASK_ID in")?;
        for (number, row) in rows.iter().enumerate() {
            let words: Vec<String> = row.program()?.iter().map(|word| quoted(word)).collect();
            let log = local::log(&self.folder, row);
            writeln!(script, "{number}) exec {} >{} 2>&1 ;;", words.join(" "), quoted(path(&log)?))?;
        }
        writeln!(script, "esac")?;
        Ok(script)
    }

    fn is_known(&self, job: &str) -> Result<bool> {
        let output = Command::new("squeue").args(["--noheader", "--format=%i", "--job", job]).output();
        let output = output.context("`squeue` did not start: is Slurm on this machine?")?;
        // Slurm forgets jobs some minutes after their end, and then takes the number for a mistake.
        Ok(output.status.success() && !output.stdout.trim_ascii().is_empty())
    }
}

impl Engine for Slurm {
    fn resume(&mut self) -> Result<bool> {
        self.job = std::fs::read_to_string(self.noted()).ok();
        self.job.as_ref().map_or(Ok(false), |job| self.is_known(job))
    }

    fn start(&mut self, rows: &[&Row]) -> Result<()> {
        let file = self.folder.join("array.sh");
        write_whole(&file, self.script(rows)?.as_bytes())?;
        let output = Command::new("sbatch").arg("--parsable").arg(&file).current_dir(&self.root).output();
        let output = output.context("`sbatch` did not start: is Slurm on this machine?")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`sbatch {}` failed: {}", file.display(), said.trim());
        let answer = String::from_utf8_lossy(&output.stdout);
        // Behind a semicolon comes the name of the cluster.
        let job = answer.trim().split(';').next().unwrap_or_default().to_owned();
        write_whole(self.noted(), job.as_bytes())?;
        self.job = Some(job);
        Ok(())
    }

    fn is_busy(&mut self) -> Result<bool> {
        let Some(job) = &self.job else { return Ok(false) };
        if self.asked.is_some_and(|asked| asked.elapsed() < INTERVAL) {
            return Ok(true);
        }
        let known = self.is_known(job)?;
        self.asked = Some(Instant::now());
        if !known {
            self.job = None;
            remove(self.noted())?;
        }
        Ok(known)
    }

    fn farewell(&self) -> Option<String> {
        Some(format!("`scancel {}` ends it", self.job.as_ref()?))
    }
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("the path {} is not UTF-8", path.display()))
}

/// A word as a shell takes it, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
