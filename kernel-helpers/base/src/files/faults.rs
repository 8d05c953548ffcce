//! Faults on purpose, for tests: the operation of a number fails, or the process dies at it. Without a plan nothing
//! happens.

use std::cell::RefCell;
use std::io;
use std::path::Path;

/// The variable by which a process is told at which operation to die.
pub const DIE_AT: &str = "KERNEL_HELPERS_TEST_DIE_AT";

/// What is to happen at which operation of this thread, counted from 0.
///
/// ```
/// use kernel_helpers::files::{faults, read};
///
/// let second_fails = faults::Plan { fail_at: Some(1), ..Default::default() };
/// let twice = || [read("Cargo.toml").is_ok(), read("Cargo.toml").is_ok()];
/// assert_eq!(faults::with(second_fails, twice).0, [true, false]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The operation that fails.
    pub fail_at: Option<usize>,
    /// The operation at which the process dies.
    pub die_at: Option<usize>,
    /// The operations so far.
    pub made: Vec<String>,
}

thread_local! {
    static PLAN: RefCell<Option<Plan>> = const { RefCell::new(None) };
}

/// Runs something by a plan, and returns what it returns and the operations that it made.
///
/// ```
/// use kernel_helpers::files::{faults, read, write_whole};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("results.json");
/// write_whole(&path, b"old")?;
/// let plan = faults::Plan { fail_at: Some(3), ..Default::default() };
/// let (written, made) = faults::with(plan, || write_whole(&path, b"new"));
/// assert!(written.is_err() && made[3] == "rename: results.json");
/// assert_eq!(read(&path)?, b"old");
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
pub fn with<T>(plan: Plan, run: impl FnOnce() -> T) -> (T, Vec<String>) {
    PLAN.set(Some(plan));
    let result = run();
    (result, PLAN.take().expect("the plan is still there").made)
}

pub(super) fn step(operation: &str, path: &Path) -> io::Result<()> {
    PLAN.with_borrow_mut(|plan| {
        let Some(plan) = plan else { return Ok(()) };
        let number = plan.made.len();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        plan.made.push(format!("{operation}: {name}"));
        if plan.die_at == Some(number) {
            // As a kill would: nothing is cleaned up.
            std::process::abort();
        }
        if plan.fail_at == Some(number) { Err(io::Error::other("a fault on purpose")) } else { Ok(()) }
    })
}
