//! A run in a terminal: a bar that stays below the lines.

use super::lines::epoch_line;
use super::{Observer, Plan, Step, rounded};
use crate::History;
use display::print_line;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error; lines go to standard output above it.
pub(super) struct Bar {
    plan: Plan,
    bar: ProgressBar,
}

impl Bar {
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan, bar: ProgressBar::hidden() }
    }

    fn print(&self, line: &str) {
        self.bar.suspend(|| print_line(line));
    }
}

impl Observer for Bar {
    fn begin(&mut self) {
        self.bar = ProgressBar::new((self.plan.epochs * self.plan.steps) as u64).with_style(style());
    }

    fn say(&mut self, line: &str, _lasting: bool) {
        self.print(line);
    }

    fn resumed(&mut self, history: &History) {
        self.bar.set_position((history.epochs.len() * self.plan.steps) as u64);
    }

    fn step(&mut self, step: &Step) {
        if self.bar.is_hidden() {
            self.begin(); // a loop of one's own
        }
        let Step { epoch, loss, accuracy, rate, left, .. } = step;
        let (epochs, left) = (self.plan.epochs, rounded(*left));
        self.bar.set_position(((epoch - 1) * self.plan.steps + step.step) as u64);
        self.bar.set_message(format!(
            "epoch {epoch}/{epochs}, loss {loss:.4}, accuracy {accuracy:.4}, {rate:.0} images/s, {left} left"
        ));
    }

    fn testing(&mut self, epoch: usize, done: usize, total: usize) {
        let epochs = self.plan.epochs;
        self.bar.set_message(format!("epoch {epoch}/{epochs}, tested {done} of {total} images"));
    }

    fn epoch(&mut self, history: &History) {
        if let Some(line) = epoch_line(&self.plan, history) {
            self.print(&line);
        }
    }

    fn end(&mut self, history: &History, record: Option<&str>) {
        self.bar.finish_and_clear();
        if let (Some(record), Some(_)) = (record, &history.recorded_on) {
            print_line(record);
        }
    }
}

/// The bar of a computation with this much to do.
pub(super) fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{bar:20} {percent:>3} % {msg}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("█░")
}
