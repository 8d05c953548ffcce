//! How far a test has come that is not a part of a run. Its numbers are its result, so nothing of this stays.

use super::{bar, rounded, terminal};
use display::{Channel, MimeBundle, Passing};
use indicatif::ProgressBar;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// A test that is over before this is not worth a word.
const SHORT: Duration = Duration::from_millis(500);
/// The text changes at most this often.
const PAUSE: Duration = Duration::from_millis(250);

/// Watches a test over a number of images.
pub(crate) struct TestWatch {
    total: usize,
    started: Instant,
    due: Instant,
    place: Place,
}

/// Where it is shown.
enum Place {
    Notebook(Option<Passing>),
    Terminal(ProgressBar),
    Nowhere,
}

impl TestWatch {
    /// The watch over a test that starts now.
    pub(crate) fn new(total: usize) -> Self {
        let started = Instant::now();
        let place = match Channel::current() {
            Channel::Lab => Place::Notebook(None),
            Channel::None if std::io::stderr().is_terminal() => {
                Place::Terminal(ProgressBar::new(total as u64).with_style(terminal::style()))
            }
            _ => Place::Nowhere,
        };
        Self { total, started, due: started + SHORT, place }
    }

    /// This many images have been tested.
    pub(crate) fn done(&mut self, done: usize) {
        let now = Instant::now();
        if now < self.due {
            return;
        }
        self.due = now + PAUSE;
        let line = line(done, self.total, now - self.started);
        match &mut self.place {
            Place::Notebook(place) => {
                place.get_or_insert_with(Passing::here).show(&MimeBundle::plain(line));
            }
            Place::Terminal(bar) => {
                bar.set_position(done as u64);
                bar.set_message(format!("tested {done} of {} images", self.total));
            }
            Place::Nowhere => {}
        }
    }
}

impl Drop for TestWatch {
    fn drop(&mut self) {
        if let Place::Terminal(bar) = &self.place {
            bar.finish_and_clear();
        }
    }
}

fn line(done: usize, total: usize, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(f64::EPSILON);
    let left = Duration::from_secs_f64((total - done) as f64 / rate.max(f64::EPSILON));
    let bar = bar(done as f64 / total.max(1) as f64);
    format!("{bar}  tested {done} of {total} images; {rate:.0} images/s, {} left", rounded(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_told_with_pace_and_rest() {
        assert_eq!(
            line(2500, 10_000, Duration::from_secs(5)),
            "█████░░░░░░░░░░░░░░░  25 %  tested 2500 of 10000 images; 500 images/s, 15 s left"
        );
    }
}
