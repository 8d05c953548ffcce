//! Which notebooks were executed in this clone, and with what. Outputs may also have come with the clone; those were
//! computed elsewhere.

use crate::kernel::warm;
use crate::notebook::{self, Notebook};
use crate::project::Project;
use anyhow::Result;
use kernel_helpers::data::GENERATED_MARKER;
use kernel_helpers::digest::sha256_of_file;
use kernel_helpers::files::write_whole;
use kernel_helpers::homework::{Scale, pretrained_model};
use kernel_helpers::paths;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// By notebook, how it was last executed here.
pub struct Executions {
    file: PathBuf,
    inputs: Value,
    by_notebook: BTreeMap<PathBuf, Value>,
}

impl Executions {
    /// Those of the project's clone; none if there is no readable note of them.
    pub fn of(project: &Project) -> Result<Self> {
        Ok(Self::with(project, inputs(project)?))
    }

    fn with(project: &Project, inputs: Value) -> Self {
        let file = project.own().join("executions.json");
        let noted = fs::read(&file).ok().and_then(|content| serde_json::from_slice(&content).ok());
        Executions { file, inputs, by_notebook: noted.unwrap_or_default() }
    }

    /// Whether the notebook's outputs are those of its present code at `scale`, computed here with what is here now, and
    /// none whose results it may use was executed after it.
    pub fn contain(&self, notebook: &Notebook, scale: Scale) -> bool {
        notebook.is_executed(scale)
            && self.by_notebook.get(notebook.path()) == Some(&self.execution(notebook, scale))
    }

    /// Notes that the notebook was executed at `scale`.
    pub fn add(&mut self, notebook: &Notebook, scale: Scale) -> Result<()> {
        self.by_notebook.retain(|path, _| !notebook::follows(path, notebook.path()));
        self.by_notebook.insert(notebook.path().to_owned(), self.execution(notebook, scale));
        let content = serde_json::to_vec_pretty(&self.by_notebook)?;
        Ok(write_whole(&self.file, &content)?)
    }

    fn execution(&self, notebook: &Notebook, scale: Scale) -> Value {
        json!({ "notebook": notebook.execution(scale), "inputs": self.inputs })
    }
}

/// What besides a notebook's code decides what it computes: the helpers, the pretrained weights and the images.
fn inputs(project: &Project) -> Result<Value> {
    let weights = pretrained_model().ok().map(sha256_of_file).transpose()?;
    Ok(json!({
        "helpers": warm::sources_sha256(project)?,
        "pretrained_model": weights,
        "generated_images": paths::data_dir()?.join(GENERATED_MARKER).exists(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn outputs_count_that_were_computed_here_from_what_is_here() {
        let folder = tempfile::tempdir().unwrap();
        let project = Project::at(folder.path()).unwrap();
        let save_as = |name: &str, content: &Value| {
            let path = folder.path().join(name);
            fs::write(&path, content.to_string()).unwrap();
            Notebook::read(&path).unwrap()
        };
        let save = |content: &Value| save_as("report.ipynb", content);
        let here = || Executions::with(&project, json!("as it is"));
        let mut content =
            json!({ "cells": [{ "cell_type": "code", "source": "1 + 1" }], "metadata": {}, "nbformat": 4 });
        let execution = save(&content).execution(Scale::Full);
        content["metadata"]["lab"] = execution;
        let notebook = save(&content);

        assert!(!here().contain(&notebook, Scale::Full));
        here().add(&notebook, Scale::Full).unwrap();
        assert!(here().contain(&notebook, Scale::Full));
        assert!(!here().contain(&notebook, Scale::Quick));
        assert!(!Executions::with(&project, json!("other weights")).contain(&notebook, Scale::Full));
        here().add(&save_as("scratch.ipynb", &content), Scale::Full).unwrap();
        assert!(here().contain(&notebook, Scale::Full), "it uses nothing of scratch");
        here().add(&save_as("hw4.ipynb", &content), Scale::Full).unwrap();
        assert!(!here().contain(&notebook, Scale::Full), "it uses what hw4 has found");
        here().add(&notebook, Scale::Full).unwrap();
        content["cells"][0]["source"] = json!("1 + 2");
        assert!(!here().contain(&save(&content), Scale::Full));
    }
}
