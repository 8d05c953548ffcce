//! `cargo lab grade`: grades submissions.

use super::{assignment, setup};
use crate::assignment::{NOTEBOOKS, describe};
use crate::grading::Course;
use crate::grading::intake::{Submission, assemble, submissions};
use crate::grading::points::{Graded, Gradings, Table};
use crate::grading::watch::{End, Limits};
use crate::notebook::Notebook;
use crate::project::Project;
use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use kernel_helpers::digest::sha256;
use kernel_helpers::files::{try_lock, write_whole};
use kernel_helpers::printable::lines;
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Args)]
pub struct Options {
    /// The submissions: a folder for each student, with `lab1.ipynb` and `hw4.ipynb` in it or below it. What a learning platform
    /// puts behind these names does no harm: `hw4 (1).ipynb`, `hw4_late.ipynb`.
    #[arg(value_name = "FOLDER")]
    submissions: PathBuf,
    /// The folder of the course, as `cargo lab assignment` has made it. Feedback and points are written there.
    #[arg(long, value_name = "FOLDER", default_value = "course")]
    course: PathBuf,
    /// Grade also what has not changed since it was graded.
    #[arg(long)]
    again: bool,
    /// How many seconds a cell may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    cell_time: u64,
    /// How many minutes a notebook may take.
    #[arg(long, value_name = "MINUTES", default_value_t = 15)]
    notebook_time: u64,
    /// How many MB of memory a process may take; all processes of a notebook together may hold twice as much.
    #[arg(long, value_name = "MB", default_value_t = 4096)]
    memory: u64,
}

impl Options {
    fn limits(&self) -> Limits {
        Limits {
            cell: Duration::from_secs(self.cell_time),
            notebook: Duration::from_secs(60 * self.notebook_time),
            memory: self.memory << 20,
            ..Limits::default()
        }
    }
}

/// Grades what is new or has changed, and shows and writes everybody's points.
pub fn grade(project: &Project, options: &Options) -> Result<()> {
    let course = Course::at(project, &options.course)?;
    let found = submissions(&options.submissions, &NOTEBOOKS)?;
    course.check_is_made()?;
    setup::ensure_with_data(project)?;
    assignment::install(project)?;
    let _alone = only_one(project)?;
    let mut gradings = read_gradings(&course.graded())?;
    let progress = Progress::new(found.len());
    for submission in &found {
        progress.next(submission);
        let sums = [&submission.path, &course.source(submission.notebook)].map(|path| sum(path));
        let [theirs, ours] = sums;
        let sums = [theirs?, ours?];
        let before = gradings.get(&submission.student).and_then(|it| it.get(submission.notebook));
        if before.is_some_and(|before| before.sums == sums) && !options.again {
            continue;
        }
        let remark = grade_one(&course, submission, &options.limits())?;
        let graded = Graded { sums, remark };
        gradings
            .entry(submission.student.clone())
            .or_default()
            .insert(submission.notebook.to_owned(), graded);
        // After each one, so that a run that was interrupted goes on where it was.
        write_whole(course.graded(), format!("{:#}\n", serde_json::to_value(&gradings)?).as_bytes())?;
    }
    progress.bar.finish_and_clear();
    show(project, &course, &gradings)
}

/// Submissions are executed in one folder, so there is one grading at a time in a clone; it is the one that holds this file.
fn only_one(project: &Project) -> Result<File> {
    let folder = project.temporary();
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    try_lock(&folder.join("grading.lock"))?
        .context("another grading is at work in this clone: wait until it has ended, or use another clone")
}

/// Grades a notebook, and returns what is to be told if it could not be graded.
fn grade_one(course: &Course, submission: &Submission, limits: &Limits) -> Result<Option<String>> {
    let Submission { student, notebook, path } = submission;
    let made = match read(path).and_then(|theirs| assemble(&read(&course.release(notebook))?, &theirs)) {
        Ok(made) => made,
        Err(error) => return Ok(Some(lines(format!("not graded: {error:#}")).to_string())),
    };
    write_whole(course.submitted(student, notebook), format!("{made:#}\n").as_bytes())?;
    course.clear_scratch()?;
    let end = course.grade(student, notebook, limits)?;
    Ok(match end {
        End::Done => None,
        End::Failed => Some(format!("not graded: nbgrader failed, see {}", course.log().display())),
        end => Some(format!("not graded: it {end}")),
    })
}

fn read(path: &Path) -> Result<Value> {
    // It has a bound, and says what is wrong in a sentence.
    Notebook::check(path)?;
    let bytes = fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{}", path.display()))
}

fn read_gradings(path: &Path) -> Result<Gradings> {
    if !path.is_file() {
        return Ok(Gradings::new());
    }
    let bytes = fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    let help = "remove it to grade everything anew";
    serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged; {help}", path.display()))
}

fn sum(path: &Path) -> Result<String> {
    Ok(sha256(&fs::read(path).with_context(|| format!("could not read {}", path.display()))?))
}

fn show(project: &Project, course: &Course, gradings: &Gradings) -> Result<()> {
    let mut notebooks = Vec::new();
    for name in NOTEBOOKS {
        notebooks.push((name, describe(project, name)?));
    }
    let table = Table::new(&notebooks, course.points()?, gradings);
    let file = course.folder().join("grades.csv");
    write_whole(&file, table.csv().as_bytes())?;
    print!("{}", table.text());
    println!(
        "\nEverybody's points are in {}, the feedback for students in {}.",
        project.relative(&file),
        project.relative(&course.folder().join("feedback"))
    );
    Ok(())
}

/// A bar on a terminal; a line for every submission in a log.
struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn new(submissions: usize) -> Self {
        let style = "[{bar:24}] {pos} of {len}, {eta} left: {wide_msg}";
        let bar = ProgressBar::new(submissions as u64)
            .with_style(ProgressStyle::with_template(style).expect("a valid template").progress_chars("=> "));
        bar.enable_steady_tick(Duration::from_millis(250));
        Progress { bar }
    }

    fn next(&self, submission: &Submission) {
        let name = format!("{} of {}", submission.notebook, submission.student);
        self.bar.inc(1);
        if self.bar.is_hidden() {
            let (position, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
            eprintln!("{position} of {all}, {} s so far: {name}", self.bar.elapsed().as_secs());
        }
        self.bar.set_message(name);
    }
}
