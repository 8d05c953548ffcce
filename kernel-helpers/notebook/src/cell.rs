//! What the code that evcxr makes of a cell calls, in place of what evcxr would compile anew into each cell.
//!
//! Variables move from cell to cell through a [`VariableStore`]. How a cell goes, the kernel hears through two pipes
//! that `LAB_CELL_PIPES` names by their numbers (`evcxr,events`): evcxr gets its own lines on the first, the kernel's
//! front end an [`Event`] a line on the second. Nothing of it is on the standard output, so nothing that a cell prints
//! can be taken for it.
//!
//! Nothing here is meant to be called from a notebook.
//!
//! What one cell leaves, the next finds, if it means the same type by it:
//!
//! ```
//! use kernel_helpers::cell::VariableStore;
//!
//! let mut store = VariableStore::default();
//! store.put_variable("losses", vec![0.5, 0.25], 0);
//! assert!(store.check_variable::<Vec<f64>>("losses", 0));
//! assert_eq!(store.take_variable::<Vec<f64>>("losses"), [0.5, 0.25]);
//! assert!(!store.check_variable::<Vec<f64>>("losses", 0), "it has moved into the cell");
//! ```

use crate::panic::{self, Panic};
use serde::{Deserialize, Serialize};
use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::panic::Location;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// What the front end is told of a cell that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// All variables that the cell needs are there; it runs.
    Accepted,
    /// It ended by `?`.
    Failed {
        /// The error's type.
        name: String,
        /// The error, as the cell's error format shows it.
        message: String,
        /// The line of the generated code.
        line: u32,
    },
    /// It ended by a panic.
    Panicked {
        /// The panic's message.
        message: String,
        /// The line of the generated code, or 0 where the panic was not raised in a cell's code.
        line: u32,
    },
    /// It is over, well or not.
    Ended,
}

/// The environment variable that names the pipes.
pub const PIPES: &str = "LAB_CELL_PIPES";

/// The way to evcxr and to the front end.
struct Pipes {
    evcxr: File,
    events: File,
}

impl Pipes {
    fn open() -> Option<Self> {
        let numbers = std::env::var(PIPES).ok()?;
        let (evcxr, events) = numbers.split_once(',')?;
        let open = |number: &str| File::options().write(true).open(format!("/dev/fd/{number}")).ok();
        Some(Pipes { evcxr: open(evcxr)?, events: open(events)? })
    }
}

static PIPES_OF_THIS_PROCESS: LazyLock<Option<Pipes>> = LazyLock::new(Pipes::open);

/// Tells the front end. Where there is none any more, this process is about to end.
pub fn tell(event: &Event) {
    if let Some(pipes) = &*PIPES_OF_THIS_PROCESS {
        let line = serde_json::to_string(event).expect("an event is made of text and numbers") + "\n";
        let _ = (&pipes.events).write_all(line.as_bytes());
    }
}

/// Tells evcxr, in the lines that it defines.
fn tell_evcxr(line: &str) {
    if let Some(pipes) = &*PIPES_OF_THIS_PROCESS {
        let _ = (&pipes.evcxr).write_all(format!("{line}\n").as_bytes());
    }
}

/// Evcxr's line for the end of a cell. It gets it as soon as the cell runs: what becomes of the cell is the front
/// end's.
pub const COMPLETE: &str = "EVCXR_EXECUTION_COMPLETE";

/// The cell has found all variables and begins.
pub fn accepted() {
    display::cell_begins();
    panic::cell_begins();
    tell(&Event::Accepted);
    tell_evcxr(COMPLETE);
}

/// The cell does not run: evcxr was told which variables to do without, and compiles it anew.
pub fn refused() {
    tell_evcxr(COMPLETE);
}

/// The cell ends by `?`, at the place of the caller.
pub fn failed(name: &str, message: String, place: &Location<'_>) {
    tell(&Event::Failed { name: name.to_owned(), message, line: line_of_cell(place) });
}

/// The cell ends by a panic.
pub fn panicked() {
    let unknown = || Panic { message: "a thread of the cell panicked".to_owned(), line: 0 };
    let Panic { message, line } = panic::take_last().unwrap_or_else(unknown);
    tell(&Event::Panicked { message, line });
}

/// The line, if the place is in a cell's code and not in a crate's.
pub(crate) fn line_of_cell(place: &Location<'_>) -> u32 {
    if place.file().ends_with("cell/lib.rs") { place.line() } else { 0 }
}

/// What a part of a cell returns that was not left early.
pub struct Done;

