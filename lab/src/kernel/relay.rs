//! Stands between evcxr and the process that runs the cells: marks failed cells, and carries out the stop button.
//!
//! When a cell ends early, by `?` or by a panic, evcxr prints the reason to standard error and reports success: nothing
//! that reaches Jupyter says that the cell failed. It does say so inside, by a line on the standard output of the process
//! that runs the cells. So the relay passes everything on and adds an output of the type [`FAILURE`] where such a line
//! comes. `execute.py` looks for it. The end of a cell it passes on when evcxr has told Jupyter all that the cell printed.
//!
//! The stop button sends SIGINT to the kernel's processes. The [first press](Button) in a cell writes the file that the
//! helpers look at between batches (`kernel_helpers::stop`); a second one soon after ends the process that runs the cells,
//! and the relay with it. evcxr then starts both anew, without the variables.

use super::settling::wait_until_asleep;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, getppid, kill_process};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The MIME type of the output that marks a failed cell; also in `execute.py`.
const FAILURE: &str = "application/x-lab-failure";

/// evcxr sets it for the process that runs the cells.
const IS_RUNTIME: &str = "EVCXR_IS_RUNTIME";
/// The relay sets it for the process behind it.
const IS_RELAYED: &str = "LAB_RELAYED";
/// Names the file by which the helpers know that stop was pressed; also in `kernel_helpers::stop`.
const STOP_FILE: &str = "LAB_STOP_FILE";

/// What evcxr sends to run a cell.
const START_LINE: &[u8] = b"LOAD_AND_RUN ";
/// What comes back when the cell has ended.
const END_LINE: &[u8] = b"EVCXR_EXECUTION_COMPLETE\n";
/// evcxr's lines for a cell that ended by `?` and by a panic.
const FAILURE_LINES: [&[u8]; 2] = [b"EVCXR_ERROR_OCCURRED\n", b"EVCXR_PANIC_NOTIFICATION\n"];

/// A second press within this time ends the cell, whatever it does.
const TWICE: Duration = Duration::from_secs(2);

/// Whether evcxr started this process to run cells, and the relay has still to come between them.
pub fn is_needed() -> bool {
    std::env::var_os(IS_RUNTIME).is_some() && std::env::var_os(IS_RELAYED).is_none()
}

/// Starts this executable again to run the cells, and relays what it and evcxr say to each other until it ends.
pub fn relay() -> Result<ExitCode> {
    let mut signals = Signals::new([SIGINT]).context("could not handle signals")?;
    let button = Arc::new(Mutex::new(Button::new()?));
    let mut cells = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(IS_RELAYED, "1")
        .env(STOP_FILE, &lock(&button).file)
        // evcxr asks for backtraces, candle's errors included: they name no line of a cell, and bury the message.
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("could not start the process that runs the cells")?;
    let pid = Pid::from_child(&cells);
    let mut input = cells.stdin.take().expect("a piped stdin");
    let output = cells.stdout.take().expect("a piped stdout");
    std::thread::spawn({
        let button = Arc::clone(&button);
        // The end of evcxr's input closes the input of the cells, which ends them.
        move || pass_on(&mut std::io::stdin().lock(), &mut input, &button)
    });
    std::thread::spawn({
        let button = Arc::clone(&button);
        move || {
            for _ in signals.forever() {
                match lock(&button).press(Instant::now()) {
                    Press::Idle => {}
                    Press::First => eprintln!(
                        "Stopping at the next batch.\n\
                         To end whatever else runs here, press again within two seconds: all variables are lost then."
                    ),
                    // The process may have just ended, which is as good.
                    Press::Second => drop(kill_process(pid, Signal::KILL)),
                }
            }
        }
    });
    pass_on(&mut BufReader::new(output), &mut std::io::stdout().lock(), &button)?;
    let status = cells.wait().context("could not wait for the process that runs the cells")?;
    let button = lock(&button);
    if button.running {
        eprintln!("{}", explain(button.pressed_twice, status));
    }
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// Prepares the process that runs the cells: SIGINT is the relay's to handle, and the process ends when the relay is gone,
/// which is how evcxr ends a cell.
pub fn serve_relay() {
    if std::env::var_os(IS_RELAYED).is_none() {
        return;
    }
    ignore_stop_button();
    let relay = getppid();
    std::thread::spawn(move || {
        while getppid() == relay {
            std::thread::sleep(Duration::from_millis(100));
        }
        std::process::exit(1);
    });
}

/// Lets SIGINT, which comes to all of the kernel's processes, pass by this one.
pub fn ignore_stop_button() {
    // Where it cannot be handled, the process ends at the stop button as any other would.
    let _ = signal_hook::flag::register(SIGINT, Arc::new(AtomicBool::new(false)));
}

/// The stop button as it concerns the running cell.
struct Button {
    file: PathBuf,
    running: bool,
    last_press: Option<Instant>,
    pressed_twice: bool,
}

/// What a press means.
#[derive(Debug, PartialEq, Eq)]
enum Press {
    /// No cell runs.
    Idle,
    /// The helpers have been told.
    First,
    /// The cell has to end now.
    Second,
}

impl Button {
    /// A button whose file lies beside evcxr's crate, in the folder that goes when the kernel ends.
    fn new() -> Result<Self> {
        let folder = std::env::var_os("EVCXR_TMPDIR").context("the kernel's folder is not known")?;
        let file = PathBuf::from(folder).with_file_name("stop");
        Ok(Button { file, running: false, last_press: None, pressed_twice: false })
    }

    fn cell_starts(&mut self) {
        // It is there only if stop was pressed in the cell before.
        let _ = std::fs::remove_file(&self.file);
        (self.running, self.last_press) = (true, None);
    }

    fn press(&mut self, now: Instant) -> Press {
        if !self.running {
            return Press::Idle;
        }
        if self.last_press.replace(now).is_some_and(|last| now - last <= TWICE) {
            self.pressed_twice = true;
            return Press::Second;
        }
        if let Err(error) = std::fs::write(&self.file, "pressed") {
            eprintln!("could not write {}: {error}", self.file.display());
        }
        Press::First
    }
}

fn lock(button: &Mutex<Button>) -> MutexGuard<'_, Button> {
    button.lock().expect("nothing panics while it holds the lock")
}

