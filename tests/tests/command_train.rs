//! `cargo lab train` as a process: killed or stopped, continued, found finished, and kept beside another run.

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

/// How many runs to `out` are unfinished.
fn unfinished(out: &Path) -> usize {
    let start = format!("{}.", out.file_stem().unwrap().to_str().unwrap());
    let names = std::fs::read_dir(out.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.filter_map(|name| name.into_string().ok());
    names.filter(|name| name.starts_with(&start) && name.ends_with(".state.safetensors")).count()
}

/// Waits until a training has saved its state.
fn wait_for_state(child: &mut Child, out: &Path) {
    let start = Instant::now();
    while unfinished(out) == 0 {
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
        assert!(success && text.contains("keeps epoch ") && text.contains("seed: 0 there, 1 here"), "{text}");
        assert_eq!((record(out).run.seed, unfinished(out)), (1, 1));
        let (success, text) = output(train(out, "0"));
        assert!(success && text.contains("Continuing after epoch"), "{text}");
        assert!(text.contains("records another run, which will be kept"), "{text}");
        assert_eq!(unfinished(out), 0);
        assert_eq!(std::fs::read(out).unwrap(), std::fs::read(path("undisturbed")).unwrap());
        let (found, expected) = (record(out), record(&path("undisturbed")));
        assert_eq!(found.last_state_sha256, expected.last_state_sha256);
        assert_eq!(found.history, expected.history);
        assert!(found.command.unwrap().starts_with("LAB_SCALE=tiny cargo lab train --epochs 12 "));
    }

    for seed in ["1", "0"] {
        let (success, text) = output(train(&killed, seed));
        // The log of the run, from its record.
        let log = text.find("Epoch 12/12").zip(text.find("Recorded on "));
        assert!(success && log.is_some_and(|(last, record)| last < record), "{text}");
        assert_eq!(record(&killed).run.seed.to_string(), seed);
    }
    let mut command = train(&killed, "0");
    command.env("LAB_RETRAIN", "1");
    let (success, text) = output(command);
    assert!(success && text.contains("Epoch 1/12") && !text.contains("recorded"), "{text}");

    let runs = |arguments: &[&str]| {
        let mut command = lab();
        command.args(["runs", "--folder"]).arg(&folder).args(arguments);
        output(command)
    };
    let (success, text) = runs(&[]);
    assert!(success && text.contains("5 runs in ") && text.contains("batches of 64"), "{text}");
    let (success, text) = runs(&["--remove", "killed", "nowhere"]);
    assert!(!success && text.contains("no run `nowhere`") && killed.exists(), "{text}");
    assert!(runs(&["--remove", "killed", "stopped"]).0);
    assert!(!killed.exists() && runs(&[]).1.contains("3 runs in "));
}

#[test]
fn weights_may_have_the_name_of_another_runs_record() {
    let folder = scratch_folder("train-names");
    let out = folder.join("net.json");
    for _ in 0..2 {
        let mut command = lab();
        command.args(["train", "--epochs", "1", "--out"]).arg(&out);
        command.env("LAB_DATA", generated_data()).env("LAB_SCALE", "tiny");
        let (success, text) = output(command);
        assert!(success, "{text}");
        assert!(RunRecord::load(folder.join("net.json.json")).unwrap().command.is_some());
    }
}
