//! `cargo lab run`: how it ends, by the user's will or by a cell, and what it saves.

use homework_tests::notebook::{notebook, outputs, read, text, write};
use homework_tests::{generated_data, lab, project_root};
use serde_json::json;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// In the environment of all that a test starts, with the test's name, so that what is left of it can be found.
const MARK: &str = "LAB_TEST";

const INTERRUPT: i32 = 2;
const KILL: i32 = 9;
const TERMINATE: i32 = 15;

fn run(notebook: &Path, test: &str) -> Command {
    let mut command = lab();
    command.arg("run").arg(notebook).arg("--tiny").env("LAB_DATA", generated_data()).env(MARK, test);
    command
}

/// Waits until it holds, for at most a minute.
#[track_caller]
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The processes that were started for the test; only Linux can tell.
fn left(test: &str) -> Vec<String> {
    let mark = format!("{MARK}={test}").into_bytes();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let marked = processes.filter(|process| {
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == mark)
    });
    let command = |process: std::fs::DirEntry| std::fs::read_to_string(process.path().join("cmdline"));
    marked.filter_map(|process| command(process).ok()).collect()
}

/// A run that is in its second cell, which does not end.
fn endless(test: &str) -> (std::path::PathBuf, Child) {
    let cells = [
        "println!(\"one\");",
        "println!(\"two\"); std::fs::write(\"reached\", \"\")?; loop { std::hint::black_box(0); }",
        "println!(\"three\");",
    ];
    let path = notebook(test, &cells);
    let child = run(&path, test).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the second cell", || path.with_file_name("reached").exists());
    // What it printed before has a way to go.
    std::thread::sleep(Duration::from_secs(1));
    (path, child)
}