/// What the cell says when the process that ran it has ended.
fn explain(pressed_twice: bool, status: ExitStatus) -> String {
    let lost = "All variables are lost: run the cells that define them again. The helpers are still loaded.";
    if pressed_twice {
        format!("The cell was stopped. {lost}")
    } else {
        format!("The process that runs the cells has ended ({status}). {lost}")
    }
}

/// Passes lines on until there are no more, and notices the cell's start, failure and end.
fn pass_on(from: &mut impl BufRead, to: &mut impl Write, button: &Mutex<Button>) -> Result<()> {
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).context("could not read a line")? > 0 {
        if let Some(failure) = FAILURE_LINES.iter().find(|failure| line.ends_with(failure)) {
            // What the cell printed last need not end with a line's end; evcxr, too, looks for a line of its own.
            let printed = line.len() - failure.len();
            if printed > 0 {
                line.insert(printed, b'\n');
                to.write_all(&line[..=printed])?;
                line.drain(..=printed);
            }
            write!(to, "EVCXR_BEGIN_CONTENT {FAILURE}\nfailed\nEVCXR_END_CONTENT\n")?;
        } else if line.starts_with(START_LINE) {
            lock(button).cell_starts();
        } else if line == END_LINE {
            lock(button).running = false;
            if let Some(evcxr) = getppid() {
                wait_until_asleep(evcxr);
            }
        }
        to.write_all(&line).and_then(|()| to.flush()).context("could not pass a line on")?;
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn button(folder: &tempfile::TempDir) -> Mutex<Button> {
        let file = folder.path().join("stop");
        Mutex::new(Button { file, running: false, last_press: None, pressed_twice: false })
    }

    #[test]
    fn everything_is_passed_on_and_failures_are_marked() {
        let folder = tempfile::tempdir().unwrap();
        let cells = b"one\n\xff\xfe\nEVCXR_ERROR_OCCURRED\nEVCXR_EXECUTION_COMPLETE\nno line's end";
        let mut evcxr = Vec::new();
        pass_on(&mut &cells[..], &mut evcxr, &button(&folder)).unwrap();
        let marked =
            b"one\n\xff\xfe\nEVCXR_BEGIN_CONTENT application/x-lab-failure\nfailed\nEVCXR_END_CONTENT\n\
            EVCXR_ERROR_OCCURRED\nEVCXR_EXECUTION_COMPLETE\nno line's end";
        assert_eq!(evcxr, marked);

        let mut evcxr = Vec::new();
        pass_on(&mut &b"step 1 \xe2\x80\xa6 EVCXR_PANIC_NOTIFICATION\n"[..], &mut evcxr, &button(&folder))
            .unwrap();
        let marked = "step 1 …\u{20}\nEVCXR_BEGIN_CONTENT application/x-lab-failure\nfailed\nEVCXR_END_CONTENT\n\
                      EVCXR_PANIC_NOTIFICATION\n";
        assert_eq!(String::from_utf8(evcxr).unwrap(), marked);
    }

    #[test]
    fn the_button_works_while_a_cell_runs_and_the_next_cell_starts_afresh() {
        let folder = tempfile::tempdir().unwrap();
        let button = button(&folder);
        let file = lock(&button).file.clone();
        let press = |seconds| lock(&button).press(Instant::now() + Duration::from_secs(seconds));
        let pass = |line: &[u8]| pass_on(&mut &*line, &mut Vec::new(), &button).unwrap();
        assert_eq!(press(0), Press::Idle);
        pass(b"LOAD_AND_RUN libcode_1.so run_user_code_1\n");
        assert_eq!((press(10), press(20)), (Press::First, Press::First));
        assert!(file.exists());
        assert_eq!(press(21), Press::Second);
        pass(b"EVCXR_EXECUTION_COMPLETE\n");
        assert_eq!(press(30), Press::Idle);
        pass(b"LOAD_AND_RUN libcode_2.so run_user_code_2\n");
        assert!(!file.exists());
    }
}
