//! What happened in a run, epoch by epoch.

use display::{MimeBundle, Show, shows_itself};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// One epoch of a run.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let config = TrainConfig { epochs: 4, learning_rate: 0.25, ..Default::default() };
/// let history = train(&net, &data, &config)?;
/// let rates: Vec<f64> = history.epochs.iter().map(|epoch: &EpochRecord| epoch.learning_rate).collect();
/// assert_eq!(rates, [0.25, 0.25, 0.025, 0.0025]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The learning rate.
    pub learning_rate: f64,
    /// Mean loss of the training batches: the cross-entropy, or that of a distillation.
    pub train_loss: f64,
    /// The share of (augmented) training images classified correctly, from 0 to 1.
    pub train_accuracy: f64,
    /// Mean cross-entropy on the validation images after the epoch, where there are such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// The share of validation images classified correctly after the epoch, from 0 to 1, where there are such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
    /// Mean cross-entropy on the test images after the epoch.
    #[serde(deserialize_with = "number")]
    pub test_loss: f64,
    /// The share of test images classified correctly after the epoch, from 0 to 1.
    pub test_accuracy: f64,
    /// The share of zeros among the prunable weights after the epoch, from 0 to 1; 0 if there are none.
    #[serde(deserialize_with = "number")]
    pub sparsity: f64,
    /// Whether the epoch may count as the best: iterative pruning excludes those before the final sparsity.
    pub candidate: bool,
}

impl EpochRecord {
    /// The accuracy by which the best epoch is chosen: that on the validation images, or on the test images where there
    /// are no others.
    fn choice(&self) -> f64 {
        self.validation_accuracy.unwrap_or(self.test_accuracy)
    }
}

/// A number, which JSON gives as null where it was infinite or none.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// The epochs of a run; a value to print, plot and save.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let history = finetune(&net, &data, &TrainConfig { epochs: 3, ..Default::default() })?;
/// assert_eq!(history.last().unwrap().epoch, 3);
/// assert!(history.best_accuracy() >= history.last_accuracy());
/// assert!(history.to_string().contains(&format!("(epoch {} of 3)", history.best_epoch())));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The finished epochs, in order.
    pub epochs: Vec<EpochRecord>,
    /// What has to be said of these numbers, such as that they come from a subset.
    pub note: Option<String>,
    /// The day on which a recorded run was made (UTC); `None` for one that was trained just now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_on: Option<String>,
}

impl History {
    /// The candidate with the best accuracy on the validation images, or on the test images where there are no others;
    /// the earliest of equals. Chosen on the test images, as the homework does, it is optimistic: report
    /// [`Self::last`] beside it.
    pub fn best(&self) -> Option<&EpochRecord> {
        let candidates = self.epochs.iter().filter(|epoch| epoch.candidate).rev();
        candidates.max_by(|a, b| a.choice().total_cmp(&b.choice()))
    }

    /// The last epoch.
    pub fn last(&self) -> Option<&EpochRecord> {
        self.epochs.last()
    }

    /// The best epoch's test accuracy, 0 before the first candidate.
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

    /// What has to be said of these numbers: the note, and that they are recorded.
    pub fn remarks(&self) -> Vec<String> {
        self.note.iter().cloned().chain(recorded_note([self])).collect()
    }
}

impl Show for History {
    fn forms(&self) -> MimeBundle {
        MimeBundle::plain(self)
    }
}

shows_itself!(History);

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.best(), self.last()) {
            (Some(best), Some(last)) => {
                let (epoch, epochs) = (best.epoch, self.epochs.len());
                write!(f, "best test accuracy {:.4} (epoch {epoch} of {epochs}", best.test_accuracy)?;
                let validated = best.validation_accuracy;
                validated
                    .iter()
                    .try_for_each(|found| write!(f, ", chosen by validation accuracy {found:.4}"))?;
                write!(f, "), last {:.4}", last.test_accuracy)?
            }
            (None, Some(last)) => {
                write!(f, "last test accuracy {:.4}, no candidate yet", last.test_accuracy)?
            }
            _ => write!(f, "no epoch yet")?,
        }
        match self.remarks() {
            remarks if remarks.is_empty() => Ok(()),
            remarks => write!(f, " ({})", remarks.join("; ")),
        }
    }
}

