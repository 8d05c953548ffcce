//! What the tests share: where things are, the Python that some of them need, and how a test says that it was skipped.

mod python;

pub use python::{python, python_with, wire};

pub mod notebook;
pub mod server;

use kernel_helpers::data::{GENERATED_MARKER, TEST_FILE, TRAIN_FILES};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The project's folder.
pub fn project_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the project").to_owned()
}

/// The course's `pretrained_model.pt`, from the shared folder beside the project or from `checkpoints/`.
pub fn course_checkpoint() -> Option<PathBuf> {
    let candidates = ["../shared/hw4/pretrained_model.pt", "checkpoints/pretrained_model.pt"];
    candidates.into_iter().map(|name| project_root().join(name)).find(|path| path.is_file())
}

/// The folder of the real CIFAR-10: `LAB_DATA`, or `data/` in the project.
pub fn cifar10() -> Option<PathBuf> {
    let folder = std::env::var_os("LAB_DATA").map_or_else(|| project_root().join("data"), PathBuf::from);
    let complete = TRAIN_FILES.iter().chain([&TEST_FILE]).all(|name| folder.join(name).is_file());
    (complete && !folder.join(GENERATED_MARKER).exists()).then_some(folder)
}

/// The command `cargo lab`, as the binary that was built beside this test, run in the project's folder.
pub fn lab() -> Command {
    let test = std::env::current_exe().expect("a test has an executable");
    let folder = test.ancestors().nth(2).expect("tests are built in target/PROFILE/deps");
    let binary = folder.join(format!("lab{}", std::env::consts::EXE_SUFFIX));
    assert!(binary.is_file(), "{} is not built: run `cargo test --workspace`", binary.display());
    let mut command = Command::new(binary);
    command.current_dir(project_root());
    command
}

/// The system's chromium, by one of its names.
pub fn chromium() -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let candidates = ["chromium", "chromium-browser", "google-chrome"];
    let mut paths = candidates.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    paths.find(|path| path.is_file())
}

/// Says on the terminal that a test could not run, and why; past the test harness, which swallows what tests print.
pub fn skip(test: &str, reason: &str) {
    writeln!(std::io::stderr().lock(), "SKIPPED {test}: {reason}").expect("standard error is open");
}

/// A folder of the tests' own inside the project, so that the notebooks in it find the project; made anew.
pub fn scratch_folder(test: &str) -> PathBuf {
    let folder = project_root().join("target/tmp").join(test);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("a folder of the tests can be removed");
    }
    std::fs::create_dir_all(&folder).expect("a folder of the tests can be made");
    folder
}

/// The generated stand-in for CIFAR-10, made once for all tests.
pub fn generated_data() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let folder = project_root().join("target/tmp/generated-data");
        let made = lab().args(["data", "--generated"]).env("LAB_DATA", &folder).output();
        let made = made.expect("the command starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        folder
    };
    MADE.get_or_init(make).clone()
}
