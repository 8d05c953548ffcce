//! A run in lines, for logs and for plain evcxr.

use super::{Observer, Plan, Step, curves, rounded};
use crate::{EpochRecord, History};
use display::{print_line, show};
use std::time::{Duration, Instant};

/// Lines that come more often than this are not read.
const QUIET: Duration = Duration::from_secs(20);

/// Prints a line now and then, and at the end of an epoch.
pub(super) struct Lines {
    plan: Plan,
    /// Whether to show the curves in the end.
    figure: bool,
    last_line: Instant,
}

impl Lines {
    pub(super) fn new(plan: Plan, figure: bool) -> Self {
        Self { plan, figure, last_line: Instant::now() }
    }

    fn print(&mut self, line: &str) {
        print_line(line);
        self.last_line = Instant::now();
    }
}

impl Observer for Lines {
    fn say(&mut self, line: &str, _lasting: bool) {
        self.print(line);
    }

    fn step(&mut self, step: &Step) {
        let number = (step.epoch - 1) * self.plan.steps + step.step;
        if number.is_multiple_of(self.plan.log_every_n) && self.last_line.elapsed() >= QUIET {
            self.print(&step_line(number, step));
        }
    }

    fn testing(&mut self, _epoch: usize, _done: usize, _total: usize) {}

    fn epoch(&mut self, history: &History) {
        if let Some(line) = epoch_line(&self.plan, history) {
            self.print(&line);
        }
    }

    fn end(&mut self, history: &History, record: Option<&str>) {
        // Of a run that was trained just now, the lines of its epochs say it all.
        let silent = self.plan.log_every_n == 0 && self.plan.log_every_epochs == 0;
        if let (false, Some(record), Some(_)) = (silent, record, &history.recorded_on) {
            epoch_lines(&self.plan, history).iter().for_each(|line| self.print(line));
            self.print(record);
        }
        if std::mem::take(&mut self.figure)
            && let Some(figure) = curves::of(history)
        {
            show(&figure);
        }
    }
}

fn step_line(number: usize, step: &Step) -> String {
    let Step { loss, accuracy, rate, left, .. } = step;
    let left = rounded(*left);
    format!("[Step={number}] Loss={loss:.4} acc={accuracy:.4} {rate:.0} examples/second, {left} left")
}

/// The line of the last epoch, if its turn has come.
pub(super) fn epoch_line(plan: &Plan, history: &History) -> Option<String> {
    let last = history.last()?;
    is_due(plan, last, plan.log_every_epochs).then(|| line_of(plan, last))
}

/// The lines of a whole run, at most about twenty.
pub(super) fn epoch_lines(plan: &Plan, history: &History) -> Vec<String> {
    let every = match plan.log_every_epochs {
        0 => return Vec::new(),
        every => every.max(plan.epochs.div_ceil(20)),
    };
    let due = history.epochs.iter().filter(|epoch| is_due(plan, epoch, every));
    due.map(|epoch| line_of(plan, epoch)).collect()
}

fn is_due(plan: &Plan, epoch: &EpochRecord, every: usize) -> bool {
    epoch.epoch.is_multiple_of(every) || (every > 0 && epoch.epoch == plan.epochs)
}

fn line_of(plan: &Plan, epoch: &EpochRecord) -> String {
    let (number, epochs) = (epoch.epoch, plan.epochs);
    let validated = epoch.validation_accuracy.map(|found| format!("Validation acc={found:.4}, "));
    format!(
        "Epoch {number}/{epochs}: {}Test Loss={:.4}, Test acc={:.4}",
        validated.unwrap_or_default(),
        epoch.test_loss,
        epoch.test_accuracy
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::curves::tests::history;

    #[test]
    fn a_whole_run_has_its_lines_but_no_more_than_twenty() {
        let lines = |epochs, log_every_epochs| {
            let plan = Plan { epochs, steps: 1, log_every_n: 0, log_every_epochs };
            epoch_lines(&plan, &history(epochs))
        };
        assert_eq!(lines(8, 0), [""; 0]);
        assert_eq!((lines(8, 5).len(), lines(160, 1).len()), (2, 20));
        assert!(lines(8, 5)[1].starts_with("Epoch 8/8: Test Loss="), "{:?}", lines(8, 5));
    }

    #[test]
    fn every_nth_epoch_has_a_line_and_the_last() {
        let plan = |log_every_epochs| Plan { epochs: 8, steps: 1, log_every_n: 0, log_every_epochs };
        let lines = |every| -> Vec<usize> {
            (1..=8).filter(|epochs| epoch_line(&plan(every), &history(*epochs)).is_some()).collect()
        };
        assert_eq!((lines(3), lines(0)), (vec![3, 6, 8], vec![]));
        assert_eq!(
            epoch_line(&plan(1), &history(4)).unwrap(),
            "Epoch 4/8: Test Loss=0.2500, Test acc=0.8000"
        );
    }

    #[test]
    fn a_step_is_told_with_pace_and_rest() {
        let left = Duration::from_secs(150);
        let step = Step { epoch: 2, step: 3, loss: 0.5, accuracy: 0.75, rate: 812.4, left };
        assert_eq!(step_line(7, &step), "[Step=7] Loss=0.5000 acc=0.7500 812 examples/second, 3 min left");
    }
}
