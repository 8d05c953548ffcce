//! `cargo lab doctor` and `cargo lab clean`, in folders in which nothing is or something to remove.

use homework_tests::{generated_data, lab, project_root};
use std::fs;
use std::path::Path;
use std::process::Output;

/// A project in which nothing is installed.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["Cargo.toml", "Cargo.lock", "kernel-helpers", "lab"] {
        std::os::unix::fs::symlink(project_root().join(name), folder.path().join(name)).unwrap();
    }
    folder
}

fn run(project: &Path, arguments: &[&str]) -> Output {
    lab().args(arguments).current_dir(project).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn what_is_missing_is_named_with_the_command_that_makes_it() {
    let project = project();
    let output = run(project.path(), &["doctor"]);
    let text = text(&output);
    for line in [
        "missing Python packages  `cargo lab setup` makes it",
        "missing notebook kernel  `cargo lab setup` makes it",
        "missing data             `cargo lab data` makes it",
    ] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
    assert!(
        !output.status.success() && text.contains("missing checkpoint"),
        "no command makes it in little time: {text}"
    );
    assert!(!project.path().join(".lab").exists(), "looking makes nothing");
}

#[test]
fn what_is_there_is_looked_at_and_the_machine_measured() {
    let mut command = lab();
    let output = command.arg("doctor").env("LAB_DATA", generated_data()).output().unwrap();
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    for part in ["ok      Rust", "ok      checkpoint", "generated pictures, not CIFAR-10", "images/s now"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[test]
fn only_the_parts_that_are_named_are_removed() {
    let project = project();
    let at = |path: &str| project.path().join(path);
    let files = [
        ".lab/sweeps/one/log",
        ".lab/grading/bin/nbgrader",
        "checkpoints/resnet20/quick/net.json",
        "checkpoints/resnet20/net.json",
        "data/test_batch.bin",
    ];
    files.iter().for_each(|file| write(&at(file), &[0; 3000]));

    let listed = text(&run(project.path(), &["clean"]));
    for part in ["logs", "trials", "grading", "data", "3.0 kB", "fetches it, from the network"] {
        assert!(listed.contains(part), "no {part:?} in {listed}");
    }
    assert!(files.iter().all(|file| at(file).exists()), "a list removes nothing");

    let wrong = run(project.path(), &["clean", "logs", "trails"]);
    assert!(
        !wrong.status.success() && text(&wrong).contains("there is no part `trails`; there are compiled, ")
    );
    assert!(files.iter().all(|file| at(file).exists()), "one wrong name, and nothing is removed");

    for _ in 0..2 {
        let removed = run(project.path(), &["clean", "logs", "trials"]);
        assert!(removed.status.success(), "{}", text(&removed));
        let left: Vec<bool> = files.iter().map(|file| at(file).exists()).collect();
        assert_eq!(left, [false, true, false, true, true]);
    }
}
