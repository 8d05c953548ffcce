//! Recorded weights still give what their records say, on all test images.

use homework_tests::{cifar10, project_root, skip};
use kernel_helpers::Network;
use kernel_helpers::cpu_kernels::Isa;
use kernel_helpers::homework::prelude::*;
use kernel_helpers::prelude::*;
use std::path::{Path, PathBuf};

/// The records of runs below a folder. Other JSON files are there too.
fn records(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let is_record = |path: &PathBuf| {
        let json = path.extension().is_some_and(|extension| extension == "json");
        json && std::fs::read_to_string(path).unwrap().contains("\"run\": {")
    };
    let mut found: Vec<_> = files.into_iter().filter(is_record).collect();
    found.extend(folders.iter().flat_map(|folder| records(folder)));
    found.sort();
    found
}

/// The quantizers of recorded runs.
fn quantizers() -> impl Iterator<Item = Quantization> {
    let steps = [None].into_iter().chain((1..=16).map(Some));
    let steps = steps.flat_map(|n_bits| [false, true].map(|symmetric| Ste { n_bits, symmetric }));
    let steps = steps.chain([Ste::BINARY]).flat_map(|ste| [ste.into(), PerChannel(ste).into()]);
    let learned =
        (2..=16).flat_map(|n_bits| [false, true].map(|per_channel| Lsq { n_bits, per_channel }.into()));
    steps.chain(learned)
}

/// The ResNet-20 of a run, as wide as its weights are.
fn network(run: &RunIdentity, weights: &Path) -> Option<Model> {
    let graph = resnet_cifar(ResNetConfig::default()).unwrap();
    let graph = graph.fitted_to(&load_state_dict(weights).unwrap()).unwrap();
    let net = graph.build(0, &Device::Cpu).unwrap();
    let recorded = run.quantizers.clone().unwrap_or_default();
    let of_layer = |layer: &str| {
        let wanted = recorded.get(&format!("{layer}.weight"));
        wanted.map_or_else(Quantization::default, |wanted| {
            quantizers().find(|quantizer| quantizer.to_string() == *wanted).unwrap_or_default()
        })
    };
    let net = net.quantized(of_layer).unwrap();
    let found = net.quantizers().into_iter().map(|(name, q)| (name, q.to_string())).collect();
    (net.description().as_ref() == Some(&run.network) && Some(found) == run.quantizers).then_some(net)
}

#[test]
fn recorded_weights_give_their_recorded_accuracy() {
    const NAME: &str = "recorded_weights_give_their_recorded_accuracy";
    let Some(folder) = cifar10() else { return skip(NAME, "needs CIFAR-10 in data/") };
    let data = cifar10_in(folder, Scale::Full).unwrap();
    let mut tested = 0;
    for path in records(&project_root().join("checkpoints")) {
        let record = RunRecord::load(&path).unwrap();
        // The runs of a smaller scale or of generated images were tested on others, and are not in the repository.
        if record.run.test_images.sha256 != data.test.sha256() {
            continue;
        }
        let what = path.display();
        let weights = path.with_file_name(&record.weights.file);
        // Of the course's network, only the numbers are here.
        if path.parent().is_some_and(|folder| folder.ends_with("pretrained_model.finetuned")) {
            assert!(!weights.exists(), "{what}: weights that are the course's");
            continue;
        }
        let net =
            network(&record.run, &weights).unwrap_or_else(|| panic!("{what}: no ResNet-20 is this network"));
        net.load_weights(weights).unwrap();
        let (found, best) = (test(&net, &data).unwrap(), record.best.unwrap());
        assert_eq!(found.images, 10_000);
        assert_eq!(found.accuracy, best.test_accuracy, "{what}");
        if Isa::current().unwrap().name() == record.machine.instructions {
            assert_eq!(found.loss, best.test_loss, "{what}");
        } else {
            assert!(
                (found.loss - best.test_loss).abs() <= 1e-5,
                "{what}: {} is not {}",
                found.loss,
                best.test_loss
            );
        }
        tested += 1;
    }
    assert!(tested > 0, "no record of a run is in checkpoints/");
}
