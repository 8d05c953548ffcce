//! The helpers' own source code.

use base::Result;
use include_dir::{Dir, include_dir};
use notebook::source::{self, Source};

static SOURCES: Dir = include_dir!("$CARGO_MANIFEST_DIR");

/// The source code of items of the helpers by name: a function, a type (with its impls), a constant, a macro; one method
/// as `Ste::apply`; only the impls as `impl Ste`. Several names are separated by commas.
///
/// ```
/// use kernel_helpers::show_source;
///
/// let source = show_source("percent, Table")?;
/// assert!(source.code().contains("pub fn percent(fraction: f64) -> String {"));
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If there is no item of that name; the message lists similar ones.
pub fn show_source(names: &str) -> Result<Source> {
    source::find(&SOURCES, "kernel-helpers", names)
}
