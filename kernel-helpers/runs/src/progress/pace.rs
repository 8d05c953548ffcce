//! How fast a run is.

use std::time::{Duration, Instant};

/// How much of an older step's time counts at the next: the rate is that of about the last twenty.
const MEMORY: f64 = 0.95;

/// Counts the steps of a run, and tells how fast they are and how long the rest takes.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    started: Instant,
    last: Instant,
    total: usize,
    done: usize,
    /// Images and seconds of the steps of late.
    recent: (f64, f64),
}

impl Pace {
    /// A run of `total` steps that starts now.
    pub(super) fn new(total: usize) -> Self {
        let now = Instant::now();
        Self { started: now, last: now, total, done: 0, recent: (0.0, 0.0) }
    }

    /// Counts a step over this many images that ends now.
    pub(super) fn step(&mut self, images: usize) {
        let seconds = self.last.elapsed().as_secs_f64();
        self.recent = (MEMORY * self.recent.0 + images as f64, MEMORY * self.recent.1 + seconds);
        self.done += 1;
        self.last = Instant::now();
    }

    /// What was done since the last step was none.
    pub(super) fn pause_ends(&mut self) {
        self.last = Instant::now();
    }

    /// Images a second of late.
    pub(super) fn rate(&self) -> f64 {
        self.recent.0 / self.recent.1.max(f64::EPSILON)
    }

    /// How long the rest takes, with tests and all else, as it did so far.
    pub(super) fn left(&self) -> Duration {
        let left = self.total.saturating_sub(self.done) as f64;
        self.started.elapsed().mul_f64(left / self.done.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_steps_and_the_rest_that_of_all() {
        let mut pace = Pace::new(4);
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(20));
            pace.step(10);
            std::thread::sleep(Duration::from_millis(60));
            pace.pause_ends();
        }
        assert!((100.0..501.0).contains(&pace.rate()), "{}", pace.rate());
        assert!(pace.left() >= Duration::from_millis(160), "{:?}", pace.left());
        pace.step(10);
        pace.step(10);
        assert_eq!(pace.left(), Duration::ZERO);
    }
}
