//! Progress lines of a training run.

use std::time::{Duration, Instant};

/// Counts the steps of a run and says how fast they are and how long the rest takes.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    started: Instant,
    total: usize,
    done: usize,
    lap_started: Instant,
    lap_examples: usize,
    last_line: Instant,
}

/// Lines that come more often than this are not read.
const QUIET: Duration = Duration::from_secs(20);

impl Progress {
    /// A run of `total` steps that starts now.
    pub(super) fn new(total: usize) -> Self {
        let now = Instant::now();
        Self { started: now, total, done: 0, lap_started: now, lap_examples: 0, last_line: now }
    }

    /// Counts a finished step.
    pub(super) fn step(&mut self, examples: usize) {
        self.done += 1;
        self.lap_examples += examples;
    }

    /// Whether the last line is long enough ago for another.
    pub(super) fn is_due(&self) -> bool {
        self.last_line.elapsed() >= QUIET
    }

    /// Notes that a line has been printed.
    pub(super) fn printed(&mut self) {
        self.last_line = Instant::now();
    }

    /// "812 examples/second, 3 min left" since the last lap; starts a new lap.
    pub(super) fn lap(&mut self) -> String {
        let rate = self.lap_examples as f64 / self.lap_started.elapsed().as_secs_f64();
        (self.lap_started, self.lap_examples) = (Instant::now(), 0);
        self.printed();
        let per_step = self.started.elapsed().as_secs_f64() / self.done.max(1) as f64;
        let left = per_step * self.total.saturating_sub(self.done) as f64;
        format!("{rate:.0} examples/second, {} left", rounded(Duration::from_secs_f64(left)))
    }
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
}
