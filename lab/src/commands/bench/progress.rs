//! What is being measured, and how long the rest takes.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// A bar on a terminal, a line for every measurement in a log; both on standard error.
pub struct Progress {
    bar: ProgressBar,
    done: f64,
    total: f64,
}

impl Progress {
    /// `total` is the work of all measurements, in any unit.
    pub fn new(total: f64) -> Self {
        let style = ProgressStyle::with_template("[{bar:12}] {wide_msg}");
        let bar =
            ProgressBar::new(total as u64).with_style(style.expect("a valid template").progress_chars("=> "));
        Self { bar, done: 0.0, total }
    }

    /// A measurement begins.
    pub fn start(&self, what: &str) {
        let message = match time_left(self.bar.elapsed(), self.done, self.total) {
            Some(left) => format!("{what}; about {left} left"),
            None => what.to_owned(),
        };
        if self.bar.is_hidden() {
            eprintln!("{message}");
        }
        self.bar.set_message(message);
    }

    /// A measurement with so much work is over.
    pub fn finish(&mut self, work: f64) {
        self.done += work;
        self.bar.set_position(self.done as u64);
    }

    /// All measurements are over.
    pub fn end(self) {
        self.bar.finish_and_clear();
    }
}

/// How long the rest takes if all work takes as long as that done so far, in minutes and seconds; `None` if nothing is done.
fn time_left(elapsed: Duration, done: f64, total: f64) -> Option<String> {
    let seconds = (done > 0.0).then(|| elapsed.as_secs_f64() * (total - done) / done)?.round() as u64;
    Some(format!("{}:{:02}", seconds / 60, seconds % 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_that_of_the_work_left() {
        let left = |done| time_left(Duration::from_secs(30), done, 100.0);
        assert_eq!(left(0.0), None);
        assert_eq!(left(25.0).as_deref(), Some("1:30"));
        assert_eq!(left(100.0).as_deref(), Some("0:00"));
    }
}
