//! Runs that are interrupted, resumed, recorded and confused on purpose.

mod faults;
mod keeping;
mod own;

use super::state::RunState;
use super::*;
use candle_core::{Device, Module, Tensor};
use candle_nn::ModuleT;
use nn::checkpoint::file_name;
use nn::checkpoint::sha256_of_state;
use nn::data::Cifar10;
use nn::fp_layers::{BatchNorm, FpConv, FpLinear};
use nn::prune::{PruneSchedule, PruneScope};
use nn::quant::{Quantization, Ste};
use nn::{Visitor, state_dict};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::cell::Cell;
use std::path::Path;

/// A small network that counts its training steps and fails in the one after the last that it is allowed.
struct TestNet {
    conv: FpConv,
    norm: BatchNorm,
    fc: FpLinear,
    description: Option<String>,
    prunable: bool,
    steps: Cell<usize>,
    steps_allowed: usize,
}

impl TestNet {
    fn new(n_bits: Option<u32>) -> Self {
        Self::quantized(Ste { n_bits, symmetric: false })
    }

    /// With the convolution's weight quantized.
    fn quantized(quantization: impl Into<Quantization>) -> Self {
        let (mut rng, device) = (ChaCha8Rng::seed_from_u64(7), Device::Cpu);
        let quantization = quantization.into();
        Self {
            conv: FpConv::new((3, 8), 3, 2, quantization.clone(), &mut rng, &device).unwrap(),
            norm: BatchNorm::new(8, &device).unwrap(),
            fc: FpLinear::new(8, 10, Ste::default(), &mut rng, &device).unwrap(),
            description: Some(format!("test network of {quantization}")),
            prunable: true,
            steps: Cell::new(0),
            steps_allowed: usize::MAX,
        }
    }

    fn failing_after(steps_allowed: usize) -> Self {
        Self { steps_allowed, ..Self::new(None) }
    }
}

impl ModuleT for TestNet {
    fn forward_t(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        if train {
            if self.steps.get() == self.steps_allowed {
                candle_core::bail!("interrupted");
            }
            self.steps.set(self.steps.get() + 1);
        }
        let x = self.norm.forward_t(&self.conv.forward(x)?, train)?.relu()?;
        self.fc.forward(&x.mean((2, 3))?)
    }
}

impl Network for TestNet {
    fn visit(&self, visitor: &mut Visitor) {
        match self.prunable {
            true => visitor.part("conv", &self.conv),
            false => visitor.unpruned_part("conv", &self.conv),
        }
        visitor.part("norm", &self.norm);
        match self.prunable {
            true => visitor.part("fc", &self.fc),
            false => visitor.unpruned_part("fc", &self.fc),
        }
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }

    fn description(&self) -> Option<String> {
        self.description.clone()
    }
}

const EPOCHS: usize = 4;
const STEPS_PER_EPOCH: usize = 3;

fn data() -> Data {
    Cifar10::striped(80, 50)
}

fn config(save_to: &Path) -> TrainConfig {
    TrainConfig {
        epochs: EPOCHS,
        batch_size: 32,
        learning_rate: 0.05,
        log_every_epochs: 0,
        save_to: Some(save_to.to_owned()),
        ..Default::default()
    }
}

type Run = fn(&TestNet, &TrainConfig) -> Result<History>;

