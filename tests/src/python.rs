//! The Python of the tests: Jupyter's clients and test suite, and what drives a browser.

use crate::{generated_data, lab, project_root};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The Python of an environment with `tests/requirements.txt`, made once.
pub fn python() -> Command {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(MADE.get_or_init(make));
    command.current_dir(project_root()).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONNOUSERSITE", "1");
    for variable in ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"] {
        command.env_remove(variable);
    }
    command
}

fn make() -> PathBuf {
    let environment = project_root().join("target/tmp/python");
    let requirements = project_root().join("tests/requirements.txt");
    let installed = environment.join("requirements.txt");
    let python = environment.join("bin/python");
    if std::fs::read(&installed).ok() != std::fs::read(&requirements).ok() {
        succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment));
        let pip =
            ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"];
        succeed(Command::new(&python).args(pip).arg(&requirements));
        std::fs::copy(&requirements, &installed).expect("a file of the tests can be written");
    }
    python
}

/// The Python that `TESTS_PYTHON` names, or `python3`, if it can import these packages.
pub fn python_with(packages: &[&str]) -> Option<Command> {
    let python = std::env::var_os("TESTS_PYTHON").unwrap_or_else(|| "python3".into());
    let command = || {
        let mut command = Command::new(&python);
        command.current_dir(project_root()).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    };
    let imported = command().arg("-c").arg(format!("import {}", packages.join(", "))).output();
    imported.is_ok_and(|output| output.status.success()).then(command)
}

fn succeed(command: &mut Command) {
    let output = command.output().expect("Python starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs the tests of the kernel in `tests/wire/` that belong to a theme.
///
/// # Panics
/// If one of them fails or is skipped.
pub fn wire(theme: &str) {
    static SET_UP: OnceLock<()> = OnceLock::new();
    SET_UP.get_or_init(|| succeed(lab().arg("setup")));
    let mut tests = python();
    tests.arg("tests/wire/run.py").arg(theme).env("LAB_DATA", generated_data());
    let result = tests.output().expect("Python starts");
    let (printed, failed) =
        (String::from_utf8_lossy(&result.stdout), String::from_utf8_lossy(&result.stderr));
    assert!(result.status.success(), "{}\n{printed}{failed}", result.status);
    println!("{printed}");
}
