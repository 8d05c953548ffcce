//! Runs whose file operations fail, and whose process dies, at each place there is.

use super::*;
use base::files::faults::{DIE_AT, Plan, with};
use std::process::Command;

/// The folder in which a child process trains, and the run and the configuration that it trains.
const FOLDER: &str = "KERNEL_HELPERS_TEST_FOLDER";
const CASE: &str = "KERNEL_HELPERS_TEST_CASE";

/// The two configurations of each procedure, which save to the same file.
fn cases() -> Vec<(Run, f64)> {
    RUNS.into_iter().flat_map(|run| [(run, 0.05), (run, 0.02)]).collect()
}

fn case_config(folder: &Path, number: usize) -> TrainConfig {
    let name = format!("net-{}.safetensors", number / 2);
    TrainConfig { learning_rate: cases()[number].1, epochs: 3, ..config(&folder.join(name)) }
}

fn run_case(folder: &Path, number: usize) -> Result<History> {
    cases()[number].0(&TestNet::new(None), &case_config(folder, number))
}

/// What a case ends with where nothing disturbs it: the weights and the state's sum after the last epoch.
fn expected(number: usize) -> (Vec<u8>, Option<String>) {
    let folder = tempfile::tempdir().unwrap();
    run_case(folder.path(), number).unwrap();
    ending(folder.path(), number)
}

fn ending(folder: &Path, number: usize) -> (Vec<u8>, Option<String>) {
    let files = RunFiles::of(case_config(folder, number).save_to.unwrap());
    let record = RunRecord::load(files.record()).unwrap();
    (read(files.weights()), record.last_state_sha256)
}

/// Whatever happened to the second configuration, it ends with its bits, and the first one is still there.
fn check(folder: &Path, number: usize, [first, second]: &[(Vec<u8>, Option<String>); 2], at: &str) {
    run_case(folder, number + 1).unwrap_or_else(|error| panic!("{at}: {error}"));
    assert_eq!(ending(folder, number + 1), *second, "{at}");
    let history = run_case(folder, number).unwrap();
    assert!(history.recorded_on.is_some(), "{at}: the first run was lost");
    assert_eq!(ending(folder, number), *first, "{at}");
    let left = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| !name.to_string_lossy().starts_with(".partial-")).collect();
    assert_eq!(left.len(), 4, "{at}: {left:?}");
}

#[test]
fn each_file_operation_can_fail() {
    for number in [0, 2, 4] {
        let expected = [expected(number), expected(number + 1)];
        for fail_at in 0.. {
            let folder = tempfile::tempdir().unwrap();
            run_case(folder.path(), number).unwrap();
            let plan = Plan { fail_at: Some(fail_at), ..Default::default() };
            let (result, made) = with(plan, || run_case(folder.path(), number + 1));
            let Some(operation) = made.get(fail_at) else {
                assert!(result.is_ok() && fail_at > 30, "only {fail_at} operations");
                break;
            };
            if let Err(error) = result {
                assert!(error.to_string().contains("a fault on purpose"), "{operation}: {error}");
            }
            check(folder.path(), number, &expected, &format!("{fail_at}, {operation}"));
        }
    }
}

#[test]
fn the_process_can_die_at_each_file_operation() {
    let this = concat!(module_path!(), "::one_case_in_a_process_of_its_own");
    let this = this.split_once("::").unwrap().1;
    for number in [0, 2, 4] {
        let expected = [expected(number), expected(number + 1)];
        for die_at in 0.. {
            let folder = tempfile::tempdir().unwrap();
            run_case(folder.path(), number).unwrap();
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args([this, "--exact", "--ignored"]).env(DIE_AT, die_at.to_string());
            child.env(FOLDER, folder.path()).env(CASE, (number + 1).to_string());
            let output = child.output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            if output.status.success() {
                assert!(text.contains("1 passed") && die_at > 30, "only {die_at} operations: {text}");
                break;
            }
            assert!(!text.contains("FAILED"), "{text}");
            check(folder.path(), number, &expected, &format!("{die_at}"));
        }
    }
}

#[test]
#[ignore = "it is the other test's child process"]
fn one_case_in_a_process_of_its_own() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let (folder, number) = (variable(FOLDER), variable(CASE).parse().unwrap());
    let plan = Plan { die_at: Some(variable(DIE_AT).parse().unwrap()), ..Default::default() };
    with(plan, || run_case(Path::new(&folder), number)).0.unwrap();
}