/// The three procedures that record, one of them with a validation split too.
const RUNS: [Run; 4] = [
    |net, config| train(net, &data(), config),
    |net, config| train(net, &data().hold_out(10)?, config),
    |net, config| {
        nn::prune::prune_layers(net, 0.5)?;
        finetune(net, &data(), &TrainConfig { keep_zeros: true, ..config.clone() })
    },
    |net, config| {
        let schedule = PruneSchedule { scope: PruneScope::Global, sparsity: 0.5, ramp: 2 };
        iterative_prune(net, &data(), config, schedule)
    },
];

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn an_interrupted_run_ends_with_the_bits_of_an_undisturbed_one() {
    for run in RUNS {
        let folder = tempfile::tempdir().unwrap();
        let undisturbed = RunFiles::of(folder.path().join("undisturbed.safetensors"));
        let expected = run(&TestNet::new(None), &config(undisturbed.weights())).unwrap();
        let expected_record = RunRecord::load(undisturbed.record()).unwrap();
        assert_eq!(expected.epochs.len(), EPOCHS);
        // In the first epoch, at the start of the second, in the third, and there again, and in the last.
        let files = RunFiles::of(folder.path().join("interrupted.safetensors"));
        for (steps, epochs_kept) in [(1, 0), (STEPS_PER_EPOCH, 1), (STEPS_PER_EPOCH + 1, 2), (2, 2), (4, 3)] {
            let net = TestNet::failing_after(steps);
            let error = run(&net, &config(files.weights())).unwrap_err().to_string();
            assert!(error.contains("interrupted"), "{error}");
            assert_eq!(files.state(&expected_record.run).exists(), epochs_kept > 0);
            assert!(!files.weights().exists() && !files.record().exists());
        }
        let net = TestNet::new(None);
        let history = run(&net, &config(files.weights())).unwrap();
        assert_eq!(net.steps.get(), STEPS_PER_EPOCH, "only the last epoch was left");
        assert_eq!(history, expected);
        assert_eq!(read(files.weights()), read(undisturbed.weights()));
        let record = RunRecord::load(files.record()).unwrap();
        assert_eq!(record.last_state_sha256, expected_record.last_state_sha256);
        assert_eq!(record.run, expected_record.run);
        assert!(last_history().is_some(), "whatever fails after the run, its history is kept");
        let names = std::fs::read_dir(folder.path()).unwrap();
        assert_eq!(names.count(), 4, "two files of each run, and nothing else");
    }
}

#[test]
fn a_recorded_run_is_found_in_place_of_training() {
    let bit_widths = [None, Some(3)];
    for (run, n_bits) in RUNS.into_iter().flat_map(|run| bit_widths.map(|n_bits| (run, n_bits))) {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&folder.path().join("net.safetensors"));
        let live = TestNet::new(n_bits);
        let history = run(&live, &config).unwrap();
        assert_eq!(history.recorded_on, None);
        let again = TestNet::new(n_bits);
        let recorded = run(&again, &config).unwrap();
        assert_eq!(again.steps.get(), 0);
        assert_eq!(recorded.epochs, history.epochs);
        let record = RunRecord::load(folder.path().join("net.json")).unwrap();
        assert_eq!(recorded.recorded_on, Some(record.made_on));
        assert!(recorded.to_string().contains("recorded on 2"), "{recorded}");
        let states = [&live, &again].map(|net| sha256_of_state(&state_dict(net).unwrap()));
        assert_eq!(states[0], states[1], "the network has the same weights after both");
        // The saved weights are packed, and still give the numbers of the epoch, in every digit.
        let (tested, best) = (test(&again, &data()).unwrap(), history.best().unwrap());
        assert_eq!((tested.accuracy, tested.loss), (best.test_accuracy, best.test_loss));
    }
}

