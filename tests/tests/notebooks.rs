//! All notebooks from the first cell to the last, on generated data at the smallest scale.

use homework_tests::{generated_data, lab, project_root, scratch_folder};
use serde_json::Value;
use std::path::{Path, PathBuf};

#[test]
fn every_notebook_runs_without_an_error() {
    let root = project_root();
    let folder = scratch_folder("notebooks");
    for file in ["resnet20.safetensors", "pretrained_model.scan.json"] {
        std::fs::copy(root.join("checkpoints").join(file), folder.join(file)).unwrap();
    }
    let notebooks =
        ["lab1", "hw4", "report", "scratch"].map(|name| folder.join(name).with_extension("ipynb"));
    for notebook in &notebooks {
        std::fs::copy(root.join("notebooks").join(notebook.file_name().unwrap()), notebook).unwrap();
    }
    execute("report", &notebooks, &folder);
    for notebook in &notebooks {
        check_outputs(notebook);
        let pdf = std::fs::read(notebook.with_extension("pdf")).unwrap();
        assert!(pdf.starts_with(b"%PDF") && pdf.len() > 20_000, "{} bytes of PDF", pdf.len());
    }
    the_command_makes_the_same_runs(&folder);
    let lab1 = &notebooks[0];
    let first = std::fs::read_to_string(lab1).unwrap();
    execute("run", std::slice::from_ref(lab1), &folder);
    let second = std::fs::read_to_string(lab1).unwrap();
    assert!(first == second, "executed twice, {} differs from itself", lab1.display());
}

/// Runs `cargo lab report` or `cargo lab run` on these notebooks.
fn execute(subcommand: &str, notebooks: &[PathBuf], checkpoints: &Path) {
    let mut command = lab();
    command.arg(subcommand).args(notebooks).arg("--tiny");
    command.env("LAB_DATA", generated_data()).env("LAB_CHECKPOINTS", checkpoints);
    let result = command.output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
}

/// `cargo lab finetune` finds all of its runs recorded by the notebook.
fn the_command_makes_the_same_runs(checkpoints: &Path) {
    let mut command = lab();
    command.arg("finetune").env("LAB_SCALE", "tiny");
    command.env("LAB_DATA", generated_data()).env("LAB_CHECKPOINTS", checkpoints);
    let printed = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert_eq!(printed.matches("Recorded on ").count(), 12, "{printed}");
}

/// Every cell has run, none with an error, and there are figures.
fn check_outputs(notebook: &Path) {
    let executed: Value = serde_json::from_slice(&std::fs::read(notebook).unwrap()).unwrap();
    let cells = executed["cells"].as_array().unwrap().iter().filter(|cell| cell["cell_type"] == "code");
    let mut figures = 0;
    for cell in cells {
        let id = format!("{}, cell {}", notebook.display(), cell["id"]);
        assert!(cell["execution_count"].is_u64(), "{id} has not run");
        for output in cell["outputs"].as_array().unwrap() {
            assert_ne!(output["output_type"], "error", "{id}: {output}");
            assert_ne!(output["name"], "stderr", "{id}: {output}");
            figures += usize::from(output["data"]["image/png"].is_string());
        }
    }
    assert!(figures > 0, "{} shows no figure", notebook.display());
}
