//! The stop button.

use kernel_helpers::files::write_whole;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A second press within this time ends the cell, whatever it does.
const TWICE: Duration = Duration::from_secs(10);

/// The stop button as it concerns the cell of the moment.
pub struct Button {
    /// The file by which helpers and compiler know that it was pressed.
    file: PathBuf,
    /// Whether a cell is there, compiled or run.
    running: bool,
    /// Whether it runs, so that ending its process would end it.
    runs_code: bool,
    last_press: Option<Instant>,
    pressed_twice: bool,
}

/// What a press means.
#[derive(Debug, PartialEq, Eq)]
pub enum Press {
    /// No cell is there.
    Idle,
    /// The helpers have been told.
    First,
    /// The cell has to end now.
    Second,
}

impl Button {
    /// A button that writes this file.
    pub fn new(file: PathBuf) -> Self {
        Button { file, running: false, runs_code: false, last_press: None, pressed_twice: false }
    }

    /// A cell begins.
    pub fn cell_starts(&mut self) {
        self.release();
        (self.running, self.runs_code, self.last_press, self.pressed_twice) = (true, false, None, false);
    }

    /// The cell's code runs, or does so no more.
    pub fn code_runs(&mut self, runs: bool) {
        self.runs_code = runs;
    }

    /// The cell has ended.
    pub fn cell_ends(&mut self) {
        (self.running, self.runs_code) = (false, false);
        // What is compiled between cells is not stopped.
        self.release();
    }

    fn release(&self) {
        // It is there only if stop was pressed.
        let _ = std::fs::remove_file(&self.file);
    }

    /// Whether the present cell is to end.
    pub fn is_pressed(&self) -> bool {
        self.file.exists()
    }

    /// Whether the last cell was ended by a second press.
    pub fn was_pressed_twice(&self) -> bool {
        self.pressed_twice
    }

    /// The button is pressed.
    pub fn press(&mut self, now: Instant) -> Press {
        if !self.running {
            return Press::Idle;
        }
        if self.last_press.replace(now).is_some_and(|last| now - last <= TWICE) && self.runs_code {
            self.pressed_twice = true;
            return Press::Second;
        }
        if let Err(error) = write_whole(&self.file, b"pressed") {
            eprintln!("{error}");
        }
        Press::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_button_works_while_a_cell_runs_and_the_next_cell_starts_afresh() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stop");
        let mut button = Button::new(file.clone());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(button.press(at(0)), Press::Idle);
        button.cell_starts();
        assert_eq!(
            [button.press(at(5)), button.press(at(6))],
            [Press::First, Press::First],
            "it is compiled"
        );
        button.code_runs(true);
        assert_eq!([button.press(at(20)), button.press(at(40))], [Press::First, Press::First]);
        assert!(file.exists() && !button.was_pressed_twice());
        assert_eq!(button.press(at(41)), Press::Second);
        assert!(button.was_pressed_twice());
        button.cell_ends();
        assert!(!file.exists());
        assert_eq!(button.press(at(42)), Press::Idle);
        button.cell_starts();
        assert!(!button.was_pressed_twice());
    }
}