#[test]
fn another_configuration_is_another_run() {
    let folder = tempfile::tempdir().unwrap();
    let files = RunFiles::of(folder.path().join("net.safetensors"));
    let first = config(files.weights());
    train(&TestNet::new(None), &data(), &first).unwrap();
    let run = |change: fn(&mut TrainConfig), net: TestNet, data: Data| {
        let mut config = first.clone();
        change(&mut config);
        let identity = RunIdentity::of(Procedure::Train, &net, &data, &config).unwrap().unwrap();
        let kept = RunRecord::load(files.record()).unwrap().run;
        let differences = identity.differences(&kept);
        assert_eq!(
            (identity == kept, identity.key() == kept.key()),
            (differences.is_empty(), differences.is_empty())
        );
        differences.join("; ")
    };
    let net = || TestNet::new(None);
    assert_eq!(run(|config| config.log_every_n = 7, net(), data()), "");
    assert_eq!(run(|config| config.seed = 1, net(), data()), "seed: 0 there, 1 here");
    let rate = run(|config| config.learning_rate = 0.1, net(), data());
    assert_eq!(rate, "learning_rate: 0.05 there, 0.1 here");
    let bits = run(|_| (), TestNet::new(Some(4)), data());
    let quantizers = "quantizers of 1 layers: floating point there, 4 bits here";
    assert_eq!(
        bits,
        format!("network: test network of floating point there, test network of 4 bits here; {quantizers}")
    );
    let undescribed = TestNet { description: net().description(), ..TestNet::new(Some(4)) };
    assert_eq!(run(|_| (), undescribed, data()), quantizers, "whatever its description leaves out");
    assert!(
        run(|_| (), net(), Cifar10::striped(81, 50)).contains("training_images.count: 80 there, 81 here")
    );
    let other_start = net();
    other_start.fc.bias.set(&Tensor::zeros(10, candle_core::DType::F32, &Device::Cpu).unwrap()).unwrap();
    assert!(run(|_| (), other_start, data()).starts_with("start_sha256: "));

    let (tuned, config) = (net(), TrainConfig { epochs: 1, ..first.clone() });
    assert_eq!(finetune(&tuned, &data(), &config).unwrap().recorded_on, None);
    assert_eq!(tuned.steps.get(), STEPS_PER_EPOCH, "trained anew");
    let finetune = Procedure::Finetune { keep_zeros: false };
    assert_eq!(RunRecord::load(files.record()).unwrap().run.procedure, finetune);
}

#[test]
fn altered_weights_and_states_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let files = RunFiles::of(folder.path().join("net.safetensors"));
    let config = config(files.weights());
    let steps = |config: &TrainConfig| {
        let net = TestNet::new(None);
        train(&net, &data(), config).unwrap();
        net.steps.get()
    };
    assert_eq!(steps(&config), EPOCHS * STEPS_PER_EPOCH);
    assert_eq!(steps(&config), 0);
    let mut bytes = read(files.weights());
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(files.weights(), bytes).unwrap();
    assert_eq!(steps(&config), EPOCHS * STEPS_PER_EPOCH, "altered");
    std::fs::remove_file(files.weights()).unwrap();
    assert_eq!(steps(&config), EPOCHS * STEPS_PER_EPOCH, "missing");
    assert_eq!(
        steps(&TrainConfig { retrain: true, ..config.clone() }),
        EPOCHS * STEPS_PER_EPOCH,
        "asked for"
    );
    assert_eq!(steps(&config), 0);

    let interrupted = TrainConfig { seed: 1, ..config.clone() };
    let interrupt = || train(&TestNet::failing_after(STEPS_PER_EPOCH), &data(), &interrupted).unwrap_err();
    interrupt();
    assert_eq!(steps(&config), 0, "the recorded run is kept until the other one is finished");
    let state_path = files.states().remove(0);
    let state = read(&state_path);
    let name = file_name(&state_path);
    let cut = &state[..state.len() / 2];
    // In the middle of the tensors, and of a number in the header.
    let altered = [state.len() / 2, 600].map(|at| {
        let mut altered = state.clone();
        altered[at] ^= 1;
        altered
    });
    for damaged in [cut, &altered[0], &altered[1]] {
        std::fs::write(&state_path, damaged).unwrap();
        let error = RunState::load(&state_path).unwrap_err().to_string();
        assert!(error.contains(&format!("{name}: expected the state of an unfinished run")), "{error}");
        assert!(error.contains("Delete it") && !error.contains("download"), "{error}");
        let net = TestNet::failing_after(STEPS_PER_EPOCH);
        train(&net, &data(), &interrupted).unwrap_err();
        assert_eq!(net.steps.get(), STEPS_PER_EPOCH, "starting with epoch 1");
        assert_eq!(read(&state_path.with_added_extension("damaged")), damaged, "nothing is lost");
        RunState::load(&state_path).expect("the new state is saved");
    }
    assert_eq!(steps(&interrupted), (EPOCHS - 1) * STEPS_PER_EPOCH);

    let json = String::from_utf8(read(&files.record())).unwrap();
    for (record, found) in
        [("{}", "missing field"), (&json.replace("\"seed\": 1", "\"seed\": 2"), "was altered")]
    {
        std::fs::write(files.record(), record).unwrap();
        let error = train(&TestNet::new(None), &data(), &interrupted).unwrap_err().to_string();
        assert!(error.contains("net.json: expected the record of a run") && error.contains(found), "{error}");
    }
}

