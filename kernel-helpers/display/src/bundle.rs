//! One output in several forms.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::fmt::Display;

/// The forms of one output, each under its MIME type. There is always plain text, for terminals, for search, and for
/// those who cannot see a picture.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let forms = MimeBundle::plain("91.51 %").html("<b>91.51 %</b>");
/// assert_eq!(forms.get("text/html"), Some("<b>91.51 %</b>"));
/// assert_eq!(forms.forms().map(|(mime, _)| mime).collect::<Vec<_>>(), ["text/plain", "text/html"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MimeBundle {
    forms: Vec<(String, String)>,
}

impl MimeBundle {
    /// The form that every viewer can show, `text/plain`.
    pub fn plain(text: impl Display) -> Self {
        Self { forms: Vec::new() }.with("text/plain", text)
    }

    /// Adds a picture, `image/png`, which also survives the way into a PDF.
    pub fn png(self, bytes: &[u8]) -> Self {
        self.with("image/png", BASE64.encode(bytes))
    }

    /// Adds Markdown, which JupyterLab and the PDF render.
    pub fn markdown(self, text: impl Display) -> Self {
        self.with("text/markdown", text)
    }

    /// Adds HTML. A PDF cannot show it.
    pub fn html(self, text: impl Display) -> Self {
        self.with("text/html", text)
    }

    /// Adds a form of any MIME type, or replaces the one that is there; bytes have to be in base64.
    pub fn with(mut self, mime: impl Display, body: impl Display) -> Self {
        // A MIME type is one word, and would otherwise end the line on which it stands.
        let mime: String = mime.to_string().split_whitespace().collect();
        self.forms.retain(|(other, _)| *other != mime);
        self.forms.push((mime, body.to_string()));
        self
    }

    /// The forms: MIME type and body, in the order in which they were added.
    pub fn forms(&self) -> impl Iterator<Item = (&str, &str)> {
        self.forms.iter().map(|(mime, body)| (mime.as_str(), body.as_str()))
    }

    /// The body of one form.
    pub fn get(&self, mime: &str) -> Option<&str> {
        self.forms().find(|(other, _)| *other == mime).map(|(_, body)| body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_kept_once_each_and_bytes_as_base64() {
        let bundle = MimeBundle::plain("a").png(b"abc").with("text/plain", "b").with("a/b\nc", "d");
        assert_eq!(
            bundle.forms().collect::<Vec<_>>(),
            [("image/png", "YWJj"), ("text/plain", "b"), ("a/bc", "d")]
        );
        assert_eq!((bundle.get("text/plain"), bundle.get("text/html")), (Some("b"), None));
    }
}
