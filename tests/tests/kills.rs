//! Trainings that are killed at random instants, two of different configurations in one folder: each ends with its own bits,
//! and nothing is lost. `KILLS=1000 cargo test --test kills` kills that often.

use homework_tests::{generated_data, scratch_folder};
use kernel_helpers::candle_core;
use kernel_helpers::homework::prelude::*;
use kernel_helpers::prelude::*;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a child process is told: the images, the folder, the procedure and the configuration.
const DATA: &str = "KILLS_DATA";
const FOLDER: &str = "KILLS_FOLDER";
const CASE: &str = "KILLS_CASE";
const PROCEDURES: [&str; 3] = ["train", "finetune", "iterative_prune"];
const RATES: [f64; 2] = [0.05, 0.02];

/// A network so small that a whole run takes a fraction of a second.
struct SmallNet {
    conv: FpConv,
    norm: BatchNorm,
    fc: FpLinear,
}

impl SmallNet {
    fn new() -> Result<Self> {
        let (mut rng, device) = (ChaCha8Rng::seed_from_u64(7), Device::Cpu);
        Ok(Self {
            conv: FpConv::new((3, 8), 3, 2, Ste { n_bits: Some(4), symmetric: false }, &mut rng, &device)?,
            norm: BatchNorm::new(8, &device)?,
            fc: FpLinear::new(8, 10, Ste::default(), &mut rng, &device)?,
        })
    }
}

impl ModuleT for SmallNet {
    fn forward_t(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        let x = self.norm.forward_t(&self.conv.forward(x)?, train)?.relu()?;
        self.fc.forward(&x.mean((2, 3))?)
    }
}

impl Network for SmallNet {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.part("conv", &self.conv);
        visitor.part("norm", &self.norm);
        visitor.part("fc", &self.fc);
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }

    fn description(&self) -> Option<String> {
        Some("a small network".to_owned())
    }
}

fn run(folder: &Path, procedure: usize, rate: usize) -> Result<History> {
    let images = std::env::var_os(DATA).map_or_else(generated_data, PathBuf::from);
    let data = cifar10_in(images, Scale::Tiny)?;
    let config = TrainConfig {
        epochs: 4,
        batch_size: 64,
        learning_rate: RATES[rate],
        log_every_epochs: 0,
        log_every_n: 0,
        keep_zeros: procedure == 1,
        save_to: Some(folder.join("net.safetensors")),
        ..Default::default()
    };
    let net = SmallNet::new()?;
    match procedure {
        0 => train(&net, &data, &config),
        1 => {
            prune_layers(&net, 0.5)?;
            finetune(&net, &data, &config)
        }
        _ => {
            let schedule = PruneSchedule { scope: PruneScope::Global, sparsity: 0.5, ramp: 2 };
            iterative_prune(&net, &data, &config, schedule)
        }
    }
}

/// What a run left: its history, the weights and the sum of the state after the last epoch.
fn outcome(folder: &Path, procedure: usize, rate: usize) -> (Vec<EpochRecord>, Vec<u8>, Option<String>) {
    let history = run(folder, procedure, rate).unwrap();
    let files = RunFiles::of(folder.join("net.safetensors"));
    let record = RunRecord::load(files.record()).unwrap();
    (history.epochs, std::fs::read(files.weights()).unwrap(), record.last_state_sha256)
}

fn start(folder: &Path, procedure: usize, rate: usize) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["a_run_in_a_process_of_its_own", "--exact", "--ignored"]).stdout(Stdio::null());
    child
        .env(DATA, generated_data())
        .env(FOLDER, folder)
        .env(CASE, format!("{procedure} {rate}"))
        .spawn()
        .unwrap()
}

/// Kills the runs of one procedure until both are finished, and counts.
fn kill_until_finished(folder: &Path, procedure: usize, longest: Duration, rng: &mut ChaCha8Rng) -> usize {
    let (mut unfinished, mut kills) = (vec![0, 1], 0);
    while !unfinished.is_empty() {
        let at = rng.random_range(0..unfinished.len());
        let mut child = start(folder, procedure, unfinished[at]);
        std::thread::sleep(longest.mul_f64(rng.random_range(0.0..1.0)));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        match status.code() {
            None => kills += 1,
            Some(0) => _ = unfinished.remove(at),
            Some(code) => panic!("{}, rate {}: {code}", PROCEDURES[procedure], unfinished[at]),
        }
    }
    kills
}

#[test]
fn killed_runs_end_with_their_bits_and_nothing_is_lost() {
    let wanted: usize = std::env::var("KILLS").map_or(24, |kills| kills.parse().unwrap());
    let folder = scratch_folder("kills");
    let expected: Vec<_> = (0..3)
        .map(|procedure| {
            [0, 1].map(|rate| {
                let name = format!("undisturbed-{}-{rate}", PROCEDURES[procedure]);
                outcome(&folder.join(name), procedure, rate)
            })
        })
        .collect();
    let begin = Instant::now();
    assert!(start(&folder.join("timed"), 0, 0).wait().unwrap().success());
    let longest = begin.elapsed().mul_f64(1.3);
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let (mut kills, mut rounds) = ([0; 3], 0);
    while kills.iter().sum::<usize>() < wanted {
        for (procedure, expected) in expected.iter().enumerate() {
            let folder = folder.join(format!("{}-{rounds}", PROCEDURES[procedure]));
            kills[procedure] += kill_until_finished(&folder, procedure, longest, &mut rng);
            for rate in [0, 1, 0] {
                assert!(run(&folder, procedure, rate).unwrap().recorded_on.is_some(), "a run was lost");
                assert_eq!(
                    outcome(&folder, procedure, rate),
                    expected[rate],
                    "{} {rate}",
                    PROCEDURES[procedure]
                );
            }
            let left = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
            let left: Vec<_> = left.filter(|name| !name.to_string_lossy().starts_with(".partial-")).collect();
            assert_eq!(left.len(), 4, "{left:?}");
        }
        rounds += 1;
    }
    println!("{kills:?} kills over {PROCEDURES:?}, two configurations each, in {rounds} rounds");
}

#[test]
#[ignore = "it is the other test's child process"]
fn a_run_in_a_process_of_its_own() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let case = variable(CASE);
    let (procedure, rate) = case.split_once(' ').unwrap();
    run(Path::new(&variable(FOLDER)), procedure.parse().unwrap(), rate.parse().unwrap()).unwrap();
}