fn send(signal: i32, child: &Child) {
    let command = format!("kill -{signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
}

fn assert_saved_up_to_the_second_cell(path: &Path) {
    let outputs = outputs(path);
    assert_eq!((outputs[0].0.trim(), outputs[2].0.trim()), ("one", ""));
    assert!(outputs[1].0.contains("two"), "{outputs:?}");
    assert!(read(path)["metadata"]["lab"].is_null(), "it was not executed to its end");
}

#[test]
fn a_signal_ends_the_run_and_saves_the_outputs_so_far() {
    for signal in [INTERRUPT, TERMINATE] {
        let test = format!("a_signal_ends_the_run_{signal}");
        let (path, child) = endless(&test);
        send(signal, &child);
        let result = child.wait_with_output().unwrap();
        assert_eq!(result.status.signal(), Some(signal));
        let message = String::from_utf8_lossy(&result.stderr);
        assert!(message.contains("was stopped in code cell 2"), "{message}");
        assert_eq!(left(&test), Vec::<String>::new());
        assert_saved_up_to_the_second_cell(&path);
    }
}

#[test]
fn a_killed_run_leaves_no_process() {
    let test = "a_killed_run_leaves_no_process";
    let (path, mut child) = endless(test);
    send(KILL, &child);
    child.wait().unwrap();
    wait_until("the end of all processes", || left(test).is_empty());
    assert_saved_up_to_the_second_cell(&path);
}

#[test]
fn a_run_that_is_stopped_before_its_first_cell_changes_nothing() {
    let test = "a_run_that_is_stopped_before_its_first_cell";
    let path = notebook(test, &["1 + 1"]);
    let mut content = read(&path);
    content["cells"][0]["outputs"] =
        json!([{ "output_type": "stream", "name": "stdout", "text": "as before" }]);
    write(&path, &content);
    let child = run(&path, test).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("Python", || left(test).iter().any(|command| command.contains("execute.py")));
    send(TERMINATE, &child);
    let result = child.wait_with_output().unwrap();
    assert_eq!(result.status.signal(), Some(TERMINATE));
    assert!(String::from_utf8_lossy(&result.stderr).contains("before its first cell"));
    assert_eq!(read(&path), content);
    assert_eq!(left(test), Vec::<String>::new());
}

/// What the run said when it failed.
fn failure(result: &Output) -> String {
    assert!(!result.status.success());
    String::from_utf8_lossy(&result.stderr).into_owned()
}

#[test]
fn a_cell_that_may_fail_does_not_end_the_run() {
    let test = "a_cell_that_may_fail_does_not_end_the_run";
    let path = notebook(test, &["let wrong: u32 = \"\";", "println!(\"on\");", "unknown()", "1 + 1"]);
    let mut content = read(&path);
    content["cells"][0]["metadata"]["tags"] = json!(["raises-exception"]);
    let heading = json!({ "cell_type": "markdown", "id": "heading", "metadata": {}, "source": "# Part two" });
    content["cells"].as_array_mut().unwrap().insert(2, heading);
    write(&path, &content);
    let message = failure(&run(&path, test).output().unwrap());
    assert_eq!(outputs(&path)[1].0, "on\n");
    for part in ["notebook.ipynb, code cell 3 (Part two) failed:", "    unknown()", "cannot find function"] {
        assert!(message.contains(part), "no {part:?} in {message}");
    }
    assert!(!message.contains('\x1b'), "{message:?}");
}

#[test]
fn a_line_that_is_written_over_is_saved_as_it_was_last() {
    let test = "a_line_that_is_written_over_is_saved_as_it_was_last";
    let path = notebook(test, &["println!(\"first\\n 10 %\\r 50 %\\r100 %\\rab\\nlast\");"]);
    let result = run(&path, test).output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    assert_eq!(outputs(&path)[0].0, "first\nab0 %\nlast\n");
}

#[test]
fn evcxr_jupyter_is_not_trusted_with_failures() {
    let test = "evcxr_jupyter_is_not_trusted_with_failures";
    let path = notebook(test, &["1 + 1", "let number: u32 = \"no\".parse()?;", "println!(\"on\");"]);
    let before = read(&path);
    let copy = path.with_file_name(format!("{test}.ipynb"));
    std::fs::rename(&path, &copy).unwrap();
    let result = run(&copy, test).args(["--kernel", "evcxr"]).output().unwrap();
    let message = String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success() && message.contains("standard error: 2."), "{message}");
    assert_eq!(read(&copy), before, "the notebook itself is left alone");
    let executed = project_root().join(format!(".lab/executed/evcxr/{test}.ipynb"));
    assert_eq!(outputs(&executed)[2].0, "on\n");
    std::fs::remove_file(executed).unwrap();
}

#[test]
fn outputs_are_saved_in_their_order_and_as_they_were_last() {
    let test = "outputs_are_saved_in_their_order";
    let block = |content: &serde_json::Value| {
        let begin = "EVCXR_BEGIN_CONTENT application/vnd.lab.output+json";
        format!("println!(\"{begin}\\n{{}}\\nEVCXR_END_CONTENT\", r#\"{content}\"#);")
    };
    let show = |operation: &str, text: &str| {
        block(
            &json!({ "op": operation, "data": { "text/plain": text }, "metadata": {}, "display_id": "one" }),
        )
    };
    let both = [
        "println!(\"before\");",
        &show("display", "first"),
        "for step in 0..9 { print!(\"\\r{step}\"); }",
        &show("update", "second"),
        "println!(\" steps\");",
    ];
    let path = notebook(test, &[&both.concat(), &show("update", "third")]);
    let result = run(&path, test).output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let saved = read(&path);
    let shown = saved["cells"][0]["outputs"].as_array().unwrap().iter().map(|output| {
        text(if output["text"].is_null() { &output["data"]["text/plain"] } else { &output["text"] })
    });
    assert_eq!(shown.collect::<Vec<_>>(), ["before\n", "third", "8 steps\n"]);
    assert_eq!(saved["cells"][1]["outputs"], json!([]));
}
