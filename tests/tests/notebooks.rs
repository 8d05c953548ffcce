//! All notebooks from the first cell to the last, on generated data at the smallest scale.

use homework_tests::{generated_data, lab, project_root, scratch_folder};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn every_notebook_runs_without_an_error() {
    let root = project_root();
    let folder = scratch_folder("notebooks");
    std::fs::create_dir_all(folder.join("sweeps")).unwrap();
    for file in
        ["resnet20.safetensors", "pretrained_model.scan.json", "sweeps/bits.json", "sweeps/what-pays.json"]
    {
        std::fs::copy(root.join("checkpoints").join(file), folder.join(file)).unwrap();
    }
    let notebooks =
        ["lab1", "hw4", "report", "deploy", "scratch"].map(|name| folder.join(name).with_extension("ipynb"));
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

/// The notebooks go on working in the kernel that comes with evcxr, which shows what it can of them.
#[test]
fn notebooks_run_in_evcxr_jupyter_too() {
    let root = project_root();
    let folder = scratch_folder("notebooks_in_evcxr_jupyter");
    std::fs::copy(root.join("checkpoints/resnet20.safetensors"), folder.join("resnet20.safetensors"))
        .unwrap();
    let home = folder.join("home");
    let own_kernel = home.join(".local/share/jupyter/kernels/rust/kernel.json");
    std::fs::create_dir_all(own_kernel.parent().unwrap()).unwrap();
    std::fs::write(&own_kernel, "of the user").unwrap();
    let names = ["lab1", "scratch"].map(|name| format!("in-evcxr-{name}.ipynb"));
    for (name, notebook) in names.iter().zip(["lab1.ipynb", "scratch.ipynb"]) {
        std::fs::copy(root.join("notebooks").join(notebook), folder.join(name)).unwrap();
    }
    let copies = names.clone().map(|name| root.join(".lab/executed/evcxr").join(name));
    let message = execute_with("run", &names.map(|name| folder.join(name)), &folder, |command| {
        // evcxr_jupyter would replace the kernel that it finds here; cargo and rustup stay where they are.
        let homes = [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")];
        for (variable, default) in homes {
            let there = std::env::var_os(variable).map(PathBuf::from);
            let default = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(default);
            command.env(variable, there.unwrap_or_else(default));
        }
        command.env("HOME", &home).env_remove("XDG_DATA_HOME").args(["--kernel", "evcxr"]);
    });
    assert!(!message.contains("standard error"), "{message}");
    for copy in &copies {
        check_outputs(copy);
        let executed: Value = serde_json::from_slice(&std::fs::read(copy).unwrap()).unwrap();
        assert_eq!(executed["metadata"]["kernelspec"]["name"], "evcxr");
        std::fs::remove_file(copy).unwrap();
    }
    assert_eq!(std::fs::read_to_string(own_kernel).unwrap(), "of the user");
}

/// Runs `cargo lab report` or `cargo lab run` on these notebooks.
fn execute(subcommand: &str, notebooks: &[PathBuf], checkpoints: &Path) {
    execute_with(subcommand, notebooks, checkpoints, |_| {});
}

/// The same with more arguments; returns what was said.
fn execute_with(
    subcommand: &str,
    notebooks: &[PathBuf],
    checkpoints: &Path,
    prepare: impl Fn(&mut Command),
) -> String {
    let mut command = lab();
    command.arg(subcommand).args(notebooks).arg("--tiny");
    command.env("LAB_DATA", generated_data()).env("LAB_CHECKPOINTS", checkpoints);
    prepare(&mut command);
    let result = command.output().unwrap();
    let message = String::from_utf8_lossy(&result.stderr).into_owned();
    assert!(result.status.success(), "{message}");
    message
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
