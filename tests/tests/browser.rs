//! JupyterLab in a headless browser, as a student uses it; see `tests/browser/student.py`.

use homework_tests::{generated_data, lab, project_root, scratch_folder, skip};
use std::path::PathBuf;
use std::process::Command;

#[test]
fn a_student_works_in_jupyterlab() {
    let Some(chromium) = chromium() else {
        skip("a_student_works_in_jupyterlab", "needs `chromium` on the path (Debian: apt install chromium)");
        return;
    };
    let folder = scratch_folder("browser");
    for file in ["notebooks/lab1.ipynb", "checkpoints/resnet20.safetensors"] {
        std::fs::create_dir(folder.join(file).parent().unwrap()).unwrap();
        std::fs::copy(project_root().join(file), folder.join(file)).unwrap();
    }
    let mut student = Command::new(python());
    student.arg(project_root().join("tests/browser/student.py")).arg(chromium);
    student.arg(lab().get_program()).arg(&folder);
    student.current_dir(project_root()).env("LAB_SCALE", "tiny");
    student.env("LAB_DATA", generated_data()).env("LAB_CHECKPOINTS", folder.join("checkpoints"));
    let result = student.output().unwrap();
    let (printed, failed) =
        (String::from_utf8_lossy(&result.stdout), String::from_utf8_lossy(&result.stderr));
    let screenshots = folder.join("screenshots");
    assert!(result.status.success(), "see {}\n{printed}{failed}", screenshots.display());
    println!("{printed}");
}

fn chromium() -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let candidates = ["chromium", "chromium-browser", "google-chrome"];
    let mut paths = candidates.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    paths.find(|path| path.is_file())
}

/// The Python of an environment with what `student.py` needs, made once.
fn python() -> PathBuf {
    let environment = project_root().join("target/tmp/browser-environment");
    let requirements = project_root().join("tests/browser/requirements.txt");
    let installed = environment.join("requirements.txt");
    let python = environment.join("bin/python");
    if std::fs::read(&installed).ok() != std::fs::read(&requirements).ok() {
        succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment));
        let pip =
            ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"];
        succeed(Command::new(&python).args(pip).arg(&requirements));
        std::fs::copy(&requirements, &installed).unwrap();
    }
    python
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
