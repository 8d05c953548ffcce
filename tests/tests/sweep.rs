//! Sweeps: on this machine, on HyperQueue's workers of which one is killed, and on Slurm where it is installed.

use homework_tests::{generated_data, lab, project_root, python, scratch_folder, skip};
use kernel_helpers::runs::SweepResults;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Twenty runs of seconds.
const SWEEP: &str = r#"
command = "cargo lab compress zeros={zeros} --seed {seed}"
scale = "tiny"
threads = 1
[axes]
zeros = [60, 70, 80, 90, 95]
seed = [0, 1, 2, 3]
"#;
const RUNS: usize = 20;

/// A folder of checkpoints with the trained network.
fn checkpoints(folder: &Path, name: &str) -> PathBuf {
    let checkpoints = folder.join(name);
    fs::create_dir_all(&checkpoints).unwrap();
    for file in ["resnet20.safetensors", "resnet20.json"] {
        fs::copy(project_root().join("checkpoints").join(file), checkpoints.join(file)).unwrap();
    }
    checkpoints
}

fn sweep(file: &Path, checkpoints: &Path) -> Command {
    let mut command = lab();
    command.arg("sweep").arg(file).env("LAB_DATA", generated_data()).env("LAB_CHECKPOINTS", checkpoints);
    command
}

