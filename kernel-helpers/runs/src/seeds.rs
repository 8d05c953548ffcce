//! One run with several seeds.

use super::{RunFiles, RunIdentity, RunRecord};
use base::{Error, Result};
use std::path::{Path, PathBuf};

/// The records of a run with every seed that is there, in the order of the seeds: that of `folder`, where runs with
/// seed 0 are, and those of its folders `seed-1`, `seed-2` and so on. `weights` is the run's file, such as
/// `net_after_finetune.safetensors`.
///
/// A record that differs from the first one in more than the seed, such as in the number of epochs, is of another run
/// and left out. So is a run that is not finished.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let graph = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?;
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path();
/// for (seed, place) in [(0, folder.to_owned()), (1, folder.join("seed-1"))] {
///     let save_to = Some(place.join("net.safetensors"));
///     let config = TrainConfig { epochs: 1, seed, save_to, ..Default::default() };
///     train(&graph.clone().build(0, &Device::Cpu)?, &data, &config)?;
/// }
/// let records = records_over_seeds(folder, "net.safetensors")?;
/// let accuracies: Vec<f64> = records.iter().map(|record| record.history.best_accuracy()).collect();
/// let (mean, deviation) = mean_and_deviation(&accuracies);
/// assert!(records.len() == 2 && mean <= 1.0 && deviation.is_some());
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If a record cannot be read.
pub fn records_over_seeds(folder: impl AsRef<Path>, weights: &str) -> Result<Vec<RunRecord>> {
    let mut records: Vec<RunRecord> = Vec::new();
    for folder in seed_folders(folder.as_ref())? {
        let path = RunFiles::of(folder.join(weights)).record();
        if !path.exists() {
            continue;
        }
        let record = RunRecord::load(&path)?;
        let same =
            |first: &RunRecord| RunIdentity { seed: first.run.seed, ..record.run.clone() } == first.run;
        if records.first().is_none_or(same) {
            records.push(record);
        }
    }
    records.sort_by_key(|record| record.run.seed);
    Ok(records)
}

/// The mean of some values and their sample standard deviation (with n - 1); none of a single value.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let (mean, deviation) = mean_and_deviation(&[0.91, 0.92, 0.93]);
/// assert_eq!(format!("{mean:.2} ± {:.2}", deviation.unwrap()), "0.92 ± 0.01");
/// assert_eq!(mean_and_deviation(&[0.91]), (0.91, None));
/// ```
pub fn mean_and_deviation(values: &[f64]) -> (f64, Option<f64>) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()))
}

/// The folder itself, then `seed-1`, `seed-2` and so on in it, as far as they are there.
fn seed_folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let refused = |e| Error::io(folder, e, "Check the folder's permissions.");
    let mut seeds = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(refused)? {
        let name = entry.map_err(refused)?.file_name();
        seeds.extend(name.to_string_lossy().strip_prefix("seed-").and_then(|seed| seed.parse::<u64>().ok()));
    }
    seeds.sort_unstable();
    let numbered = seeds.into_iter().map(|seed| folder.join(format!("seed-{seed}")));
    Ok([folder.to_owned()].into_iter().chain(numbered).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::{Examples, History, Procedure};
    use nn::checkpoint::Weights;

    fn save(folder: &Path, seed: u64, epochs: usize) {
        let images = Examples { count: 1, sha256: String::new(), preparation: None };
        let record = RunRecord {
            made_on: "2026-11-23".to_owned(),
            command: None,
            minutes: 1.0,
            machine: Machine::here(&candle_core::Device::Cpu).unwrap(),
            version: String::new(),
            numerics: None,
            run: RunIdentity {
                procedure: Procedure::Train,
                epochs,
                batch_size: 1,
                learning_rate: 0.1,
                weight_decay: 0.0,
                momentum: 0.0,
                optimizer: None,
                schedule: None,
                distillation: None,
                seed,
                network: "a network".to_owned(),
                quantizers: None,
                prunable_layers: None,
                device: None,
                instructions: None,
                augmentations: None,
                start_sha256: String::new(),
                training_images: images.clone(),
                validation_images: None,
                test_images: images,
            },
            weights: Weights { file: "net.safetensors".to_owned(), bytes: 0, sha256: String::new() },
            last_state_sha256: None,
            best: None,
            last: None,
            history: History::default(),
            checksum: None,
        };
        record.save(folder.join("net.json")).unwrap();
    }

    #[test]
    fn runs_that_differ_in_the_seed_alone_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let seeds = || -> Vec<u64> {
            let records = records_over_seeds(folder.path(), "net.safetensors").unwrap();
            records.iter().map(|record| record.run.seed).collect()
        };
        assert!(seeds().is_empty());
        save(folder.path(), 0, 20);
        assert_eq!(seeds(), [0]);
        save(&folder.path().join("seed-10"), 10, 20);
        save(&folder.path().join("seed-2"), 2, 20);
        save(&folder.path().join("seed-3"), 3, 4);
        save(&folder.path().join("quick"), 0, 20);
        assert_eq!(seeds(), [0, 2, 10], "3 is a run of other epochs");
        std::fs::write(folder.path().join("seed-2/net.json"), "{").unwrap();
        assert!(records_over_seeds(folder.path(), "net.safetensors").is_err());
    }

    #[test]
    fn the_deviation_is_the_samples() {
        assert_eq!(mean_and_deviation(&[1.0, 2.0, 3.0]), (2.0, Some(1.0)));
        assert_eq!(mean_and_deviation(&[0.9]), (0.9, None));
    }
}
