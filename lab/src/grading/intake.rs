//! What of a submission is graded: the students' edition as it was given out, with what the student has written.

use crate::assignment::source::{AS_SUBMITTED, id, text};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A submitted notebook.
pub struct Submission {
    /// The name of the student's folder, as nbgrader can have it.
    pub student: String,
    /// Which notebook it is.
    pub notebook: &'static str,
    /// The file.
    pub path: PathBuf,
}

/// The submissions in a folder with a folder for each student, sorted. In the latter, or below it, a notebook has the name it was
/// given out with; learning platforms may have put something behind it.
pub fn submissions(folder: &Path, notebooks: &[&'static str]) -> Result<Vec<Submission>> {
    let mut found: Vec<Submission> = Vec::new();
    for student in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        let name = student.file_name().unwrap_or_default().to_string_lossy();
        for &notebook in notebooks {
            let mut files = Vec::new();
            search(&student, notebook, &mut files)?;
            match files.as_slice() {
                [] => {}
                [path] => found.push(Submission { student: plain(&name), notebook, path: path.clone() }),
                [first, second, ..] => bail!(
                    "{}: expected one {notebook}.ipynb, found {} and {}",
                    student.display(),
                    first.display(),
                    second.display()
                ),
            }
        }
    }
    if let Some(pair) = found
        .windows(2)
        .find(|pair| (&pair[0].student, pair[0].notebook) == (&pair[1].student, pair[1].notebook))
    {
        bail!("{} and {} would be the same student", pair[0].path.display(), pair[1].path.display());
    }
    if found.is_empty() {
        let names: Vec<_> = notebooks.iter().map(|name| format!("STUDENT/{name}.ipynb")).collect();
        bail!("{}: expected submissions as {}, found none", folder.display(), names.join(" or "));
    }
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = fs::read_dir(folder).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>()
    });
    let mut listed = listed.with_context(|| format!("could not list {}", folder.display()))?;
    listed.sort();
    Ok(listed)
}

fn search(folder: &Path, notebook: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    for path in entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_link = path.is_symlink();
        if path.is_dir() && !is_link && !name.starts_with('.') {
            search(&path, notebook, found)?;
        } else if !is_link && name.starts_with(notebook) && name.ends_with(".ipynb") {
            found.push(path);
        }
    }
    Ok(())
}

/// A name without what nbgrader could take for something else.
fn plain(name: &str) -> String {
    let allowed = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    name.chars().map(|c| if allowed(c) { c } else { '_' }).collect()
}

/// The students' edition with what the student has written in the cells for that, and with the student's own cells where
/// they were. Its other cells are as they were given out, but those that a grading does not execute keep their outputs.
pub fn assemble(release: &Value, submitted: &Value) -> Result<Value> {
    let cells = |notebook: &Value| notebook["cells"].as_array().cloned();
    let given = cells(release).context("the students' edition has no cells")?;
    let submitted = cells(submitted).context("expected a notebook with `cells`, found none")?;
    let places: HashMap<&str, usize> =
        given.iter().enumerate().map(|(at, cell)| Ok((id(cell)?, at))).collect::<Result<_>>()?;
    let mut theirs: HashMap<usize, &Value> = HashMap::new();
    // Behind which of the given cells the student's own ones stand; before all of them at the start.
    let mut own: HashMap<Option<usize>, Vec<Value>> = HashMap::new();
    let mut after = None;
    let names: Vec<Option<usize>> =
        submitted.iter().map(|cell| name(cell).and_then(|name| places.get(name).copied())).collect();
    for (number, cell) in submitted.iter().enumerate() {
        match names[number] {
            // Of copies, which have the name too, the last one is meant.
            Some(place) if !names[number + 1..].contains(&Some(place)) => {
                theirs.insert(place, cell);
                after = Some(place);
            }
            _ => own.entry(after).or_default().extend(own_cell(cell)),
        }
    }
    let mut made = own.remove(&None).unwrap_or_default();
    for (place, mut cell) in given.into_iter().enumerate() {
        if let Some(theirs) = theirs.get(&place) {
            if cell["metadata"]["nbgrader"]["solution"] == true {
                cell["source"] = json!(text(theirs));
            }
            if is_as_submitted(&cell) && theirs["outputs"].is_array() {
                cell["outputs"] = theirs["outputs"].clone();
            }
        }
        made.push(cell);
        made.extend(own.remove(&Some(place)).into_iter().flatten());
    }
    let mut notebook = release.clone();
    notebook["cells"] = Value::Array(made);
    Ok(notebook)
}

fn is_as_submitted(cell: &Value) -> bool {
    cell["metadata"]["tags"].as_array().is_some_and(|tags| tags.contains(&json!(AS_SUBMITTED)))
}

/// By which name a cell was given out.
fn name(cell: &Value) -> Option<&str> {
    cell["metadata"]["nbgrader"]["grade_id"].as_str().or_else(|| cell["id"].as_str())
}

/// A cell that the student has added, without anything that could mean something to nbgrader.
fn own_cell(cell: &Value) -> Option<Value> {
    let text = text(cell);
    match cell["cell_type"].as_str()? {
        "code" => Some(json!({
            "cell_type": "code", "metadata": {}, "source": text, "execution_count": null, "outputs": [],
            "id": uuid::Uuid::new_v4().simple().to_string(),
        })),
        "markdown" => Some(json!({
            "cell_type": "markdown", "metadata": {}, "source": text,
            "id": uuid::Uuid::new_v4().simple().to_string(),
        })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(id: &str, solution: bool, source: &str) -> Value {
        let nbgrader = json!({ "grade_id": id, "solution": solution });
        json!({ "cell_type": "code", "id": id, "metadata": { "nbgrader": nbgrader }, "source": source,
            "outputs": [], "execution_count": null })
    }

    fn sources(notebook: &Value) -> Vec<String> {
        notebook["cells"].as_array().unwrap().iter().map(text).collect()
    }

    #[test]
    fn only_what_students_may_write_is_taken() {
        let release = json!({ "cells": [cell("f", true, "todo"), cell("f-test-1", false, "test")] });
        let mut altered = cell("f-test-1", false, "altered");
        altered["metadata"]["tags"] = json!([AS_SUBMITTED]);
        let own =
            json!({ "cell_type": "code", "source": ["a\n", "b"], "metadata": { "tags": [AS_SUBMITTED] } });
        let submitted =
            json!({ "cells": [own, cell("f", true, "copy"), cell("f", true, "written"), altered] });
        let made = assemble(&release, &submitted).unwrap();
        assert_eq!(sources(&made), ["a\nb", "copy", "written", "test"]);
        assert!(made["cells"].as_array().unwrap().iter().all(|cell| !is_as_submitted(cell)));
        let nothing = assemble(&release, &json!({ "cells": [] })).unwrap();
        assert_eq!(sources(&nothing), ["todo", "test"]);
        assert!(assemble(&release, &json!({ "cells": {} })).is_err());
    }

    #[test]
    fn submissions_are_found_by_folder_and_name() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["Ada L_1/hw4 (2).ipynb", "b/c/lab1.ipynb", "b/notes.txt"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = submissions(folder.path(), &["lab1", "hw4"]).unwrap();
        let found: Vec<_> = found.iter().map(|it| (it.student.as_str(), it.notebook)).collect();
        assert_eq!(found, [("Ada_L_1", "hw4"), ("b", "lab1")]);
        let message = submissions(&folder.path().join("b/c"), &["lab1"]).err().unwrap().to_string();
        assert!(message.contains("STUDENT/lab1.ipynb"), "{message}");
    }
}
