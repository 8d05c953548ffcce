//! The blocks on standard output that evcxr turns into a cell's rich output.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::fmt::{Debug, Display};

const BEGIN: &str = "EVCXR_BEGIN_CONTENT";
const END: &str = "EVCXR_END_CONTENT";

/// One form of a cell's output; the viewer takes the richest form that it can show.
pub(crate) enum Content<'a> {
    /// `image/png`, which also survives the way into a PDF.
    Png(&'a [u8]),
    /// `text/markdown`.
    Markdown(&'a str),
    /// `text/plain`, for terminals and search.
    Plain(&'a str),
}

impl Content<'_> {
    fn block(&self) -> String {
        let (mime, body) = match self {
            Content::Png(bytes) => ("image/png", BASE64.encode(bytes)),
            Content::Markdown(text) => ("text/markdown", text.trim_end().to_owned()),
            Content::Plain(text) => ("text/plain", text.trim_end().to_owned()),
        };
        // evcxr ends a block at a line that is nothing but the marker.
        let body: Vec<_> = body.lines().filter(|line| *line != END).collect();
        format!("{BEGIN} {mime}\n{}\n{END}\n", body.join("\n"))
    }
}

/// Shows one output of the current cell in several forms. evcxr keeps one output per MIME type and cell: a second
/// figure or table in the same cell replaces the first.
pub(crate) fn show(contents: &[Content]) {
    let blocks: String = contents.iter().map(Content::block).collect();
    print!("{blocks}");
}

/// Shows a value that stands at the end of a cell and has no method of this name itself, as evcxr would: but evcxr tries
/// the method first and compiles a second time where there is none. Shows nothing of `()`.
pub trait DisplayPlain {
    /// Shows the value's `Debug` form as the cell's output.
    fn evcxr_display(&self);
}

impl<T: Debug + ?Sized> DisplayPlain for T {
    fn evcxr_display(&self) {
        if std::any::type_name::<T>() != "()" {
            show(&[Content::Plain(&format!("{self:?}"))]);
        }
    }
}

/// Text that a cell renders as Markdown, such as a sentence with computed numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Markdown(String);

/// Makes Markdown of a text. As the last value of a cell it shows itself.
pub fn markdown(text: impl Display) -> Markdown {
    // Between a number and its percent sign no line ends.
    Markdown(text.to_string().replace(" %", "\u{a0}%"))
}

impl Markdown {
    /// Shows the text as the cell's output.
    pub fn evcxr_display(&self) {
        show(&[Content::Markdown(&self.0), Content::Plain(&self.0)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_what_evcxr_reads() {
        assert_eq!(
            Content::Plain("a\nb\n").block(),
            "EVCXR_BEGIN_CONTENT text/plain\na\nb\nEVCXR_END_CONTENT\n"
        );
        assert_eq!(Content::Png(b"abc").block(), "EVCXR_BEGIN_CONTENT image/png\nYWJj\nEVCXR_END_CONTENT\n");
    }

    #[test]
    fn a_marker_in_the_text_does_not_end_the_block() {
        let block = Content::Markdown("a\nEVCXR_END_CONTENT\nb").block();
        assert_eq!(block, "EVCXR_BEGIN_CONTENT text/markdown\na\nb\nEVCXR_END_CONTENT\n");
    }
}
