//! The blocks on standard output that carry what a cell shows.
//!
//! This project's kernel sets the environment variable `LAB_KERNEL` and reads blocks of the type
//! `application/vnd.lab.output+json`, whose body is one line of JSON, so that no text can end the block:
//!
//! | body | means |
//! |---|---|
//! | `{"op":"display","data":{MIME type: body, …},"metadata":{},"display_id":…}` | an output; the id may be absent |
//! | `{"op":"update","data":{…},"metadata":{},"display_id":…}` | another output in that one's place |
//! | `{"op":"clear","wait":…}` | take away the cell's outputs |
//! | `{"op":"begin_result"}`, `{"op":"end_result"}` | what is between them is the cell's result |
//!
//! Plain evcxr reads a block for each form, ends it at a line that is nothing but the marker, and keeps one output per
//! MIME type and cell: a second figure or table in the same cell replaces the first.

use super::MimeBundle;
use serde_json::{Map, Value, json};
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::LazyLock;

const BEGIN: &str = "EVCXR_BEGIN_CONTENT";
const END: &str = "EVCXR_END_CONTENT";
const LAB_OUTPUT: &str = "application/vnd.lab.output+json";

/// Who reads the standard output of this process.
///
/// ```
/// use kernel_helpers::display::Channel;
///
/// assert_eq!(Channel::current(), Channel::None, "a test runs outside of a notebook");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// This project's kernel.
    Lab,
    /// evcxr's own Jupyter kernel.
    Evcxr,
    /// No notebook: a terminal or a file.
    None,
}

impl Channel {
    /// The channel of this process, which never changes.
    pub fn current() -> Self {
        static CURRENT: LazyLock<Channel> = LazyLock::new(|| {
            let is_set = |variable| std::env::var_os(variable).is_some();
            match (is_set("LAB_KERNEL"), is_set("EVCXR_IS_RUNTIME")) {
                (true, _) => Channel::Lab,
                (false, true) => Channel::Evcxr,
                (false, false) => Channel::None,
            }
        });
        *CURRENT
    }
}

/// Blocks, written to wherever they are read.
pub(super) struct Output<W> {
    channel: Channel,
    to: W,
}

/// The standard output, locked until the block is written.
pub(super) fn stdout() -> Output<io::StdoutLock<'static>> {
    Output { channel: Channel::current(), to: io::stdout().lock() }
}

impl<W: Write> Output<W> {
    pub(super) fn display(&mut self, bundle: &MimeBundle, id: Option<&str>) {
        self.show("display", bundle, id);
    }

    pub(super) fn update(&mut self, bundle: &MimeBundle, id: &str) {
        self.show("update", bundle, Some(id));
    }

    pub(super) fn clear(&mut self, wait: bool) {
        self.lab(|| json!({ "op": "clear", "wait": wait }));
    }

    pub(super) fn begin_result(&mut self) {
        self.lab(|| json!({ "op": "begin_result" }));
    }

    pub(super) fn end_result(&mut self) {
        self.lab(|| json!({ "op": "end_result" }));
    }

    fn show(&mut self, operation: &str, bundle: &MimeBundle, id: Option<&str>) {
        if self.channel == Channel::Lab {
            let forms = bundle
                .forms()
                .map(|(mime, body)| (mime.to_owned(), Value::from(body.strip_suffix('\n').unwrap_or(body))));
            let mut body = json!({ "op": operation, "data": Map::from_iter(forms), "metadata": {} });
            if let Some(id) = id {
                body["display_id"] = id.into();
            }
            self.lab(|| body);
        } else {
            self.write(&bundle.forms().map(|(mime, body)| evcxr_block(mime, body)).collect::<String>());
        }
    }

    /// Writes a message that only this project's kernel understands.
    fn lab(&mut self, body: impl FnOnce() -> Value) {
        if self.channel == Channel::Lab {
            self.write(&format!("{BEGIN} {LAB_OUTPUT}\n{}\n{END}\n", body()));
        }
    }

