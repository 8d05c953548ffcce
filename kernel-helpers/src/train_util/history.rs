//! What happened in a run, epoch by epoch.

use crate::files::write_whole;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// One epoch of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The learning rate.
    pub learning_rate: f64,
    /// Mean cross-entropy of the training batches.
    pub train_loss: f64,
    /// The share of (augmented) training images classified correctly, from 0 to 1.
    pub train_accuracy: f64,
    /// Mean cross-entropy on the test images after the epoch.
    pub test_loss: f64,
    /// The share of test images classified correctly after the epoch, from 0 to 1.
    pub test_accuracy: f64,
    /// The share of zeros among the prunable weights after the epoch, from 0 to 1.
    pub sparsity: f64,
    /// Whether the epoch may count as the best: iterative pruning excludes those before the final sparsity.
    pub candidate: bool,
}

/// The epochs of a run; a value to print, plot and save.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The finished epochs, in order.
    pub epochs: Vec<EpochRecord>,
    /// What has to be said of these numbers, such as that they come from a subset.
    pub note: Option<String>,
}

impl History {
    /// The candidate with the best test accuracy, the earliest of equals. The homework picks it on the test images, so
    /// it is optimistic: report [`Self::last`] beside it.
    pub fn best(&self) -> Option<&EpochRecord> {
        let candidates = self.epochs.iter().filter(|epoch| epoch.candidate).rev();
        candidates.max_by(|a, b| a.test_accuracy.total_cmp(&b.test_accuracy))
    }

    /// The last epoch.
    pub fn last(&self) -> Option<&EpochRecord> {
        self.epochs.last()
    }

    /// The best test accuracy, 0 before the first candidate.
    pub fn best_accuracy(&self) -> f64 {
        self.best().map_or(0.0, |epoch| epoch.test_accuracy)
    }

    /// The number of the best epoch, 0 before the first candidate.
    pub fn best_epoch(&self) -> usize {
        self.best().map_or(0, |epoch| epoch.epoch)
    }

    /// The last epoch's test accuracy, 0 before the first epoch.
    pub fn last_accuracy(&self) -> f64 {
        self.last().map_or(0.0, |epoch| epoch.test_accuracy)
    }

    /// Writes the history as JSON.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let json = serde_json::to_string_pretty(self).expect("a history is plain data");
        write_whole(path, json.as_bytes())
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// If the file cannot be read or is no history.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let json =
            std::fs::read_to_string(path).map_err(|e| Error::io(path, e, "Run the training first."))?;
        serde_json::from_str(&json).map_err(|e| {
            Error::file(path, "the history of a run as JSON", e, "Delete it and run the training again.")
        })
    }

    /// Prints the summary, when the value stands at the end of a cell.
    pub fn evcxr_display(&self) {
        println!("{self}");
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.best(), self.last()) {
            (Some(best), Some(last)) => write!(
                f,
                "best test accuracy {:.4} (epoch {} of {}), last {:.4}",
                best.test_accuracy,
                best.epoch,
                self.epochs.len(),
                last.test_accuracy
            )?,
            (None, Some(last)) => {
                write!(f, "last test accuracy {:.4}, no candidate yet", last.test_accuracy)?
            }
            _ => write!(f, "no epoch yet")?,
        }
        self.note.iter().try_for_each(|note| write!(f, " ({note})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: usize, test_accuracy: f64, candidate: bool) -> EpochRecord {
        EpochRecord {
            epoch,
            learning_rate: 0.1,
            train_loss: 1.0,
            train_accuracy: 0.5,
            test_loss: 1.0,
            test_accuracy,
            sparsity: 0.0,
            candidate,
        }
    }

    #[test]
    fn only_candidates_can_be_the_best_and_the_earliest_wins() {
        let epochs =
            vec![record(1, 0.9, false), record(2, 0.7, true), record(3, 0.8, true), record(4, 0.8, true)];
        let history = History { epochs, note: None };
        assert_eq!(history.best().unwrap().epoch, 3);
        assert_eq!(history.last_accuracy(), 0.8);
        assert_eq!(history.to_string(), "best test accuracy 0.8000 (epoch 3 of 4), last 0.8000");
    }

    #[test]
    fn a_history_survives_the_disk_and_a_broken_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/history.json");
        let history = History { epochs: vec![record(1, 0.25, true)], note: Some("quick scale".into()) };
        history.save(&path).unwrap();
        assert_eq!(History::load(&path).unwrap(), history);
        std::fs::write(&path, "{").unwrap();
        assert!(History::load(&path).unwrap_err().to_string().contains("history.json"));
    }
}
