//! The line that says how far the compiling is.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// What is up to date is silent, and what takes less.
const SILENT: Duration = Duration::from_millis(700);
/// Where nobody sees a line change, one comes so often.
const INTERVAL: Duration = Duration::from_secs(30);

/// How much of the time is over when a share of the crates is compiled, both in thousandths: the small ones come first. Of a
/// build from nothing on two cores.
const PACE: [(u64, u64); 10] = [
    (0, 0),
    (276, 95),
    (408, 187),
    (584, 393),
    (659, 518),
    (699, 610),
    (749, 712),
    (862, 807),
    (950, 902),
    (1000, 1000),
];

/// How far the compiling is.
pub struct Meter {
    started: Instant,
    /// When a line was last shown; none if none was.
    shown: Option<Instant>,
    /// How many crates were compiled when the first were counted.
    first: Option<usize>,
    on_terminal: bool,
}

impl Meter {
    pub fn new() -> Self {
        Meter { started: Instant::now(), shown: None, first: None, on_terminal: stderr().is_terminal() }
    }

    /// Says that sources come from the network.
    pub fn download(&mut self, what: &str) {
        self.show(what.trim_end_matches([' ', '.']));
    }

    /// Says that so many of all crates are compiled.
    pub fn count(&mut self, done: usize, all: usize) {
        let first = *self.first.get_or_insert(done);
        let elapsed = self.started.elapsed();
        let left = left(elapsed, first, done, all);
        let left = left.map_or_else(|| "minutes left".to_owned(), |left| format!("{} left", duration(left)));
        self.show(&format!("Compiling the command: {done} of {all} crates, {}, {left}", duration(elapsed)));
    }

    fn show(&mut self, text: &str) {
        if self.started.elapsed() < SILENT {
            return;
        }
        if self.shown.is_none() {
            eprintln!(
                "The command is compiled first: some minutes the first time, and less after changes. Ctrl-C keeps what is compiled."
            );
        }
        if self.on_terminal {
            eprint!("\r{text}\u{1b}[K");
        } else if self.shown.is_none_or(|shown| shown.elapsed() >= INTERVAL) {
            eprintln!("{text}");
        } else {
            return;
        }
        // Who cannot see it cannot be told either.
        let _ = stderr().flush();
        self.shown = Some(Instant::now());
    }

    /// Removes the line.
    pub fn end(&self) {
        if self.shown.is_none() {
            return;
        }
        if self.on_terminal {
            eprint!("\r\u{1b}[K");
        }
        eprintln!("Compiled the command in {}.", duration(self.started.elapsed()));
    }
}

/// The time left, as soon as it can be told.
fn left(elapsed: Duration, first: usize, done: usize, all: usize) -> Option<Duration> {
    let share = |count: usize| at(1000 * count as u64 / all.max(1) as u64);
    let (begun, reached) = (share(first), share(done));
    let passed = reached.checked_sub(begun).filter(|passed| *passed >= 10)?;
    Some(elapsed.mul_f64((1000 - reached) as f64 / passed as f64))
}

/// The thousandths of the time that are over with these thousandths of the crates.
fn at(crates: u64) -> u64 {
    let pair = PACE.windows(2).find(|pair| crates <= pair[1].0);
    pair.map_or(1000, |pair| {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        y0 + (y1 - y0) * (crates - x0) / (x1 - x0)
    })
}

/// `2:05 min`, or `7 s`.
fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 { format!("{seconds} s") } else { format!("{}:{:02} min", seconds / 60, seconds % 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_the_pace() {
        let minute = Duration::from_secs(60);
        assert_eq!(left(minute, 0, 1, 400), None, "too early to tell");
        assert_eq!(left(minute, 0, 400, 400), Some(Duration::ZERO));
        let halfway = left(minute, 0, 200, 400).unwrap();
        assert!(halfway > Duration::ZERO);
        // What was compiled before does not count for the pace.
        assert!(left(minute, 100, 200, 400).unwrap() > halfway);
    }

    #[test]
    fn the_pace_only_grows() {
        assert!(PACE.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
        let shares: Vec<u64> = (0..=1000).map(at).collect();
        assert!(shares.is_sorted() && shares[0] == 0 && shares[1000] == 1000);
    }

    #[test]
    fn times_are_short() {
        assert_eq!(duration(Duration::from_secs(7)), "7 s");
        assert_eq!(duration(Duration::from_secs(125)), "2:05 min");
    }
}