    /// Writes all at once. What nobody reads any more is not worth ending a computation for.
    fn write(&mut self, text: &str) {
        let _ = self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush());
    }
}

fn evcxr_block(mime: &str, body: &str) -> String {
    let lines: Vec<_> = body.trim_end().lines().filter(|line| line.trim_end_matches('\r') != END).collect();
    format!("{BEGIN} {mime}\n{}\n{END}\n", lines.join("\n"))
}

/// Prints a line on the standard output as `println!` does, but goes on where nobody reads it any more, as in
/// `cargo lab train | head`.
///
/// ```
/// use kernel_helpers::display::print_line;
///
/// for epoch in 1..=3 {
///     print_line(format_args!("epoch {epoch}"));
/// }
/// ```
pub fn print_line(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(channel: Channel, write: impl Fn(&mut Output<&mut Vec<u8>>)) -> String {
        let mut bytes = Vec::new();
        write(&mut Output { channel, to: &mut bytes });
        String::from_utf8(bytes).unwrap()
    }

    /// What the kernel reads of a block that has to be in its form.
    fn body(block: &str) -> Value {
        let lines: Vec<_> = block.lines().collect();
        assert_eq!(
            (lines.len(), lines[0], lines[2]),
            (3, "EVCXR_BEGIN_CONTENT application/vnd.lab.output+json", END)
        );
        serde_json::from_str(lines[1]).unwrap()
    }

    #[test]
    fn plain_evcxr_gets_a_block_for_each_form() {
        let bundle = MimeBundle::plain("a\nb\n").png(b"abc");
        let expected = "EVCXR_BEGIN_CONTENT text/plain\na\nb\nEVCXR_END_CONTENT\n\
                        EVCXR_BEGIN_CONTENT image/png\nYWJj\nEVCXR_END_CONTENT\n";
        assert_eq!(written(Channel::Evcxr, |output| output.display(&bundle, Some("1"))), expected);
        assert_eq!(written(Channel::Evcxr, |output| output.update(&bundle, "1")), expected);
        assert_eq!(written(Channel::Evcxr, |output| output.clear(true)), "");
        assert_eq!(written(Channel::Evcxr, |output| output.begin_result()), "");
    }

    #[test]
    fn the_projects_kernel_gets_one_line_of_json() {
        let bundle = MimeBundle::plain("a\nb").png(b"abc");
        let data = json!({ "text/plain": "a\nb", "image/png": "YWJj" });
        let block = |write: fn(&mut Output<&mut Vec<u8>>, &MimeBundle)| {
            body(&written(Channel::Lab, |output| write(output, &bundle)))
        };
        assert_eq!(
            block(|output, bundle| output.display(bundle, None)),
            json!({ "op": "display", "data": data, "metadata": {} })
        );
        assert_eq!(
            block(|output, bundle| output.update(bundle, "7")),
            json!({ "op": "update", "data": data, "metadata": {}, "display_id": "7" })
        );
        assert_eq!(block(|output, _| output.clear(true)), json!({ "op": "clear", "wait": true }));
        assert_eq!(block(|output, _| output.end_result()), json!({ "op": "end_result" }));
    }

    #[test]
    fn a_marker_in_the_text_does_not_end_the_block() {
        let text = "a\nEVCXR_END_CONTENT\nb\r\nEVCXR_END_CONTENT\r\nc\nEVCXR_END_CONTENT\r";
        let bundle = MimeBundle::plain(text);
        assert_eq!(
            written(Channel::Evcxr, |output| output.display(&bundle, None)),
            "EVCXR_BEGIN_CONTENT text/plain\na\nb\nc\nEVCXR_END_CONTENT\n"
        );
        let block = written(Channel::Lab, |output| output.display(&bundle, None));
        assert_eq!(body(&block)["data"]["text/plain"], text);
    }

    #[test]
    fn a_closed_pipe_is_no_reason_to_stop() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        Output { channel: Channel::Lab, to: Closed }.display(&MimeBundle::plain("a"), None);
    }
}
