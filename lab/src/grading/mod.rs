//! The course: nbgrader's folders, and how it is called.

pub mod intake;
pub mod points;
pub mod watch;

use crate::assignment::NOTEBOOKS;
use crate::project::Project;
use crate::python::Environment;
use anyhow::{Context, Result, bail};
use kernel_helpers::files::write_whole;
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use watch::{End, Limits, watch};

/// A course of nbgrader's. Each notebook is an assignment of its own, so that none is graded worse for another.
pub struct Course {
    project: Project,
    folder: PathBuf,
}

impl Course {
    /// The course in this folder, which need not be there yet.
    pub fn at(project: &Project, folder: &Path) -> Result<Self> {
        let folder = std::path::absolute(folder).context("a folder for the course")?;
        Ok(Course { project: project.clone(), folder })
    }

    /// The course's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where nbgrader finds a notebook with the solution.
    pub fn source(&self, notebook: &str) -> PathBuf {
        self.notebook("source", None, notebook)
    }

    /// The students' edition of a notebook.
    pub fn release(&self, notebook: &str) -> PathBuf {
        self.notebook("release", None, notebook)
    }

    /// A student's notebook as nbgrader gets it.
    pub fn submitted(&self, student: &str, notebook: &str) -> PathBuf {
        self.notebook("submitted", Some(student), notebook)
    }

    /// What is known of the gradings so far.
    pub fn graded(&self) -> PathBuf {
        self.folder.join("graded.json")
    }

    /// nbgrader's own messages.
    pub fn log(&self) -> PathBuf {
        self.folder.join("nbgrader.log")
    }

    fn notebook(&self, step: &str, student: Option<&str>, notebook: &str) -> PathBuf {
        let folder = self.folder.join(step).join(student.unwrap_or_default());
        folder.join(notebook).join(notebook).with_extension("ipynb")
    }

    /// Writes nbgrader's configuration and the notebooks with the solution, and lets it make the students' edition.
    pub fn make(&self, sources: &[(&str, Value)]) -> Result<()> {
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("could not make {}", self.folder.display()))?;
        let config = self.project.python_scripts().join("nbgrader_config.py");
        fs::copy(config, self.folder.join("nbgrader_config.py")).context("could not configure nbgrader")?;
        for (name, source) in sources {
            write_whole(self.source(name), format!("{source:#}\n").as_bytes())?;
            self.nbgrader(&["generate_assignment", name, "--force"])?;
        }
        Ok(())
    }

    /// Fails unless there is something to grade by.
    pub fn check_is_made(&self) -> Result<()> {
        match NOTEBOOKS.iter().find(|name| !self.release(name).is_file()) {
            Some(name) => bail!(
                "{}: expected the students' edition of {name}, found none. Make it with `cargo lab assignment`",
                self.release(name).display()
            ),
            None => Ok(()),
        }
    }

    /// Grades a student's notebook, and writes the feedback.
    pub fn grade(&self, student: &str, notebook: &str, limits: &Limits) -> Result<End> {
        let student = format!("--student={student}");
        let timeout = format!("--ExecuteCells.timeout={}", limits.cell.as_secs());
        let end = self.run(&["nbgrader", "autograde", notebook, &student, "--force", &timeout], limits)?;
        if matches!(end, End::Done) {
            self.nbgrader(&["generate_feedback", notebook, &student, "--force"])?;
        }
        Ok(end)
    }

    /// The points of all submissions.
    pub fn points(&self) -> Result<Vec<points::Points>> {
        let output = self.command(&["points"], u64::MAX >> 1)?.output().context("could not start Python")?;
        if !output.status.success() {
            bail!("the points could not be read:\n{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).context("the points could not be read")
    }

    /// A step of nbgrader's that executes nothing of the students'.
    fn nbgrader(&self, arguments: &[&str]) -> Result<()> {
        let limits = Limits { notebook: Duration::from_secs(600), ..Limits::default() };
        match self.run(&[&["nbgrader"], arguments].concat(), &limits)? {
            End::Done => Ok(()),
            end => bail!("`nbgrader {}` {end}; see {}", arguments.join(" "), self.log().display()),
        }
    }

    fn run(&self, arguments: &[&str], limits: &Limits) -> Result<End> {
        let log = File::options().create(true).append(true).open(self.log());
        let log = log.with_context(|| format!("could not write {}", self.log().display()))?;
        let mut command = self.command(arguments, limits.memory)?;
        command.stdout(log.try_clone()?).stderr(log);
        watch(&mut command, limits)
    }

    /// nbgrader in the course's folder. What is executed finds data and weights, and no recorded run; it computes with few
    /// images, in a folder that is removed with all temporary ones.
    fn command(&self, arguments: &[&str], memory: u64) -> Result<Command> {
        let scripts = self.project.python_scripts();
        let scratch = self.project.temporary().join("grading");
        let mut command = Environment::grading(&self.project).command(&self.project);
        command
            .arg(scripts.join("grading.py"))
            .arg(memory.to_string())
            .args(arguments)
            .current_dir(&self.folder)
            .env("PYTHONPATH", &scripts)
            .env("JUPYTER_PATH", self.project.venv().join("share/jupyter"))
            .env("LAB_SCALE", "tiny")
            .env("LAB_SEED", "0")
            .env_remove("LAB_RETRAIN")
            .env("LAB_CHECKPOINTS", scratch.join("checkpoints"))
            .env("LAB_GRADING_FOLDER", &scratch);
        Ok(command)
    }

    /// Makes the folder anew in which submissions are executed, with the pretrained weights.
    pub fn clear_scratch(&self) -> Result<()> {
        let scratch = self.project.temporary().join("grading");
        let cannot = || format!("could not make {} anew", scratch.display());
        if scratch.exists() {
            fs::remove_dir_all(&scratch).with_context(cannot)?;
        }
        let checkpoints = scratch.join("checkpoints");
        fs::create_dir_all(&checkpoints).with_context(cannot)?;
        let weights = kernel_helpers::homework::pretrained_model()?;
        for file in [weights.clone(), weights.with_extension("json")] {
            if let Some(name) = file.file_name().filter(|_| file.is_file()) {
                fs::copy(&file, checkpoints.join(name)).with_context(cannot)?;
            }
        }
        Ok(())
    }
}
