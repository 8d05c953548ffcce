//! The notebook's stop button, as code that runs long sees it.
//!
//! When stop is pressed while a cell runs, the kernel writes to the file that `LAB_STOP_FILE` names; when the next cell
//! starts, it removes the file. It is a file because that needs no signal handler here, reaches whatever runs in the
//! cell, and cannot come too early. Whoever ends a training because of it empties the file: then the rest of the
//! cell runs, but no further training starts in it.
//!
//! A loop of one's own ends with `if stop_requested() { break }`.

use base::{Error, Result};
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

/// Whether stop was pressed in the running cell, and nothing has ended because of it yet. Costs a microsecond; always
/// false outside of a notebook.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let mut steps = 0;
/// while steps < 1000 && !stop_requested() {
///     steps += 1;
/// }
/// assert_eq!(steps, 1000, "nobody has pressed stop");
/// ```
pub fn stop_requested() -> bool {
    BUTTON.is_pressed()
}

/// Passes unless stop was pressed: for a computation whose unfinished result is worth nothing.
///
/// ```
/// use kernel_helpers::{Result, stop};
///
/// fn sum_of_squares(count: u64) -> Result<u64> {
///     (0..count).try_fold(0, |sum, i| {
///         stop::check(|| format!("{i} of {count} squares were added"))?;
///         Ok(sum + i * i)
///     })
/// }
/// assert_eq!(sum_of_squares(4)?, 14);
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// [`Error::Stopped`] with `what` was stopped, if [`stop_requested`].
pub fn check(what: impl FnOnce() -> String) -> Result<()> {
    if BUTTON.is_pressed() { Err(Error::Stopped(what())) } else { Ok(()) }
}

/// Notes that a training has ended because of the button.
///
/// ```
/// use kernel_helpers::stop;
///
/// for _step in 0..1000 {
///     if stop::stop_requested() {
///         stop::obeyed();
///         break;
///     }
/// }
/// assert!(!stop::stop_requested(), "the rest of the cell runs");
/// ```
pub fn obeyed() {
    BUTTON.release();
}

/// Passes unless stop was pressed at any time in the running cell: with several trainings in a cell, one press ends
/// all of them.
///
/// ```
/// use kernel_helpers::stop;
///
/// stop::may_start_training()?;
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// [`Error::Stopped`], if it was.
pub fn may_start_training() -> Result<()> {
    if BUTTON.was_pressed() {
        return Err(Error::Stopped("no further training starts in this cell".to_owned()));
    }
    Ok(())
}

static BUTTON: LazyLock<Button> =
    LazyLock::new(|| Button { file: std::env::var_os("LAB_STOP_FILE").map(PathBuf::from) });

/// The button's state is the file's: absent, written to, emptied again.
struct Button {
    file: Option<PathBuf>,
}

impl Button {
    fn was_pressed(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.exists())
    }

    fn is_pressed(&self) -> bool {
        self.file.as_ref().and_then(|file| fs::metadata(file).ok()).is_some_and(|file| file.len() > 0)
    }

    fn release(&self) {
        if let Some(file) = self.file.as_ref().filter(|file| file.exists()) {
            // If the file cannot be emptied, more of the cell ends than has to.
            let _ = fs::write(file, "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_press_is_seen_until_it_is_obeyed_and_remembered_until_the_file_goes() {
        let folder = tempfile::tempdir().unwrap();
        let button = Button { file: Some(folder.path().join("stop")) };
        button.release();
        assert!(!button.is_pressed() && !button.was_pressed());
        fs::write(button.file.as_ref().unwrap(), "pressed").unwrap();
        assert!(button.is_pressed() && button.was_pressed());
        button.release();
        assert!(!button.is_pressed() && button.was_pressed());
    }

    #[test]
    fn outside_of_a_notebook_there_is_no_button() {
        let button = Button { file: None };
        button.release();
        assert!(!button.is_pressed() && !button.was_pressed());
    }
}
