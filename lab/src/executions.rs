//! Which notebooks were executed in this clone. Outputs may also have come with the clone; those were computed elsewhere.

use crate::notebook::Notebook;
use crate::project::Project;
use anyhow::Result;
use kernel_helpers::Scale;
use kernel_helpers::files::write_whole;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// By notebook, how it was last executed here.
pub struct Executions {
    file: PathBuf,
    by_notebook: BTreeMap<PathBuf, Value>,
}

impl Executions {
    /// Those of the project's clone; none if there is no readable note of them.
    pub fn of(project: &Project) -> Self {
        let file = project.installed().join("executions.json");
        let noted = fs::read(&file).ok().and_then(|content| serde_json::from_slice(&content).ok());
        Executions { file, by_notebook: noted.unwrap_or_default() }
    }

    /// Whether the notebook's outputs are those of its present code at `scale`, computed here.
    pub fn contain(&self, notebook: &Notebook, scale: Scale) -> bool {
        notebook.is_executed(scale)
            && self.by_notebook.get(notebook.path()) == Some(&notebook.execution(scale))
    }

    /// Notes that the notebook was executed at `scale`.
    pub fn add(&mut self, notebook: &Notebook, scale: Scale) -> Result<()> {
        self.by_notebook.insert(notebook.path().to_owned(), notebook.execution(scale));
        let content = serde_json::to_vec_pretty(&self.by_notebook)?;
        Ok(write_whole(&self.file, &content)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn outputs_that_came_with_the_clone_were_not_executed_here() {
        let folder = tempfile::tempdir().unwrap();
        let project = Project::at(folder.path()).unwrap();
        let path = folder.path().join("a.ipynb");
        let save = |content: &Value| {
            fs::write(&path, content.to_string()).unwrap();
            Notebook::read(&path).unwrap()
        };
        let mut content = json!({ "cells": [{ "cell_type": "code", "source": "1 + 1" }], "metadata": {} });
        let execution = save(&content).execution(Scale::Full);
        content["metadata"]["lab"] = execution;
        let notebook = save(&content);

        assert!(!Executions::of(&project).contain(&notebook, Scale::Full));
        Executions::of(&project).add(&notebook, Scale::Full).unwrap();
        assert!(Executions::of(&project).contain(&notebook, Scale::Full));
        assert!(!Executions::of(&project).contain(&notebook, Scale::Quick));
        content["cells"][0]["source"] = json!("1 + 2");
        assert!(!Executions::of(&project).contain(&save(&content), Scale::Full));
    }
}
