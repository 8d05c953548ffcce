//! `cargo lab report`: PDFs of the notebooks, executed where they have not been in this clone, and the files to hand in.

use super::execute::execute;
use super::run::Execution;
use super::{run, setup};
use crate::executions::Executions;
use crate::notebook::{self, Notebook};
use crate::project::Project;
use crate::python;
use anyhow::{Context, Result};
use clap::Args;
use kernel_helpers::files::{self, write_whole};
use std::path::{Path, PathBuf};

/// What the assignment wants handed in.
const TO_HAND_IN: [&str; 3] = ["report.pdf", "lab1.ipynb", "hw4.ipynb"];

/// What stands on the first page of a report, in place of empty lines to write on.
#[derive(Args)]
pub struct FirstPage {
    /// The author, for the first page.
    #[arg(long, default_value_t)]
    author: String,
    /// The date, for the first page.
    #[arg(long, default_value_t)]
    date: String,
}

/// Executes the notebooks whose outputs were not computed here at this scale, by their present code and from what is here
/// now, or all if they are to train anew; then writes a PDF of each. Of the whole homework, the files to hand in are put
/// together in a folder.
pub fn report(
    project: &Project,
    names: &[PathBuf],
    execution: Execution,
    first_page: &FirstPage,
) -> Result<()> {
    let notebooks = notebook::select(&project.notebooks(), names)?;
    // A broken one is told of before hours of training.
    let notebooks = notebooks.iter().map(|path| Notebook::read(path)).collect::<Result<Vec<_>>>()?;
    let is_new = |notebook: &Notebook| {
        Ok::<_, anyhow::Error>(
            execution.retrain || !Executions::of(project)?.contain(notebook, execution.scale),
        )
    };
    let new = notebooks.iter().map(is_new).collect::<Result<Vec<_>>>()?;
    if new.contains(&true) {
        setup::ensure_with_data(project)?
    } else {
        setup::ensure(project)?
    }
    for notebook in &notebooks {
        // Executing one that it follows makes another new.
        if is_new(notebook)? {
            execute(project, notebook, execution)?;
        }
        let pdf = notebook.path().with_extension("pdf");
        typeset(project, notebook.path(), &pdf, first_page)?;
        println!("{}", project.relative(&pdf));
    }
    if names.is_empty() {
        gather(project)?;
    }
    Ok(())
}

/// Copies what is to be handed in to a folder of its own.
fn gather(project: &Project) -> Result<()> {
    let folder = project.notebooks().join("hand-in");
    for name in TO_HAND_IN {
        let content = files::read(project.notebooks().join(name))?;
        write_whole(folder.join(name), &content).with_context(|| format!("could not copy {name}"))?;
    }
    println!("to hand in: {} in {}", TO_HAND_IN.join(", "), project.relative(&folder));
    Ok(())
}

fn typeset(project: &Project, notebook: &Path, pdf: &Path, first_page: &FirstPage) -> Result<()> {
    let mut command = python::command(project);
    command.arg(project.python_scripts().join("to_pdf.py")).arg(notebook).arg(pdf);
    command.args([&first_page.author, &first_page.date]);
    run::script(&mut command, &format!("typesetting {}", project.relative(notebook)))
}
