//! Runs of several configurations that save to the same file: none is lost, each is found again.

use super::*;
use nn::checkpoint::{check_recorded, record_of};
use std::collections::BTreeSet;

/// The configurations of two runs that save to the same file.
fn two(save_to: &Path) -> [TrainConfig; 2] {
    let first = config(save_to);
    [first.clone(), TrainConfig { learning_rate: 0.02, ..first }]
}

/// The steps that a call makes.
fn steps(config: &TrainConfig) -> usize {
    let net = TestNet::new(None);
    train(&net, &data(), config).unwrap();
    let best = RunRecord::load(RunFiles::of(config.save_to.as_ref().unwrap()).record()).unwrap();
    assert_eq!(best.run.learning_rate, config.learning_rate, "the run that was asked for is in its place");
    assert_eq!(test(&net, &data()).unwrap().accuracy, best.history.best_accuracy());
    net.steps.get()
}

fn interrupt(config: &TrainConfig, steps: usize) {
    train(&TestNet::failing_after(steps), &data(), config).unwrap_err();
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn an_unfinished_run_of_another_configuration_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = two(&folder.path().join("net.safetensors"));
    interrupt(&first, 2 * STEPS_PER_EPOCH);
    interrupt(&second, 3 * STEPS_PER_EPOCH);
    assert_eq!(names(folder.path()).len(), 2, "two states");
    assert_eq!(steps(&first), 2 * STEPS_PER_EPOCH);
    assert_eq!(steps(&second), STEPS_PER_EPOCH);
    assert_eq!(names(folder.path()).len(), 4, "two runs");
}

#[test]
fn a_finished_run_of_another_configuration_is_kept_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let [first, second] = two(&path);
    assert_eq!(steps(&first), EPOCHS * STEPS_PER_EPOCH);
    let first_weights = read(&path);
    assert_eq!(steps(&second), EPOCHS * STEPS_PER_EPOCH);
    let second_weights = read(&path);
    assert_ne!(first_weights, second_weights);
    for _ in 0..2 {
        assert_eq!((steps(&first), read(&path)), (0, first_weights.clone()));
        assert_eq!(names(folder.path()).len(), 4);
        let [kept] = &RunFiles::of(&path).others()[..] else { panic!("one other run") };
        assert_eq!((kept.record.run.learning_rate, read(&kept.weights)), (0.02, second_weights.clone()));
        check_recorded(&kept.weights).unwrap();
        assert_eq!((steps(&second), read(&path)), (0, second_weights.clone()));
    }
    // As when the process dies just before it has removed the copy of the run that is in its place again.
    let key = RunRecord::load(record_of(&path)).unwrap().run.key();
    std::fs::copy(&path, folder.path().join(format!("net.{key}.safetensors"))).unwrap();
    assert_eq!((steps(&second), names(folder.path()).len()), (0, 4));
    let anew = TrainConfig { retrain: true, ..first };
    assert_eq!(steps(&anew), EPOCHS * STEPS_PER_EPOCH);
    assert_eq!(names(folder.path()).len(), 6, "what was kept before stays, and so does the second run");
}

#[test]
fn weights_that_are_no_runs_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    std::fs::write(&path, "somebody's weights").unwrap();
    let [first, second] = two(&path);
    assert_eq!(steps(&first), EPOCHS * STEPS_PER_EPOCH);
    let kept = |names: BTreeSet<String>| {
        let contents = names.iter().map(|name| read(&folder.path().join(name)));
        contents.filter(|content| content == b"somebody's weights").count()
    };
    assert_eq!(kept(names(folder.path())), 1);
    // A record whose weights somebody has replaced or removed.
    std::fs::write(&path, "somebody's weights").unwrap();
    assert_eq!(steps(&first), EPOCHS * STEPS_PER_EPOCH);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(steps(&second), EPOCHS * STEPS_PER_EPOCH);
    assert_eq!(steps(&second), 0);
    assert_eq!(kept(names(folder.path())), 1);

    let undescribed = TestNet { description: None, ..TestNet::new(None) };
    let recorded = read(&path);
    train(&undescribed, &data(), &second).unwrap();
    assert!(!record_of(&path).exists() && read(&path) == recorded, "the same weights, and no record");
    assert_eq!(steps(&second), 0, "found again");
}

#[test]
fn any_file_name_has_files_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let weights = ["q=0.5", "q=0.8", "net.json", "net.pt", "a b.safetensors", "ä.safetensors"];
    for (number, name) in weights.iter().enumerate() {
        let config = TrainConfig { seed: number as u64, ..config(&folder.path().join("runs").join(name)) };
        assert_eq!(steps(&config), EPOCHS * STEPS_PER_EPOCH, "{name}");
    }
    assert_eq!(names(&folder.path().join("runs")).len(), 2 * weights.len());
    for (number, name) in weights.iter().enumerate() {
        let path = folder.path().join("runs").join(name);
        let config = TrainConfig { seed: number as u64, ..config(&path) };
        assert_eq!(steps(&config), 0, "{name}");
        TestNet::new(None).load_weights(&path).unwrap();
    }
    let taken = TrainConfig { seed: 9, ..config(&folder.path().join("runs/q=0.5.safetensors")) };
    let error = train(&TestNet::new(None), &data(), &taken).unwrap_err().to_string();
    assert!(
        error.contains("q=0.5.json: expected the record of q=0.5.safetensors, found that of q=0.5"),
        "{error}"
    );
}

