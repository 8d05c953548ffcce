//! `cargo lab bench --networks`, alone and beside a PyTorch that says what the test wants.

use homework_tests::{lab, scratch_folder};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

/// Measures two small networks, in little time.
fn bench(arguments: &[&str]) -> Output {
    let few = ["--batch-size", "8", "--steps", "1"];
    lab().args(["bench", "--networks", "lenet", "mlp"]).args(few).args(arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn networks_are_measured_one_by_one() {
    let output = bench(&["--turns", "1", "--threads", "1", "--json"]);
    let report = json(&output);
    let sizes = ["turns", "batch_size", "steps", "threads"].map(|key| number(&report[key]));
    assert_eq!(sizes, [1.0, 8.0, 1.0, 1.0]);
    let networks = report["networks"].as_array().unwrap();
    let names: Vec<&str> = networks.iter().filter_map(|network| network["network"].as_str()).collect();
    assert_eq!(names, ["lenet", "mlp"]);
    for network in networks {
        let rate = number(&network["lab"]["train_img_per_s"]);
        assert!(rate > 0.0 && number(&network["lab"]["eval_img_per_s"]) > 0.0, "{network}");
        let gflop_per_s = 6e-9 * number(&network["multiplications"]) * rate;
        assert!((number(&network["gflop_per_s"]) / gflop_per_s - 1.0).abs() < 1e-9, "{network}");
        let share = gflop_per_s / number(&report["peak_gflop_per_s"]);
        assert!((number(&network["share_of_peak"]) / share - 1.0).abs() < 1e-9, "{network}");
        assert_eq!(network.get("train_ratio"), None);
    }
    let progress = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = progress.lines().collect();
    assert_eq!(lines[0], "turn 1 of 1: lenet, this project");
    assert!(lines[1].starts_with("turn 1 of 1: mlp, this project; about 0:"), "{progress}");
}

/// A program that stands for a Python with PyTorch: notes how it was called, and prints figures that grow from turn to turn.
fn made_up_python(test: &str) -> std::path::PathBuf {
    let folder = scratch_folder(test);
    let python = folder.join("python");
    let script = format!(
        r#"#!/bin/sh
calls='{}'
echo "$*" >> "$calls"
turn=$(grep -c -- "--network $5 " "$calls")
case "$*" in
*--channels-last) echo "{{\"train_img_per_s\": 30$turn, \"eval_img_per_s\": 10, \"memory_mb\": 80$turn}}" ;;
*) echo "{{\"train_img_per_s\": 20, \"eval_img_per_s\": 40$turn, \"memory_mb\": 1000, \"threads\": 1}}" ;;
esac
"#,
        folder.join("calls").display()
    );
    fs::write(&python, script).unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    python
}

#[test]
fn ratios_are_those_to_the_better_layout() {
    let python = made_up_python("ratios_are_those_to_the_better_layout");
    let arguments = ["--turns", "3", "--threads", "1", "--json", "--torch", python.to_str().unwrap()];
    let report = json(&bench(&arguments));
    for network in report["networks"].as_array().unwrap() {
        let ours = &network["lab"];
        // Two calls a turn, contiguous first: 401, 403, 405 and 302, 304, 306.
        let ratios = [
            ("train_ratio", number(&ours["train_img_per_s"]) / 304.0),
            ("eval_ratio", number(&ours["eval_img_per_s"]) / 403.0),
            ("memory_ratio", number(&ours["memory_mb"]) / 804.0),
        ];
        for (name, expected) in ratios {
            assert!((number(&network[name]) - expected).abs() < 1e-9 * expected, "{name} in {network}");
        }
        assert_eq!(number(&network["torch_contiguous"]["train_img_per_s"]), 20.0);
        assert_eq!(number(&network["torch_channels_last"]["eval_img_per_s"]), 10.0);
    }
    let calls = fs::read_to_string(python.with_file_name("calls")).unwrap();
    let sizes = "torch_bench.py --threads 1 --network lenet --batch-size 8 --steps 1";
    let first: Vec<&str> = calls.lines().take(2).collect();
    assert!(first[0].ends_with(sizes) && first[1].ends_with(&format!("{sizes} --channels-last")), "{calls}");
    // Turn by turn, not network by network.
    let order = calls.lines().map(|call| if call.contains(" lenet ") { 'l' } else { 'm' });
    assert_eq!(order.collect::<String>(), "llmmllmmllmm");
}

#[test]
fn a_python_without_pytorch_says_what_to_install() {
    let output = bench(&["--torch", "false"]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(message.contains("false failed; PyTorch has to be installed"), "{message}");
}

#[test]
fn an_unknown_network_is_refused_with_the_known_ones() {
    let output = lab().args(["bench", "--networks", "resnet21"]).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(message.contains("resnet20, resnet56, wrn16_4, vgg, mobilenet, lenet, mlp"), "{message}");
}