/// Runs a part of a cell. Returns whether the next may run.
pub fn part<E>(part: impl FnOnce() -> Result<Done, E>) -> bool {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(part)) {
        Ok(result) => result.is_ok(),
        Err(_) => {
            panicked();
            false
        }
    }
}

/// The cell's code has returned: what it printed without the end of a line is written out.
pub fn finished() {
    panic::show_caught();
    let _ = std::io::stdout().flush();
}

/// The variables of all cells, by name.
#[derive(Default)]
pub struct VariableStore {
    variables: HashMap<String, Stored>,
}

/// A variable, and what its type was when it was stored.
struct Stored {
    value: Box<dyn Any>,
    /// A sum of the definitions in cells that its type is made of, which `TypeId` does not see in full.
    definition: u64,
}

impl VariableStore {
    /// Keeps a variable for the next cell.
    pub fn put_variable<T: 'static>(&mut self, name: &str, value: T, definition: u64) {
        self.put(name, Box::new(value), definition);
    }

    fn put(&mut self, name: &str, value: Box<dyn Any>, definition: u64) {
        self.variables.insert(name.to_owned(), Stored { value, definition });
    }

    /// Whether a variable is there and is what the cell takes it for. Otherwise evcxr is told to forget it.
    pub fn check_variable<T: 'static>(&mut self, name: &str, definition: u64) -> bool {
        self.check(name, TypeId::of::<T>(), definition)
    }

    fn check(&mut self, name: &str, expected: TypeId, definition: u64) -> bool {
        let stored = self.variables.get(name);
        let fits = stored
            .is_some_and(|stored| (*stored.value).type_id() == expected && stored.definition == definition);
        if !fits {
            if self.variables.remove(name).is_some() {
                eprintln!("The variable `{name}` is dropped: its type has been defined anew.");
            }
            tell_evcxr(&format!("EVCXR_VARIABLE_CHANGED_TYPE:{name}"));
        }
        fits
    }

    /// Moves a variable into the cell.
    ///
    /// # Panics
    /// If it is not there, or of another type: [`Self::check_variable`] comes first.
    pub fn take_variable<T: 'static>(&mut self, name: &str) -> T {
        let stored = self.variables.remove(name).and_then(|stored| stored.value.downcast().ok());
        *stored.unwrap_or_else(|| panic!("the variable `{name}` of type {} is not there", type_name::<T>()))
    }

    /// A value that lives beside the variables, made when it is first asked for.
    ///
    /// # Panics
    /// If there is a variable of this name.
    pub fn lazy_arc<T: 'static, F: FnOnce() -> T>(&mut self, name: &str, create: F) -> Arc<T> {
        let make = || Stored { value: Box::new(Arc::new(create())), definition: 0 };
        let stored = self.variables.entry(name.to_owned()).or_insert_with(make);
        let value = stored.value.downcast_ref::<Arc<T>>().expect("no variable has such a name");
        Arc::clone(value)
    }
}

/// The store of a process, and what else a process that runs cells needs once.
pub fn create_variable_store() -> *mut VariableStore {
    panic::report_to_kernel();
    flush_now_and_then();
    Box::into_raw(Box::default())
}

/// Writes out what a cell prints without the end of a line, as soon as a person would look for it.
fn flush_now_and_then() {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let _ = std::io::stdout().flush();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_taken_as_what_it_was_stored() {
        let mut store = VariableStore::default();
        store.put_variable("x", vec![1, 2], 7);
        assert!(store.check_variable::<Vec<i32>>("x", 7));
        assert_eq!(store.take_variable::<Vec<i32>>("x"), [1, 2]);
        assert!(!store.check_variable::<Vec<i32>>("x", 7), "it has moved into the cell");
    }

    #[test]
    fn a_variable_whose_type_was_defined_anew_is_dropped() {
        let mut store = VariableStore::default();
        store.put_variable("x", 1u8, 0);
        assert!(!store.check_variable::<u16>("x", 0));
        store.put_variable("x", 1u8, 7);
        assert!(!store.check_variable::<u8>("x", 8), "the same type, defined otherwise");
        assert!(!store.check_variable::<u8>("x", 7), "it is gone");
    }

    #[test]
    fn a_value_beside_the_variables_is_made_once() {
        let mut store = VariableStore::default();
        let first = store.lazy_arc("runtime", || 1);
        assert!(Arc::ptr_eq(&first, &store.lazy_arc("runtime", || 2)));
    }

    #[test]
    fn an_event_is_one_line() {
        let event = Event::Panicked { message: "two\nlines".to_owned(), line: 3 };
        let line = serde_json::to_string(&event).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}
