//! How far a computation that runs long has come, for whoever watches it.
//!
//! The trainer tells a [`Watch`] of its steps, tests and epochs, and knows nothing of where that is shown. It is one of
//! these [`Observer`]s:
//!
//! | where | what is shown |
//! |---|---|
//! | this project's kernel | a line with a bar and the curves, both in place; in the end what the history says, and no times |
//! | plain evcxr | lines, and the curves in the end |
//! | a terminal | a bar on standard error, and a line an epoch |
//! | anywhere else, such as a log | lines |

mod curves;
mod lines;
mod live;
mod pace;
mod terminal;
mod testing;

pub(crate) use testing::TestWatch;

use crate::History;
use display::Channel;
use pace::Pace;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What a run is going to do, and how often it is to be told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub epochs: usize,
    /// The steps of an epoch.
    pub steps: usize,
    /// A line every so many steps, where there are lines; 0 for none.
    pub log_every_n: usize,
    /// A line every so many epochs, where there are lines; 0 for none.
    pub log_every_epochs: usize,
}

/// A run after a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The step in the epoch, from 1.
    pub step: usize,
    /// The loss of the step's batch.
    pub loss: f64,
    /// The share of the batch's images that were classified correctly.
    pub accuracy: f64,
    /// Images a second of late.
    pub rate: f64,
    /// How long the rest of the run takes at the pace so far.
    pub left: Duration,
}

/// One who watches a run.
pub(crate) trait Observer: Send {
    /// The run has been asked for.
    fn begin(&mut self) {}

    /// There is something to say. What is not `lasting` is of no interest when the run is finished.
    fn say(&mut self, line: &str, lasting: bool);

    /// A step has been made.
    fn step(&mut self, step: &Step);

    /// This many of the validation and test images have been tested, after an epoch.
    fn testing(&mut self, epoch: usize, done: usize, total: usize);

    /// The run goes on after the epochs of this history.
    fn resumed(&mut self, _history: &History) {}

    /// Another epoch has been tested, the last of this history.
    fn epoch(&mut self, history: &History);

    /// The run is over. How it came about is said of one that is recorded.
    fn end(&mut self, history: &History, record: Option<&str>);
}

/// The way from a run to its observer. A clone leads to the same.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Mutex<Watched>>);

struct Watched {
    plan: Plan,
    pace: Pace,
    observer: Box<dyn Observer>,
}

impl Watch {
    /// The watch over a run that is about to start, by the observer that belongs to where this process runs.
    pub(crate) fn new(plan: Plan) -> Self {
        let silent = plan.log_every_n == 0 && plan.log_every_epochs == 0;
        Self::by(
            plan,
            match Channel::current() {
                Channel::Lab if !silent => Box::new(live::Live::new(plan, live::Notebook::default())),
                Channel::None if !silent && std::io::stderr().is_terminal() => {
                    Box::new(terminal::Bar::new(plan))
                }
                channel => Box::new(lines::Lines::new(plan, channel == Channel::Evcxr && !silent)),
            },
        )
    }

    fn by(plan: Plan, observer: Box<dyn Observer>) -> Self {
        Self(Arc::new(Mutex::new(Watched { plan, pace: Pace::new(plan.epochs * plan.steps), observer })))
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The run has been asked for.
    pub(crate) fn begin(&self) {
        self.watched().observer.begin();
    }

    /// Says what is of interest while the run goes on.
    pub(crate) fn say(&self, line: &str) {
        self.watched().observer.say(line, false);
    }

    /// Says what has to be known afterwards too.
    pub(crate) fn warn(&self, line: &str) {
        self.watched().observer.say(line, true);
    }

    /// A step of an epoch has been made on a batch of images.
    pub(crate) fn step(&self, epoch: usize, step: usize, (loss, hits): (f64, usize), images: usize) {
        let Watched { pace, observer, .. } = &mut *self.watched();
        pace.step(images);
        let accuracy = hits as f64 / images as f64;
        observer.step(&Step { epoch, step, loss, accuracy, rate: pace.rate(), left: pace.left() });
    }

    /// This many of the test images have been tested.
    pub(crate) fn testing(&self, epoch: usize, done: usize, total: usize) {
        self.watched().observer.testing(epoch, done, total);
    }

    /// Another epoch has been tested.
    pub(crate) fn epoch(&self, history: &History) {
        let Watched { pace, observer, .. } = &mut *self.watched();
        observer.epoch(history);
        pace.pause_ends();
    }

    /// The run goes on after these epochs.
    pub(crate) fn resumed(&self, history: &History) {
        let Watched { plan, pace, observer } = &mut *self.watched();
        *pace = Pace::new(plan.epochs.saturating_sub(history.epochs.len()) * plan.steps);
        observer.resumed(history);
    }

    /// The run is over; of one that is recorded, `record` says how it came about.
    pub(crate) fn end(&self, history: &History, record: Option<&str>) {
        self.watched().observer.end(history, record);
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// A bar of 20 characters of which a share is filled, and the share in percent.
fn bar(share: f64) -> String {
    const WIDTH: usize = 20;
    let filled = (share.clamp(0.0, 1.0) * WIDTH as f64) as usize;
    format!("{}{} {:3.0} %", "█".repeat(filled), "░".repeat(WIDTH - filled), (100.0 * share).floor())
}

/// A duration in words, to about two digits.
fn rounded(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds < 100 => format!("{seconds} s"),
        seconds if seconds < 100 * 60 => format!("{} min", (seconds + 30) / 60),
        seconds => format!("{:.1} h", seconds as f64 / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_to_what_is_read() {
        let words = [5, 150, 5900, 9000].map(|seconds| rounded(Duration::from_secs(seconds)));
        assert_eq!(words, ["5 s", "3 min", "98 min", "2.5 h"]);
    }

    #[test]
    fn a_bar_is_full_only_in_the_end() {
        assert_eq!(bar(0.0), "░░░░░░░░░░░░░░░░░░░░   0 %");
        assert_eq!(bar(0.5), "██████████░░░░░░░░░░  50 %");
        assert_eq!(bar(0.999), "███████████████████░  99 %");
        assert_eq!(bar(1.0), "████████████████████ 100 %");
    }
}