#[test]
fn a_cell_can_be_executed_again() {
    let folder = tempfile::tempdir().unwrap();
    let files = RunFiles::of(folder.path().join("net.safetensors"));
    let config = config(files.weights());
    let net = TestNet::new(Some(4));
    train(&net, &data(), &config).unwrap();
    let weights = read(files.weights());
    assert!(train(&net, &data(), &config).unwrap().recorded_on.is_some(), "finished, with the same network");
    assert_eq!(net.steps.get(), EPOCHS * STEPS_PER_EPOCH);
    let longer = train(&net, &data(), &TrainConfig { epochs: EPOCHS + 1, ..config.clone() }).unwrap();
    assert!(longer.recorded_on.is_none(), "another configuration");

    // In the second epoch the best weights so far are those of the first, and in the first there are none.
    for allowed in [2 * STEPS_PER_EPOCH - 1, STEPS_PER_EPOCH - 1] {
        for file in std::fs::read_dir(folder.path()).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
        let net = TestNet { steps_allowed: allowed, ..TestNet::new(Some(4)) };
        train(&net, &data(), &config).unwrap_err();
        let net = TestNet { steps_allowed: usize::MAX, ..net };
        let history = train(&net, &data(), &config).unwrap();
        assert_eq!((history.epochs.len(), net.steps.get()), (EPOCHS, allowed + steps_left(allowed)));
        assert_eq!(read(files.weights()), weights, "the same bits");
    }
}

/// The steps after an interruption: the finished epochs are not repeated.
fn steps_left(made: usize) -> usize {
    (EPOCHS - made / STEPS_PER_EPOCH) * STEPS_PER_EPOCH
}

#[test]
fn a_run_is_trained_by_one_call_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("net.safetensors"));
    let run = RunIdentity::of(Procedure::Train, &TestNet::new(None), &data(), &config).unwrap().unwrap();
    let lock = RunFiles::of(folder.path().join("net.safetensors")).lock(&run).unwrap();
    let error = train(&TestNet::new(None), &data(), &config).unwrap_err().to_string();
    assert!(error.contains(".lock") && error.contains("another notebook or command"), "{error}");
    drop(lock);
    for _ in 0..2 {
        train(&TestNet::new(None), &data(), &config).unwrap();
        let mut files: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name()).collect();
        files.sort();
        assert_eq!(files, ["net.json", "net.safetensors"], "all that a finished run leaves");
    }
}

#[test]
fn an_interrupted_training_that_was_asked_for_anew_continues() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("net.safetensors"));
    train(&TestNet::new(None), &data(), &config).unwrap();
    let config = TrainConfig { retrain: true, ..config };
    train(&TestNet::failing_after(STEPS_PER_EPOCH), &data(), &config).unwrap_err();
    let net = TestNet::new(None);
    train(&net, &data(), &config).unwrap();
    assert_eq!(net.steps.get(), (EPOCHS - 1) * STEPS_PER_EPOCH);
}

#[test]
fn a_network_without_a_description_is_trained_but_not_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("net.safetensors"));
    for _ in 0..2 {
        let net = TestNet { description: None, ..TestNet::new(None) };
        let history = finetune(&net, &data(), &config).unwrap();
        assert_eq!((history.recorded_on.clone(), net.steps.get()), (None, EPOCHS * STEPS_PER_EPOCH));
        assert_eq!(test(&net, &data()).unwrap().accuracy, history.best_accuracy());
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_ramp_needs_an_epoch_after_it() {
    for ramp in [0, EPOCHS] {
        let schedule = PruneSchedule { scope: PruneScope::Layer, sparsity: 0.5, ramp };
        let config = TrainConfig { epochs: EPOCHS, ..Default::default() };
        let error = iterative_prune(&TestNet::new(None), &data(), &config, schedule).unwrap_err();
        assert_eq!(error.to_string(), format!("ramp: expected 1 to 3, found {ramp}"));
    }
}
