//! The code of the homework's notebooks, shown in the report.

use base::{Result, paths};
use notebook::source::{Source, find_in_cells};

/// The source code of items that the cells of one of the project's notebooks define, by name, as
/// [`find`](notebook::source::find) has it.
///
/// ```no_run
/// use kernel_helpers::homework::prelude::*;
/// let source = show_notebook_source("hw4", "percentile, prune_by_percentage")?;
/// assert!(source.code().contains("fn prune_by_percentage("));
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If there is no such notebook, or no item of that name in it.
pub fn show_notebook_source(notebook: &str, names: &str) -> Result<Source> {
    let place = format!("notebooks/{notebook}.ipynb");
    find_in_cells(&paths::project_root()?.join(&place), &place, names)
}
