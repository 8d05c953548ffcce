//! All notebooks from the first cell to the last, on generated data at the smallest scale.

use homework_tests::{generated_data, lab, project_root, scratch_folder};
use serde_json::Value;

#[test]
fn every_notebook_runs_without_an_error() {
    let root = project_root();
    let folder = scratch_folder("notebooks");
    std::fs::copy(root.join("checkpoints/resnet20.safetensors"), folder.join("resnet20.safetensors"))
        .unwrap();
    let notebooks =
        ["lab1", "hw4", "report", "scratch"].map(|name| folder.join(name).with_extension("ipynb"));
    for notebook in &notebooks {
        std::fs::copy(root.join("notebooks").join(notebook.file_name().unwrap()), notebook).unwrap();
    }
    let mut command = lab();
    command.arg("report").args(&notebooks).arg("--tiny");
    let result = command.env("LAB_DATA", generated_data()).env("LAB_CHECKPOINTS", &folder).output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    for notebook in &notebooks {
        check_outputs(notebook);
        let pdf = std::fs::read(notebook.with_extension("pdf")).unwrap();
        assert!(pdf.starts_with(b"%PDF") && pdf.len() > 20_000, "{} bytes of PDF", pdf.len());
    }
}

/// Every cell has run, none with an error, and there are figures.
fn check_outputs(notebook: &std::path::Path) {
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