/// The standard output of a command that succeeds.
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The error of a command that fails.
fn fail(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{command:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The sums of the weights that a sweep has ended with, by the commands.
fn weights(checkpoints: &Path, name: &str) -> Vec<(String, String)> {
    let results = SweepResults::load(checkpoints.join("sweeps").join(name).with_extension("json")).unwrap();
    results.runs.into_iter().map(|run| (run.command, run.weights_sha256)).collect()
}

/// A cluster that ends with the test.
struct Cluster {
    process: Child,
    /// What it has said when it was ready.
    ready: String,
}

impl Cluster {
    /// Starts a cluster that says a line with `sign` in it when it is ready, and serves until its standard input ends.
    fn start(command: &mut Command, sign: &str) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
        let ready = lines.find(|line| line.contains(sign)).expect("the cluster starts");
        Cluster { process, ready }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().expect("the cluster ends");
    }
}

#[test]
fn a_killed_worker_of_hyperqueue_costs_nothing() {
    let folder = scratch_folder("sweep");
    let file = folder.join("twenty.toml");
    fs::write(&file, SWEEP).unwrap();
    let (here, there) = (checkpoints(&folder, "here"), checkpoints(&folder, "there"));

    let cluster = Cluster::start(python().arg("tests/sweep/cluster.py").arg(&folder), "workers ");
    let worker = cluster.ready.split(' ').nth(1).unwrap();
    let mut command = sweep(&file, &there);
    command.args(["--engine", "hyperqueue", "--server"]).arg(folder.join("server"));
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while finished(&there) < 4 {
        assert!(started.elapsed() < Duration::from_secs(300), "no runs after 5 minutes");
        assert!(running.try_wait().unwrap().is_none(), "{:?}", running.wait_with_output().unwrap());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(finished(&there) < RUNS, "the worker is killed in the middle");
    succeed(Command::new("kill").args(["-KILL", worker]));
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let table = succeed(&mut sweep(&file, &here));
    assert!(table.contains("±"), "{table}");
    let expected = weights(&here, "twenty");
    assert_eq!(expected.len(), RUNS);
    assert_eq!(weights(&there, "twenty"), expected);
    // Finished, it needs neither server nor workers.
    drop(cluster);
    assert_eq!(succeed(&mut sweep(&file, &here)), table);
    assert_eq!(succeed(sweep(&file, &there).arg("--list")), "");
}

#[test]
fn slurm_makes_the_same_and_goes_on_without_the_command() {
    let name = "slurm_makes_the_same_and_goes_on_without_the_command";
    let there_is = |program: &str| Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    if !["slurmctld", "slurmd", "munged", "sbatch"]
        .iter()
        .all(|program| there_is(program).is_ok_and(|output| output.status.success()))
    {
        return skip(name, "Slurm is not installed: `apt install slurmctld slurmd slurm-client munge`");
    }
    if !rustix::process::getuid().is_root() {
        return skip(name, "Slurm's daemons start jobs for others, which needs root");
    }
    // Names of sockets are short, and munge trusts no folder that others may write to.
    let folder = tempfile::tempdir_in("/root").unwrap();
    let file = folder.path().join("four.toml");
    fs::write(&file, SWEEP.replace("[60, 70, 80, 90, 95]", "[60]")).unwrap();
    let (here, there) = (checkpoints(folder.path(), "here"), checkpoints(folder.path(), "there"));
    let slurm = folder.path().join("slurm");
    // Of the two ports, the second is most likely free too.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("tests/sweep/slurm.sh");
    command.arg(&slurm).arg(port.to_string()).current_dir(project_root());
    let _cluster = Cluster::start(&mut command, "ready");
    let on_slurm = || {
        let mut command = sweep(&file, &there);
        command.args(["--engine", "slurm"]).env("SLURM_CONF", slurm.join("slurm.conf"));
        command
    };
    let mut first = on_slurm().stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(first.stderr.take().unwrap()).lines();
    let farewell = said.find_map(|line| line.ok().filter(|line| line.contains("scancel"))).unwrap();
    assert!(farewell.contains("It goes on if this command is ended"), "{farewell}");
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(finished(&there) < 4);
    let table = succeed(&mut on_slurm());
    assert_eq!(succeed(&mut sweep(&file, &here)).lines().next(), table.lines().next());
    assert_eq!(weights(&there, "four"), weights(&here, "four"));
}

fn finished(checkpoints: &Path) -> usize {
    let folder = checkpoints.join("resnet20/generated/tiny");
    let folders = (0..4).map(|seed| match seed {
        0 => folder.clone(),
        _ => folder.join(format!("seed-{seed}")),
    });
    let files = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    files.filter(|entry| entry.as_ref().unwrap().path().extension() == Some("json".as_ref())).count()
}

#[test]
fn a_run_that_fails_is_named_and_made_by_the_next_call() {
    let folder = scratch_folder("sweep-failing");
    let file = folder.join("failing.toml");
    let here = checkpoints(&folder, "here");
    let description = SWEEP.replace("[60, 70, 80, 90, 95]", "[60]").replace("[0, 1, 2, 3]", "[0, 1]");
    fs::write(&file, description).unwrap();
    // Where the folder of seed 1 belongs, there is a file.
    let place = here.join("resnet20/generated/tiny/seed-1");
    assert_eq!(succeed(sweep(&file, &here).arg("--list")).lines().count(), 2);
    fs::remove_dir(&place).unwrap();
    let only = "cargo lab compress zeros=60 --seed 1\n";
    fs::create_dir_all(place.join("compressed_zeros_60.safetensors")).unwrap();
    let error = fail(&mut sweep(&file, &here));
    assert!(error.contains("zeros=60,seed=1: not finished: ") && error.contains(".log)"), "{error}");
    assert_eq!(succeed(sweep(&file, &here).arg("--list")), only);
    fs::remove_dir(place.join("compressed_zeros_60.safetensors")).unwrap();
    let table = succeed(&mut sweep(&file, &here));
    assert!(table.contains("±"), "{table}");
}

#[test]
fn a_description_that_is_none_is_refused_with_the_place() {
    let folder = scratch_folder("sweep-wrong");
    let file = folder.join("wrong.toml");
    let here = checkpoints(&folder, "here");
    for (from, to, told) in [
        ("{zeros}", "80", "the axis `zeros` is not in the command"),
        ("{seed}", "{seed}{seeds}", "there is no axis `seeds`"),
        ("[0, 1, 2, 3]", "3", "the axis `seed` should be a list"),
        ("[0, 1, 2, 3]", "[1, 1]", "the axis `seed` has `1` twice"),
        ("tiny", "small", "full, quick or tiny"),
        ("threads", "thread", "unknown field `thread`"),
        ("zeros={zeros}", "zeros={zeros}0", "expected zeros=1 to 99"),
        ("cargo lab compress", "./compress", "`./compress` is a program of your own"),
        ("cargo lab compress", "cargo lab compres", "compres"),
    ] {
        fs::write(&file, SWEEP.replace(from, to)).unwrap();
        let error = fail(sweep(&file, &here).arg("--list"));
        assert!(error.contains("wrong.toml is not a sweep") && error.contains(told), "{told}: {error}");
    }
    fs::write(&file, SWEEP.replace("threads = 1", "")).unwrap();
    let error = fail(sweep(&file, &here).args(["--engine", "slurm"]));
    assert!(error.contains("add `threads = 2`"), "{error}");
}
