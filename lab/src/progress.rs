//! The bars and lines on standard error, of which several things that go on at once have one each.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::fmt::Display;
use std::sync::LazyLock;
use std::time::Duration;

static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Puts a bar below the others.
pub fn add(bar: ProgressBar) -> ProgressBar {
    BARS.add(bar)
}

/// A line for what has no end in sight: its message, and how long it has taken.
pub fn spinner(message: impl Display) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}").expect("a valid template");
    let bar = add(ProgressBar::new_spinner().with_style(style).with_message(message.to_string()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Prints a line above the bars.
pub fn say(line: impl Display) {
    BARS.suspend(|| eprintln!("{line}"));
}
