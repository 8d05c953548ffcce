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

/// The ResNet-20 of a run.
fn network(run: &RunIdentity) -> Option<Model> {
    let widths = [None].into_iter().chain((1..=16).map(Some));
    let networks = widths.flat_map(|n_bits| [false, true].map(|symmetric| (n_bits, symmetric))).map(
        |(n_bits, symmetric)| {
            let config = ResNetConfig { n_bits, symmetric, ..Default::default() };
            resnet_cifar(config).unwrap().build(0, &Device::Cpu).unwrap()
        },
    );
    let everywhere = resnet_cifar(ResNetConfig::default()).unwrap().build(0, &Device::Cpu).unwrap();
    let mut networks = networks.chain([everywhere.quantized(|_layer| Ste::BINARY).unwrap()]);
    let quantizers =
        |net: &Model| net.quantizers().into_iter().map(|(name, q)| (name, q.to_string())).collect();
    networks.find(|net| {
        net.description().as_ref() == Some(&run.network) && Some(quantizers(net)) == run.quantizers
    })
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
        let net = network(&record.run).unwrap_or_else(|| panic!("{what}: no ResNet-20 is this network"));
        net.load_weights(path.with_file_name(&record.weights.file)).unwrap();
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
