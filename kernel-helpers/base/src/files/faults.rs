//! Faults on purpose, for tests: the operation of a number fails, or the process dies at it. Without a plan nothing
//! happens.

use std::cell::RefCell;
use std::io;
use std::path::Path;

/// The variable by which a process is told at which operation to die.
pub const DIE_AT: &str = "KERNEL_HELPERS_TEST_DIE_AT";

/// What is to happen at which operation of this thread, counted from 0.
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
