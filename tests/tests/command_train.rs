//! `cargo lab train` as a process: killed or stopped, continued, found finished, and kept from overwriting.

use homework_tests::{generated_data, lab, scratch_folder};
use kernel_helpers::train_util::RunRecord;
use std::path::Path;
use std::process::{Child, Command, Stdio};
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

/// Waits until a training has saved its state.
fn wait_for_state(child: &mut Child, out: &Path) {
    let (state, start) = (out.with_extension("state.safetensors"), Instant::now());
    while !state.exists() {
        let running = child.try_wait().unwrap().is_none();
        assert!(running && start.elapsed() < Duration::from_secs(120), "no state");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn record(out: &Path) -> RunRecord {
    RunRecord::load(out.with_extension("json")).unwrap()
}

#[test]
fn a_training_is_continued_to_the_same_bits() {
    let folder = scratch_folder("train");
    let path = |name: &str| folder.join(name).with_extension("safetensors");
    let (success, text) = output(train(&path("undisturbed"), "0"));
    assert!(success && text.contains("Epoch 12/12"), "{text}");

    let (killed, stopped) = (path("killed"), path("stopped"));
    let mut child = train(&killed, "0").stdout(Stdio::null()).spawn().unwrap();
    wait_for_state(&mut child, &killed);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!killed.exists(), "killed too late for this test");

    // What the notebook's stop button does.
    let stop_file = folder.join("stop");
    let mut command = train(&stopped, "0");
    let mut child = command.env("LAB_STOP_FILE", &stop_file).stdout(Stdio::null()).spawn().unwrap();
    wait_for_state(&mut child, &stopped);
    std::fs::write(&stop_file, "stop").unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!stopped.exists(), "stopped too late for this test");

    for out in [&killed, &stopped] {
        let (success, text) = output(train(out, "1"));
        assert!(!success && text.contains("seed: 0 there, 1 here"), "{text}");
        let (success, text) = output(train(out, "0"));
        assert!(success && text.contains("Continuing after epoch"), "{text}");
        assert!(!out.with_extension("state.safetensors").exists());
        assert_eq!(std::fs::read(out).unwrap(), std::fs::read(path("undisturbed")).unwrap());
        let (found, expected) = (record(out), record(&path("undisturbed")));
        assert_eq!(found.last_state_sha256, expected.last_state_sha256);
        assert_eq!(found.history, expected.history);
        assert!(found.command.unwrap().starts_with("LAB_SCALE=tiny cargo lab train --epochs 12 "));
    }

    let (success, text) = output(train(&killed, "0"));
    assert!(success && text.contains("Recorded on ") && !text.contains("Epoch 1/12"), "{text}");
    let mut command = train(&killed, "0");
    command.env("LAB_RETRAIN", "1");
    let (success, text) = output(command);
    assert!(success && text.contains("Epoch 1/12") && !text.contains("recorded"), "{text}");
    let (success, text) = output(train(&killed, "1"));
    assert!(!success && text.contains("seed: 0 there, 1 here"), "{text}");
}
