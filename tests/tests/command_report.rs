//! `cargo lab report` and its typesetting: what is no notebook, and what is too long for a page.

use homework_tests::notebook::{notebook, read, write};
use homework_tests::{generated_data, lab, project_root, scratch_folder};
use serde_json::json;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn lab_on(subcommand: &str, notebook: &Path) -> Output {
    lab().arg(subcommand).arg(notebook).arg("--tiny").env("LAB_DATA", generated_data()).output().unwrap()
}

/// The project's Python, which finds our exporters as JupyterLab does.
fn python() -> Command {
    assert!(lab().arg("setup").output().unwrap().status.success());
    let mut command = Command::new(project_root().join(".lab/venv/bin/python"));
    command.env("PYTHONPATH", project_root().join("lab/python"));
    command
}

fn typeset(notebook: &Path) -> Output {
    let script = project_root().join("lab/python/to_pdf.py");
    python().arg(script).arg(notebook).arg(notebook.with_extension("pdf")).output().unwrap()
}

#[test]
fn what_is_no_notebook_is_said_to_be_none() {
    let folder = scratch_folder("what_is_no_notebook");
    let cell = |cell: &str| {
        format!("{{\"nbformat\": 4, \"nbformat_minor\": 4, \"metadata\": {{}}, \"cells\": [{cell}]}}")
    };
    let cases = [
        ("conflict", "<<<<<<< HEAD\n{}\n".to_owned(), "JSON"),
        ("nothing", String::new(), "JSON"),
        ("list", "[]".to_owned(), "nbformat"),
        ("no-cells", "{\"nbformat\": 4, \"nbformat_minor\": 5, \"metadata\": {}}".to_owned(), "cells"),
        (
            "no-outputs",
            cell("{\"cell_type\": \"code\", \"source\": \"\", \"metadata\": {}, \"execution_count\": null}"),
            "cells/0",
        ),
        ("number", cell("{\"cell_type\": \"markdown\", \"source\": 3, \"metadata\": {}}"), "cells/0/source"),
    ];
    for (name, content, problem) in cases {
        let path = folder.join(name).with_extension("ipynb");
        std::fs::write(&path, &content).unwrap();
        for result in [lab_on("run", &path), lab_on("report", &path), typeset(&path)] {
            let message = String::from_utf8_lossy(&result.stderr);
            let place = path.display().to_string();
            assert!(!result.status.success(), "{name}");
            for part in [&*place, "is not a notebook", problem, "git checkout"] {
                assert!(message.contains(part), "no {part:?} in {message}");
            }
            assert!(!message.contains("Traceback"), "{message}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content, "{name} is as it was");
    }
}

#[test]
fn a_hundred_thousand_lines_are_typeset_in_seconds() {
    let path = notebook("a_hundred_thousand_lines", &["1 + 1"]);
    let mut content = read(&path);
    let lines: String = (0..100_000).map(|line| format!("{line}\n")).collect();
    content["cells"][0]["outputs"] = json!([{ "output_type": "stream", "name": "stdout", "text": lines }]);
    write(&path, &content);
    let started = Instant::now();
    let result = typeset(&path);
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(read(&path), content, "the notebook keeps all");
}

#[test]
fn an_exported_page_needs_neither_its_images_nor_the_network() {
    let path = notebook("an_exported_page", &["1 + 1"]);
    let picture = project_root().join("notebooks/images/notebook.png");
    std::fs::copy(picture, path.with_file_name("picture.png")).unwrap();
    let text = "# The loss $\\frac{a}{b}$\n\n![of $x$](picture.png)\n\n$$\\sum_i x_i$$\n\n`not $5$`";
    let mut content = read(&path);
    content["cells"][0] = json!({ "cell_type": "markdown", "id": "text", "metadata": {}, "source": text });
    write(&path, &content);
    let result = python().args(["-m", "nbconvert", "--to", "html"]).arg(&path).output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let page = std::fs::read_to_string(path.with_extension("html")).unwrap();
    for part in ["<mfrac>", "<mo>∑</mo>", "alt=\"of x\"", "src=\"data:image/png;base64,", "not $5$"] {
        assert!(page.contains(part), "no {part}");
    }
    for part in ["picture.png", "mathjax", "\u{e000}"] {
        assert!(!page.to_lowercase().contains(part), "{part}");
    }
}
