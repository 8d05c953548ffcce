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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_similar_ones() {
        let error = show_source("prcent").unwrap_err().to_string();
        assert!(error.contains("`percent`"), "{error}");
        assert!(show_source(" ").is_err());
    }

    #[test]
    fn this_crate_shows_its_own_code() {
        let source = show_source("percent, Source").unwrap();
        assert!(source.code().contains("impl fmt::Display for Source {"));
        let markdown = source.to_markdown();
        assert!(
            markdown.starts_with("`kernel-helpers/display/src/table.rs`\n\n```rust\n/// A fraction"),
            "{markdown}"
        );
        let fences: Vec<_> = markdown.lines().filter(|line| line.starts_with("```")).collect();
        assert_eq!(fences, ["```rust", "```", "```rust", "```"]);
    }
}