#[test]
fn a_record_of_the_first_version_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let config = config(&path);
    steps(&config);
    let record = RunRecord::load(record_of(&path)).unwrap();
    let run = RunIdentity {
        quantizers: None,
        prunable_layers: None,
        device: None,
        instructions: None,
        augmentations: None,
        ..record.run.clone()
    };
    let old = RunRecord { run, numerics: None, checksum: None, ..record };
    std::fs::write(record_of(&path), serde_json::to_string(&old).unwrap()).unwrap();
    assert_eq!(steps(&config), 0);
    assert_eq!(steps(&TrainConfig { learning_rate: 0.02, ..config.clone() }), EPOCHS * STEPS_PER_EPOCH);
    assert_eq!(steps(&config), 0, "kept, and found again");
}

#[test]
fn a_run_of_another_processor_is_found_but_not_continued() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let config = config(&path);
    let elsewhere = |run: RunIdentity| RunIdentity { instructions: Some("another".to_owned()), ..run };
    interrupt(&config, STEPS_PER_EPOCH);
    let files = RunFiles::of(&path);
    let state = files.states().remove(0);
    let (run, _) = RunState::load(&state).unwrap();
    std::fs::rename(&state, files.state(&elsewhere(run.run))).unwrap();
    assert_eq!(steps(&config), EPOCHS * STEPS_PER_EPOCH, "its bits would be neither's");
    let record = RunRecord::load(files.record()).unwrap();
    RunRecord { run: elsewhere(record.run.clone()), ..record }.save(files.record()).unwrap();
    assert_eq!(steps(&config), 0, "but its numbers are as good");
}

#[test]
fn changed_weights_are_not_started_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    steps(&config(&path));
    let net = TestNet::new(None);
    net.load_weights(&path).unwrap();
    let before = sha256_of_state(&state_dict(&net).unwrap());
    TestNet::new(Some(4)).save_weights(&path).unwrap();
    let error = net.load_weights(&path).unwrap_err().to_string();
    assert!(
        error.contains("the weights that net.json records") && error.contains("move net.json away"),
        "{error}"
    );
    assert_eq!(sha256_of_state(&state_dict(&net).unwrap()), before);
    std::fs::remove_file(record_of(&path)).unwrap();
    net.load_weights(&path).unwrap();
}

#[test]
fn a_network_without_prunable_layers_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("net.safetensors"));
    let net = || TestNet { prunable: false, ..TestNet::new(None) };
    train(&net(), &data(), &config).unwrap();
    let again = net();
    let history = train(&again, &data(), &config).unwrap();
    assert_eq!((again.steps.get(), history.last().unwrap().sparsity), (0, 0.0));
    let record = record_of(config.save_to.as_ref().unwrap());
    let json = std::fs::read_to_string(&record).unwrap();
    let old = json.replace("\"sparsity\": 0.0", "\"sparsity\": null");
    let old: String = old.lines().filter(|line| !line.contains("\"checksum\"")).collect();
    assert_ne!(json, old);
    std::fs::write(&record, old.replace("},}", "}}")).unwrap();
    train(&net(), &data(), &config).expect("what the first version wrote can be read");
}

#[test]
fn rates_that_are_no_numbers_are_refused() {
    let config = TrainConfig { learning_rate: f64::NAN, ..Default::default() };
    let error = train(&TestNet::new(None), &data(), &config).unwrap_err().to_string();
    assert_eq!(error, "learning_rate: expected a finite number, found NaN");
}

#[test]
fn the_runs_of_a_folder_are_listed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = two(&folder.path().join("deep/q=0.5"));
    steps(&first);
    steps(&second);
    interrupt(&TrainConfig { seed: 1, ..first.clone() }, 2 * STEPS_PER_EPOCH);
    std::fs::write(folder.path().join("results.json"), "{}").unwrap();
    std::fs::write(folder.path().join("deep/q.state.safetensors"), "cut").unwrap();
    let runs = kept_runs(folder.path()).unwrap();
    let table = table_of_runs(&runs, folder.path()).to_string();
    let finished = table.lines().filter(|line| line.contains("finished on 2")).count();
    assert_eq!((runs.len(), finished), (4, 2), "{table}");
    for part in [
        "deep/q=0.5 ",
        "epoch 2 of 4",
        "damaged",
        "train, 4 epochs, 80 images in batches of 32, learning rate 0.02",
    ] {
        assert!(table.contains(part), "{part} in {table}");
    }
    let unfinished = runs.iter().find(|kept| kept.progress == Progress::Unfinished { epochs: 2 }).unwrap();
    let lock = RunFiles::of(first.save_to.as_ref().unwrap()).lock(unfinished.run.as_ref().unwrap()).unwrap();
    assert!(unfinished.remove().unwrap_err().to_string().contains("being trained"));
    drop(lock);
    runs.iter().try_for_each(KeptRun::remove).unwrap();
    assert!(names(&folder.path().join("deep")).is_empty());
    assert!(folder.path().join("results.json").exists());
}

#[test]
fn a_checkpoint_that_does_not_fit_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let mut other = state_dict(&TestNet::new(Some(4))).unwrap();
    other.insert(
        "norm.num_batches_tracked".to_owned(),
        Tensor::zeros(2, candle_core::DType::I64, &Device::Cpu).unwrap(),
    );
    other.insert("conv.weight".to_owned(), (&other["conv.weight"] * 2.0).unwrap());
    nn::checkpoint::save_state_dict(&other, &path).unwrap();
    let net = TestNet::new(None);
    let before = sha256_of_state(&state_dict(&net).unwrap());
    let error = net.load_weights(&path).unwrap_err().to_string();
    assert!(error.contains("`norm.num_batches_tracked` with [2] instead of []"), "{error}");
    assert_eq!(sha256_of_state(&state_dict(&net).unwrap()), before);
}
