//! `cargo lab train` as a process: killed, continued, found finished, and kept from overwriting.

use homework_tests::{generated_data, lab, scratch_folder};
use kernel_helpers::train_util::RunRecord;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn train(out: &Path, seed: &str) -> Command {
    let mut command = lab();
    command.args(["train", "--epochs", "12", "--batch-size", "64", "--seed", seed, "--out"]).arg(out);
    command.env("LAB_DATA", generated_data()).env("LAB_SCALE", "tiny").stdin(Stdio::null());
    command
}

fn output(mut command: Command) -> (bool, String) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn a_killed_training_is_continued_to_the_same_bits() {
    let folder = scratch_folder("train");
    let [undisturbed, killed] =
        ["undisturbed", "killed"].map(|name| folder.join(name).with_extension("safetensors"));
    let (success, text) = output(train(&undisturbed, "0"));
    assert!(success && text.contains("Epoch 12/12"), "{text}");

    let mut child = train(&killed, "0").stdout(Stdio::null()).spawn().unwrap();
    let (state, start) = (killed.with_extension("state.safetensors"), Instant::now());
    while !state.exists() {
        assert!(
            start.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none(),
            "no state"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!killed.exists(), "killed too late for this test");

    let (success, text) = output(train(&killed, "1"));
    assert!(!success && text.contains("seed: 0 there, 1 here"), "{text}");
    let (success, text) = output(train(&killed, "0"));
    assert!(success && text.contains("Continuing after epoch"), "{text}");
    assert!(!state.exists());
    assert_eq!(std::fs::read(&killed).unwrap(), std::fs::read(&undisturbed).unwrap());
    let records = [&undisturbed, &killed].map(|out| RunRecord::load(out.with_extension("json")).unwrap());
    assert_eq!(records[0].last_state_sha256, records[1].last_state_sha256);
    assert_eq!(records[0].history, records[1].history);
    assert!(records[1].command.as_ref().unwrap().starts_with("cargo lab train --epochs 12 "));

    let (success, text) = output(train(&killed, "0"));
    assert!(success && text.contains("Recorded on ") && !text.contains("Epoch 1/12"), "{text}");
    let (success, text) = output(train(&killed, "1"));
    assert!(!success && text.contains("seed: 0 there, 1 here"), "{text}");
}
