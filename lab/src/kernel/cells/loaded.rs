//! The compiled cells in this process. To call what was compiled a moment ago is beyond what a compiler can check, so
//! this file has unsafe code.

#![allow(unsafe_code)]

use anyhow::{Context, Result};
use libloading::Library;
use std::ffi::c_void;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::ptr::null_mut;

/// A cell's function: gets the variables and gives them back.
type Function = unsafe extern "C" fn(*mut c_void) -> *mut c_void;

/// What the code of a cell that answers evcxr itself defines; see [`cell_code`](super::super::cell_code).
const ANSWERS: &[u8] = b"CELL_ANSWERS\0";

/// The cells that have run.
pub struct Cells {
    store: *mut c_void,
    // Never unloaded: variables have functions of theirs.
    libraries: Vec<Library>,
}

impl Default for Cells {
    fn default() -> Self {
        Cells { store: null_mut(), libraries: Vec::new() }
    }
}

impl Cells {
    /// Loads a cell and runs it. Returns whether it has told evcxr that it ran.
    pub fn run(&mut self, library: &Path, function: &str) -> Result<bool> {
        // SAFETY: the library is a cell that this kernel has just compiled; loading it runs no initializer but those of the
        // crates that the user asked for.
        let loaded = unsafe { Library::new(library) };
        let loaded = loaded.with_context(|| format!("could not load {}", library.display()))?;
        // SAFETY: only whether the symbol exists is asked.
        let answers = unsafe { loaded.get::<*const u8>(ANSWERS) }.is_ok();
        // SAFETY: evcxr's generated code defines the function with this signature.
        let function =
            unsafe { loaded.get::<Function>(function.as_bytes()) }.context("the cell has no function")?;
        // SAFETY: the store is null before the first cell, as the function allows, and else what a cell has returned; both
        // link the same helpers, which made it.
        self.store = unsafe { function(self.store) };
        self.libraries.push(loaded);
        Ok(answers)
    }
}

impl Drop for Cells {
    fn drop(&mut self) {
        self.libraries.drain(..).for_each(std::mem::forget);
    }
}

/// Keeps an open file, by its number, from the processes that cells start: who reads the other end would wait for them.
pub fn keep_from_children(number: i32) -> Result<()> {
    // SAFETY: the kernel opened the file for this process, and nothing here closes it.
    let file = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(file, rustix::io::FdFlags::CLOEXEC).context("could not mark a pipe")
}
