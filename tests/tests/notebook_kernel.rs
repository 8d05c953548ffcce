//! Cells through the real kernel, executed as `cargo lab run` executes a notebook.

use homework_tests::notebook::{notebook, outputs};
use homework_tests::{generated_data, lab, project_root};
use std::path::Path;
use std::process::Output;

fn run(notebook: &Path) -> Output {
    let mut command = lab();
    command.arg("run").arg(notebook).arg("--tiny").env("LAB_DATA", generated_data());
    command.output().unwrap()
}

#[test]
fn gradients_are_right_across_cells() {
    // With candle linked into each cell, w and x would both be tensor number 1, and the gradient of w [11, 22, 33].
    let path = notebook(
        "gradients_are_right_across_cells",
        &[
            "let w = Var::new(&[1f64, 2.0, 3.0], &Device::Cpu)?;",
            "let x = Tensor::new(&[10f64, 20.0, 30.0], &Device::Cpu)?;",
            "let gradients = (w.as_tensor() * &x)?.sum_all()?.backward()?;\n\
             println!(\"{:?}\", gradients.get(&w).unwrap().to_vec1::<f64>()?);",
            "Table::new([\"bits\", \"accuracy\"]).row((4, percent(0.9)))",
            "plot_loss(&[1.0, 0.1, 0.01]).draw()?",
        ],
    );
    let result = run(&path);
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let outputs = outputs(&path);
    assert_eq!(outputs[2].0.trim(), "[10.0, 20.0, 30.0]");
    assert!(outputs[3].1.contains(&"text/markdown".to_owned()), "{:?}", outputs[3]);
    assert!(outputs[4].1.contains(&"image/png".to_owned()), "{:?}", outputs[4]);
}

#[test]
fn a_failing_cell_ends_the_run_and_is_named() {
    let path = notebook(
        "a_failing_cell_ends_the_run_and_is_named",
        &["let kept = 1;", "load_state_dict(\"no such file.pt\")?;", "println!(\"never reached\");"],
    );
    let result = run(&path);
    let message = String::from_utf8_lossy(&result.stderr).into_owned();
    assert!(!result.status.success());
    for part in ["code cell 2", "load_state_dict", "no such file.pt"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert_eq!(outputs(&path)[2].0, "", "cells after the failing one are not run");
}

#[test]
fn what_a_cell_prints_last_arrives() {
    // evcxr does not wait for standard error: without the relay's wait, most of these lines come after the cell's end.
    let cell = "for number in 0..1000 { eprintln!(\"{number}\"); }";
    let path = notebook("what_a_cell_prints_last_arrives", &[cell; 6]);
    let result = run(&path);
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let lines: String = (0..1000).map(|number| format!("{number}\n")).collect();
    for (printed, _) in outputs(&path) {
        assert!(printed == lines, "the last line is {:?}", printed.lines().last());
    }
}

#[test]
fn another_seed_leaves_the_notebook_and_its_results_alone() {
    let test = "another_seed_leaves_the_notebook_and_its_results_alone";
    let path = notebook(
        test,
        &[
            "use kernel_helpers::homework::prelude::*;\nprintln!(\"{}\", output_dir(Scale::from_env()?, seed_from_env()?)?.display());",
        ],
    );
    let checkpoints = path.parent().unwrap();
    let checkpoint = "resnet20.safetensors";
    std::fs::copy(project_root().join("checkpoints").join(checkpoint), checkpoints.join(checkpoint)).unwrap();
    let before = std::fs::read(&path).unwrap();
    let mut command = lab();
    command.arg("run").arg(&path).args(["--tiny", "--seed", "3"]).env("LAB_DATA", generated_data());
    let result = command.env("LAB_CHECKPOINTS", checkpoints).output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let executed = project_root().join(".lab/executed/seed-3/notebook.ipynb");
    assert!(outputs(&executed)[0].0.trim().ends_with("resnet20/generated/tiny/seed-3"));
    std::fs::remove_file(executed).unwrap();
}
