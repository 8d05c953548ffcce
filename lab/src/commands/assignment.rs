//! `cargo lab assignment`: the students' edition of the notebooks.

use crate::assignment::{NOTEBOOKS, describe, source_of};
use crate::grading::Course;
use crate::progress;
use crate::project::Project;
use crate::python::Environment;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct Options {
    /// The folder of the course. `release/` in it is for the students; all else has the solutions.
    #[arg(long, value_name = "FOLDER", default_value = "course")]
    to: PathBuf,
}

/// Makes a course of nbgrader's from the notebooks with the solution and from `lab/assignment/`.
pub fn assignment(project: &Project, options: &Options) -> Result<()> {
    project.check_place()?;
    let course = Course::at(project, &options.to)?;
    let mut sources = Vec::new();
    for name in NOTEBOOKS {
        sources.push((name, source_of(project, name)?));
    }
    install(project)?;
    course.make(&sources)?;
    for name in NOTEBOOKS {
        let description = describe(project, name)?;
        let (mut automatic, mut by_hand) = (0, 0);
        for part in &description.parts {
            automatic += part.automatic();
            by_hand += part.by_hand();
        }
        let release = course.release(name);
        println!("{}: {automatic} points by tests, {by_hand} by hand", project.relative(&release));
    }
    println!(
        "Students put these into `notebooks/` of a clone and hand them in; `cargo lab grade FOLDER` grades them."
    );
    Ok(())
}

/// Installs nbgrader if it is not there.
pub fn install(project: &Project) -> Result<()> {
    let environment = Environment::grading(project);
    if !environment.is_current() {
        let spinner = progress::spinner("Installing nbgrader into .lab/grading");
        let installed = environment.install();
        spinner.finish_and_clear();
        installed?;
        progress::say("Installed nbgrader into .lab/grading.");
    }
    Ok(())
}