/// The history of the run that went on or was found recorded last.
static LAST: Mutex<Option<History>> = Mutex::new(None);

/// The history of the last run in this notebook or command, as far as it came. A cell that fails or is stopped after a
/// training loses its variables, but not this.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// assert_eq!(last_history(), None);
/// let history = finetune(&net, &data, &TrainConfig { epochs: 1, ..Default::default() })?;
/// assert_eq!(last_history(), Some(history));
/// # Ok::<(), Error>(())
/// ```
pub fn last_history() -> Option<History> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Keeps a history for [`last_history`].
pub(super) fn remember(history: &History) {
    *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(history.clone());
}

/// What a table or figure has to say of the runs behind it: which of them are recorded, and on which days they were
/// made. `None` if all of them were trained just now.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let recorded = History { recorded_on: Some("2026-11-23".to_owned()), ..Default::default() };
/// let trained_now = History::default();
/// assert_eq!(recorded_note([&recorded, &trained_now]).unwrap(), "1 of 2 runs recorded on 2026-11-23");
/// assert_eq!(recorded_note([&trained_now]), None);
/// ```
pub fn recorded_note<'a>(runs: impl IntoIterator<Item = &'a History>) -> Option<String> {
    let runs: Vec<_> = runs.into_iter().map(|run| run.recorded_on.as_deref()).collect();
    let recorded = runs.iter().flatten().count();
    let days: Vec<&str> = BTreeSet::from_iter(runs.iter().flatten().copied()).into_iter().collect();
    let days = days.join(" and ");
    match recorded {
        0 => None,
        _ if recorded == runs.len() => Some(format!("recorded on {days}")),
        _ => Some(format!("{recorded} of {} runs recorded on {days}", runs.len())),
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
            validation_loss: None,
            validation_accuracy: None,
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
        let history = History { epochs, ..Default::default() };
        assert_eq!(history.best().unwrap().epoch, 3);
        assert_eq!(history.last_accuracy(), 0.8);
        assert_eq!(history.to_string(), "best test accuracy 0.8000 (epoch 3 of 4), last 0.8000");
    }

    #[test]
    fn where_there_are_validation_images_they_choose_the_best() {
        let validated = |validation_accuracy, record| EpochRecord { validation_accuracy, ..record };
        let epochs =
            vec![validated(Some(0.75), record(1, 0.7, true)), validated(Some(0.5), record(2, 0.8, true))];
        let history = History { epochs, ..Default::default() };
        assert_eq!((history.best_epoch(), history.best_accuracy()), (1, 0.7));
        assert_eq!(
            history.to_string(),
            "best test accuracy 0.7000 (epoch 1 of 2, chosen by validation accuracy 0.7500), last 0.8000"
        );
    }

    #[test]
    fn a_history_survives_as_json() {
        let through_json = |history: &History| -> History {
            serde_json::from_str(&serde_json::to_string(history).unwrap()).unwrap()
        };
        let note = Some("quick scale".to_owned());
        let history = History { epochs: vec![record(1, 0.1 + 0.2, true)], note, recorded_on: None };
        assert_eq!(through_json(&history), history);
        let diverged = EpochRecord { test_loss: f64::INFINITY, ..record(1, 0.1, true) };
        let diverged = History { epochs: vec![diverged], ..Default::default() };
        assert!(through_json(&diverged).epochs[0].test_loss.is_nan());
    }

    #[test]
    fn recorded_runs_say_so() {
        let run = |day: Option<&str>| History { recorded_on: day.map(str::to_owned), ..Default::default() };
        let (fresh, old, older) = (run(None), run(Some("2026-11-23")), run(Some("2026-11-20")));
        assert_eq!(old.to_string(), "no epoch yet (recorded on 2026-11-23)");
        assert_eq!(recorded_note([&fresh]), None);
        assert_eq!(recorded_note([&old, &older]).unwrap(), "recorded on 2026-11-20 and 2026-11-23");
        assert_eq!(recorded_note([&fresh, &old]).unwrap(), "1 of 2 runs recorded on 2026-11-23");
    }
}
