//! What a notebook shows of a panic.

use crate::cell::{PIPES, line_of_cell};
use std::cell::{Cell, RefCell};
use std::env;
use std::panic::{self, PanicHookInfo};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// From now on, a panic in this process is one line: its message, and the source file if that is not the cell's own
/// generated code. Rust's own message also names the thread by a number that changes from run to run, and a line of the
/// generated code, which nobody sees. Where `RUST_BACKTRACE` asks for a backtrace, everything stays as it is.
///
/// ```
/// kernel_helpers::panic::shorten_messages();
/// // Prints `panicked: no such layer (src/net.rs, line 7)`, and not the thread and the generated code.
/// assert!(std::panic::catch_unwind(|| panic!("no such layer")).is_err());
/// ```
pub fn shorten_messages() {
    if env::var_os("RUST_BACKTRACE").is_none_or(|value| value == "0") && env::var_os(PIPES).is_none() {
        panic::set_hook(Box::new(print));
    }
}

/// The last panic of a thread that runs cells.
#[derive(Clone, Debug)]
pub(crate) struct Panic {
    pub(crate) message: String,
    pub(crate) line: u32,
}

thread_local! {
    static LAST: RefCell<Option<Panic>> = const { RefCell::new(None) };
    static RUNS_CELLS: Cell<bool> = const { Cell::new(false) };
}

/// The last panic of another thread: a thread pool passes it on to the cell without calling the hook again.
static LAST_OF_OTHERS: Mutex<Option<Panic>> = Mutex::new(None);

/// From now on, a panic in this thread is kept for the kernel, which shows it as the cell's error; in other threads it
/// prints one line. Called in each process that runs cells, so it holds after the second press of the stop button too.
pub(crate) fn report_to_kernel() {
    RUNS_CELLS.set(true);
    panic::set_hook(Box::new(|panic| {
        let line = panic.location().map_or(0, line_of_cell);
        let last = Some(Panic { message: message(panic), line });
        if !RUNS_CELLS.get() {
            *LAST_OF_OTHERS.lock().unwrap_or_else(PoisonError::into_inner) = last;
            return print(panic);
        }
        // One that the cell's own code has caught.
        show_caught();
        LAST.set(last);
    }));
}

/// The panic that has ended the cell.
pub(crate) fn take_last() -> Option<Panic> {
    LAST.take().or_else(|| LAST_OF_OTHERS.lock().unwrap_or_else(PoisonError::into_inner).take())
}

/// Forgets what another thread said in an earlier cell.
pub(crate) fn cell_begins() {
    *LAST_OF_OTHERS.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Prints a panic that did not end the cell, as Rust does.
pub(crate) fn show_caught() {
    if let Some(panic) = LAST.take() {
        eprintln!("panicked: {}", panic.message);
    }
}

fn print(panic: &PanicHookInfo<'_>) {
    eprintln!("panicked: {}", message(panic));
}

fn message(panic: &PanicHookInfo<'_>) -> String {
    let reason = panic.payload_as_str().unwrap_or("a value that is not text");
    let place = panic.location().and_then(|location| {
        Some(format!(" ({}, line {})", file_in_package(Path::new(location.file()))?, location.line()))
    });
    format!("{reason}{}", place.unwrap_or_default())
}

/// The path from the package's folder on, such as `candle-core-0.11.0/src/tensor.rs`; nothing for a cell's code.
fn file_in_package(file: &Path) -> Option<String> {
    let package = file.ancestors().find(|folder| folder.ends_with("src"))?.parent()?;
    if package.ends_with("ctx") {
        return None;
    }
    let shown = file.strip_prefix(package.parent()?).ok()?;
    Some(shown.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_from_its_package_on() {
        let shown = |file: &str| file_in_package(Path::new(file));
        let registry = "/packages/";
        assert_eq!(
            shown(&format!("{registry}candle-core-0.11.0/src/tensor.rs")).as_deref(),
            Some("candle-core-0.11.0/src/tensor.rs")
        );
        assert_eq!(shown("notebook/src/plot/axis.rs").as_deref(), Some("notebook/src/plot/axis.rs"));
        assert_eq!(shown("ctx/src/lib.rs"), None);
        assert_eq!(shown("cell/lib.rs"), None);
    }
}
