//! `cargo lab report`: PDFs of the notebooks, executed where they have not been in this clone.

use super::execute::execute;
use super::run::Execution;
use super::{data, run, setup};
use crate::executions::Executions;
use crate::notebook::{self, Notebook};
use crate::project::Project;
use crate::python;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// Executes the notebooks whose outputs were not computed here at this scale, by their present code and from what is here
/// now, or all if they are to train anew; then writes a PDF of each.
pub fn report(project: &Project, names: &[PathBuf], execution: Execution) -> Result<()> {
    let notebooks = notebook::select(&project.notebooks(), names)?;
    // A broken one is told of before hours of training.
    notebooks.iter().try_for_each(|path| Notebook::read(path).map(drop))?;
    setup::ensure(project)?;
    for path in notebooks {
        let notebook = Notebook::read(&path)?;
        if execution.retrain || !Executions::of(project)?.contain(&notebook, execution.scale) {
            data::ensure(project)?;
            execute(project, &notebook, execution)?;
        }
        let pdf = notebook.path().with_extension("pdf");
        typeset(project, notebook.path(), &pdf)?;
        println!("{}", project.relative(&pdf));
    }
    Ok(())
}

fn typeset(project: &Project, notebook: &Path, pdf: &Path) -> Result<()> {
    let mut command = python::command(project);
    command.arg(project.python_scripts().join("to_pdf.py")).arg(notebook).arg(pdf);
    run::script(&mut command, &format!("typesetting {}", project.relative(notebook)))
}
