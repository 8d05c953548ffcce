//! A clone in a folder whose name has what tools stumble over.

use homework_tests::{lab, project_root, scratch_folder};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SOURCES: [&str; 7] =
    [".cargo", "Cargo.lock", "Cargo.toml", "kernel-helpers", "lab", "notebooks", "tests"];

/// What set-up has installed and compiled, which would take minutes.
const INSTALLED: [&str; 3] = [".lab/venv", ".lab/kernel/warm", ".lab/kernel/library"];

/// These parts of the project in a folder of this name.
fn copy(test: &str, name: &str, parts: &[&str]) -> PathBuf {
    let clone = scratch_folder(test).join(name);
    for part in parts {
        let to = clone.join(part);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        assert!(
            Command::new("cp").arg("-a").arg(project_root().join(part)).arg(&to).status().unwrap().success()
        );
    }
    clone
}

fn in_clone(clone: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(lab().get_program());
    command.current_dir(clone).args(arguments).env("CARGO_NET_OFFLINE", "true");
    command.output().unwrap()
}

fn notebook() -> Value {
    let cell = |source: &str| json!({ "cell_type": "code", "id": source.len().to_string(), "metadata": {}, "source": source, "outputs": [], "execution_count": null });
    json!({
        "cells": [cell("#[derive(Debug)] struct Pair(u32, u32);"), cell("let pair = Pair(1, 2);"), cell("pair")],
        "metadata": { "kernelspec": { "name": "rust", "display_name": "Rust", "language": "rust" } },
        "nbformat": 4,
        "nbformat_minor": 5,
    })
}

#[test]
fn a_clone_is_set_up_where_its_path_has_spaces_and_marks() {
    assert!(lab().arg("setup").status().unwrap().success());
    let clone = copy("a_clone_is_set_up_where", "a b#c{}u\u{308}'", &[&SOURCES[..], &INSTALLED].concat());
    let set_up = in_clone(&clone, &["setup"]);
    assert!(set_up.status.success(), "{}", String::from_utf8_lossy(&set_up.stderr));
    let path = clone.join("notebooks/pair.ipynb");
    std::fs::write(&path, notebook().to_string()).unwrap();
    let run = in_clone(&clone, &["run", "notebooks/pair.ipynb"]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let executed: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(executed["cells"][2]["outputs"][0]["data"]["text/plain"], json!(["Pair(1, 2)"]));
}

#[test]
fn a_path_that_other_tools_cannot_have_is_refused_with_the_reason() {
    // Lists of folders are separated by colons, and cargo and the linker take the other two for more than themselves.
    for (name, mark) in [("a:b", "':'"), ("a%20b", "'%'"), ("a[b", "'['")] {
        let clone = copy("a_path_that_other_tools_cannot_have", name, &SOURCES);
        let set_up = in_clone(&clone, &["setup"]);
        let message = String::from_utf8_lossy(&set_up.stderr);
        assert!(!set_up.status.success() && message.contains(mark), "{message}");
        assert!(!clone.join(".lab").exists(), "nothing is installed where it can't work");
    }
}
