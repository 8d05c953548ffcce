//! The kernel as a notebook in JupyterLab meets it: the stop button, several kernels, what a cell can look up.

use homework_tests::{generated_data, lab, project_root, scratch_folder};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant, SystemTime};

/// A session with a kernel in `folder`, started; see `kernel_session.py` for the steps.
fn start(folder: &Path, steps: &Value) -> std::process::Child {
    static SET_UP: Once = Once::new();
    SET_UP.call_once(|| assert!(lab().arg("setup").status().unwrap().success()));
    Command::new(project_root().join(".lab/venv/bin/python"))
        .arg(project_root().join("tests/tests/kernel_session.py"))
        .arg(steps.to_string())
        .current_dir(folder)
        .env("JUPYTER_PREFER_ENV_PATH", "1")
        .env("LAB_DATA", generated_data())
        .env("CARGO_NET_OFFLINE", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The kernel's process id, and what came of each step.
fn results(output: &Output) -> (u64, Vec<Value>) {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    let answer: Value = serde_json::from_str(line)
        .unwrap_or_else(|_| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)));
    (answer["pid"].as_u64().unwrap(), answer["results"].as_array().unwrap().clone())
}

fn session(folder: &Path, steps: &Value) -> (u64, Vec<Value>) {
    results(&start(folder, steps).wait_with_output().unwrap())
}

fn running_folder(pid: u64) -> PathBuf {
    project_root().join(".lab/kernel/running").join(pid.to_string())
}

/// Whether a process that runs from a kernel's folder is gone within some seconds; only Linux can tell.
fn all_ended(pid: u64) -> bool {
    let folder = running_folder(pid).display().to_string();
    let is_left = || {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut commands = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        commands.any(|command| String::from_utf8_lossy(&command).contains(&folder))
    };
    let started = Instant::now();
    while is_left() {
        if started.elapsed() > Duration::from_secs(5) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    true
}

/// What the kernels share: each compiled file and note of cargo's with its content's time and length.
fn shared_files() -> BTreeMap<PathBuf, (SystemTime, u64)> {
    let mut files = BTreeMap::new();
    let mut folders = vec![project_root().join(".lab/kernel/warm/ctx/target")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.metadata().unwrap();
            if metadata.is_dir() {
                folders.push(path);
            } else {
                files.insert(path, (metadata.modified().unwrap(), metadata.len()));
            }
        }
    }
    files
}

#[track_caller]
fn assert_has(result: &Value, key: &str, part: &str) {
    assert!(
        result[key].as_str().is_some_and(|text| text.contains(part)),
        "no {part:?} in {key} of {result:#}"
    );
}

#[test]
fn a_notebook_is_stopped_looked_up_in_and_extended() {
    let folder = scratch_folder("a_notebook_is_stopped").join("subfolder");
    let own = folder.join("own");
    std::fs::create_dir_all(own.join("src")).unwrap();
    std::fs::write(own.join("Cargo.toml"), "[package]\nname = \"own\"\nversion = \"0.1.0\"\n").unwrap();
    std::fs::write(own.join("src/lib.rs"), "pub fn seven() -> u32 { 7 }\n").unwrap();
    let (pid, results) = session(
        &folder,
        &json!([
            // No boilerplate, in a folder below.
            { "cell": "let net = ResNetCifar::new(ResNetConfig::default(), &Device::Cpu)?;\n\
                       let data = Cifar10::load(Scale::Tiny)?;\npercent(0.5)" },
            { "cell": "println!(\"training\");\n\
                       let config = TrainConfig { epochs: 10_000, log_every_epochs: 0, ..Default::default() };\n\
                       let history = train(&net, &data, &config)?;\n\
                       let second = train(&net, &data, &config);",
              "stops": 1 },
            { "cell": "println!(\"{:?} {:?}\", history.note, second.map(|_| ()));" },
            { "cell": "println!(\"testing\"); loop { test(&net, &data)?; }", "stops": 1 },
            { "complete": "net.load_w" },
            { "inspect": "prune_layers(" },
            { "cell": "Tensor::zeros((2, 3), DType::F32, &Device::Cpu)?.matmul(&Tensor::zeros((2, 3), DType::F32, &Device::Cpu)?)?" },
            { "cell": "let answer = net.unknown_method();" },
            { "cell": "let kept = 42; panic!(\"no\");" },
            { "cell": ":dep own = { path = \"own\" }\nprintln!(\"{}\", own::seven());" },
            { "cell": "let w = Var::new(&[1f64, 2.0, 3.0], &Device::Cpu)?;" },
            { "cell": ":dep candle-core = \"0.11.1\"\nuse candle_core::Tensor as Own;\n\
                       let x: Own = Own::new(&[10f64, 20.0, 30.0], &Device::Cpu)?;\n\
                       let gradients = (w.as_tensor() * &x)?.sum_all()?.backward()?;\n\
                       println!(\"{:?}\", gradients.get(&w).unwrap().to_vec1::<f64>()?);" },
            { "cell": "println!(\"endless\"); loop { std::hint::black_box(0); }", "stops": 2 },
            { "cell": "percent(0.25)" },
        ]),
    );
    assert_has(&results[0], "shown", "50.00 %");
    assert_has(&results[1], "stdout", "stopped after epoch");
    assert_has(&results[2], "stdout", "stopped after epoch");
    assert_has(&results[2], "stdout", "no further training starts in this cell");
    assert_has(&results[3], "stderr", "images were tested");
    assert_eq!(results[4]["matches"], json!(["load_weights(path)"]));
    assert_has(&results[5], "shown", "prunable layer");
    let message = results[6]["stderr"].as_str().unwrap().trim();
    assert_eq!(message, "shape mismatch in matmul, lhs: [2, 3], rhs: [2, 3]");
    assert_has(&results[7], "error", "no method named `unknown_method`");
    assert_eq!(results[8]["stderr"], "panicked: no\n");
    assert_has(&results[9], "stdout", "7");
    assert_has(&results[11], "stdout", "[10.0, 20.0, 30.0]");
    assert_has(&results[12], "stderr", "All variables are lost");
    assert_has(&results[13], "shown", "25.00 %");
    assert!(all_ended(pid), "processes of kernel {pid} are left");
    assert!(!running_folder(pid).exists());
}

#[test]
fn kernels_run_side_by_side_and_clean_up_after_a_killed_one() {
    let folder = scratch_folder("kernels_run_side_by_side");
    let (killed, _) = session(&folder, &json!([{ "cell": "percent(0.5)" }, { "kill": true }]));
    assert!(all_ended(killed), "processes of the killed kernel {killed} are left");
    let shared = shared_files();
    let steps = |number: u32| json!([{ "cell": format!("let number = {number};") }, { "cell": "println!(\"{number}\");" }]);
    let both = [1, 2].map(|number| start(&folder, &steps(number)));
    for (number, child) in [1, 2].into_iter().zip(both) {
        let (_, results) = results(&child.wait_with_output().unwrap());
        assert_has(&results[1], "stdout", &number.to_string());
    }
    assert!(!running_folder(killed).exists(), "the folder of the killed kernel {killed} is left");
    let now = shared_files();
    let written: Vec<_> = now.iter().filter(|(path, state)| shared.get(*path) != Some(*state)).collect();
    assert!(written.is_empty(), "a kernel has written into what it shares with others: {written:#?}");
}
