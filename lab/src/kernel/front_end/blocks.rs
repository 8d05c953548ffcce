//! Tells text from rich outputs in what cells print to standard output.
//!
//! A rich output is a block of lines: `EVCXR_BEGIN_CONTENT mime`, the content, `EVCXR_END_CONTENT`. This is how evcxr lets
//! crates show things. The helpers' own blocks have the type [`OUTPUT`] and say in JSON what is to be done.

use serde::Deserialize;
use serde_json::{Map, Value, json};

const BEGIN: &[u8] = b"EVCXR_BEGIN_CONTENT ";
const END: &[u8] = b"EVCXR_END_CONTENT\n";
const LAST_LINE: &[u8] = b"\nEVCXR_END_CONTENT\n";

/// The helpers' blocks.
const OUTPUT: &str = "application/vnd.lab.output+json";

/// A block without an end is text from this size on.
const LARGEST: usize = 256 << 20;

/// The forms of an output by MIME type.
pub type Bundle = Map<String, Value>;

/// A part of what a cell prints.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text as it is, perhaps not UTF-8.
    Text(Vec<u8>),
    /// What a block asks for.
    Output(Operation),
}

/// What a block asks for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Operation {
    /// An output more.
    Display {
        /// Its forms.
        data: Bundle,
        /// About each form.
        #[serde(default)]
        metadata: Bundle,
        /// The name by which it can be updated.
        display_id: Option<String>,
    },
    /// Another content of an output that is there.
    Update {
        /// Its forms.
        data: Bundle,
        /// About each form.
        #[serde(default)]
        metadata: Bundle,
        /// Its name.
        display_id: String,
    },
    /// The cell's outputs go, at once or when the next comes.
    Clear {
        /// Whether to wait for the next.
        #[serde(default)]
        wait: bool,
    },
    /// What follows is the cell's value.
    BeginResult,
    /// The value has been shown.
    EndResult,
}

/// Splits a stream into its parts, as it comes.
#[derive(Debug, Default)]
pub struct Splitter {
    /// What is not passed on yet: an unfinished block, or what may become the first line of one.
    held: Vec<u8>,
    /// How much of it was searched for the block's end.
    searched: usize,
}

impl Splitter {
    /// The parts that are complete with these bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Part> {
        self.held.extend_from_slice(bytes);
        let mut parts = Vec::new();
        while let Some(part) = self.next() {
            parts.push(part);
        }
        parts
    }

    /// What is held back, as text: when nothing more comes for a while, or the cell has ended.
    pub fn flush(&mut self, ended: bool) -> Option<Part> {
        let is_block = self.held.starts_with(BEGIN);
        if self.held.is_empty() || is_block && !ended {
            return None;
        }
        Some(Part::Text(std::mem::take(self).held))
    }

    fn next(&mut self) -> Option<Part> {
        if self.held.is_empty() {
            return None;
        }
        match find(&self.held, BEGIN) {
            Some(0) => self.block(),
            Some(start) => Some(Part::Text(self.held.drain(..start).collect())),
            None => {
                let text = self.held.len() - beginning_at_end(&self.held);
                (text > 0).then(|| Part::Text(self.held.drain(..text).collect()))
            }
        }
    }

    /// The block that begins what is held.
    fn block(&mut self) -> Option<Part> {
        let Some(first_line) = find(&self.held, b"\n") else { return self.give_up(BEGIN.len() + 200) };
        let mime = String::from_utf8_lossy(&self.held[BEGIN.len()..first_line]).trim().to_owned();
        if !is_mime(&mime) {
            return self.give_up(0);
        }
        let body = first_line + 1;
        let length = if self.held[body..].starts_with(END) {
            0
        } else {
            let from = self.searched.max(body);
            let Some(end) = find(&self.held[from..], LAST_LINE) else {
                self.searched = self.held.len().saturating_sub(LAST_LINE.len()).max(body);
                return self.give_up(LARGEST);
            };
            from + end + 1 - body
        };
        self.searched = 0;
        let content = String::from_utf8_lossy(&self.held[body..body + length]);
        let content = content.strip_suffix('\n').unwrap_or(&content).to_owned();
        let whole: Vec<u8> = self.held.drain(..body + length + END.len()).collect();
        let operation =
            if mime == OUTPUT { serde_json::from_str(&content).ok() } else { Some(plain(mime, content)) };
        Some(operation.map_or(Part::Text(whole), Part::Output))
    }

    /// Takes for text what is too long for a block.
    fn give_up(&mut self, longest: usize) -> Option<Part> {
        (self.held.len() > longest).then(|| {
            self.searched = 0;
            Part::Text(self.held.drain(..BEGIN.len()).collect())
        })
    }
}

/// Whether a block may have this type: text that only mentions a block's first line is none.
fn is_mime(mime: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "+-.;=_".contains(c))
    };
    mime.split_once('/').is_some_and(|(kind, rest)| is_word(kind) && is_word(rest))
}

fn plain(mime: String, content: String) -> Operation {
    // The forms of JSON are values, not texts.
    let is_json = mime.ends_with("+json") || mime == "application/json";
    let value = if is_json { serde_json::from_str(&content).ok() } else { None };
    let data = Bundle::from_iter([(mime, value.unwrap_or(json!(content)))]);
    Operation::Display { data, metadata: Bundle::new(), display_id: None }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, wanted)
}

/// How many bytes at the end may be the beginning of a block.
fn beginning_at_end(bytes: &[u8]) -> usize {
    let longest = BEGIN.len().min(bytes.len());
    (1..=longest).rev().find(|length| BEGIN.starts_with(&bytes[bytes.len() - length..])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Part {
        Part::Text(text.as_bytes().to_vec())
    }

    fn display(mime: &str, content: &str) -> Part {
        Part::Output(plain(mime.to_owned(), content.to_owned()))
    }

    #[test]
    fn blocks_are_found_in_text() {
        let printed = "half a lineEVCXR_BEGIN_CONTENT text/html\n<b>1</b>\n2\nEVCXR_END_CONTENT\nEVCXR_BEGIN_CONTENT text/plain\nEVCXR_END_CONTENT\nrest";
        let parts = Splitter::default().push(printed.as_bytes());
        assert_eq!(
            parts,
            [
                text("half a line"),
                display("text/html", "<b>1</b>\n2"),
                display("text/plain", ""),
                text("rest")
            ]
        );
    }

    #[test]
    fn blocks_may_come_in_pieces() {
        let printed = "aEVCXR_BEGIN_CONTENT application/vnd.lab.output+json\n{\"op\":\"clear\",\"wait\":true}\nEVCXR_END_CONTENT\nb";
        for size in 1..printed.len() {
            let mut splitter = Splitter::default();
            let pieces = printed.as_bytes().chunks(size);
            let mut parts: Vec<Part> = pieces.flat_map(|piece| splitter.push(piece)).collect();
            parts.extend(splitter.flush(true));
            assert_eq!(
                parts,
                [text("a"), Part::Output(Operation::Clear { wait: true }), text("b")],
                "{size}"
            );
        }
    }

    #[test]
    fn what_is_no_block_is_text() {
        let mut splitter = Splitter::default();
        assert_eq!(splitter.push(b"EVCXR"), []);
        assert_eq!(splitter.flush(false), Some(text("EVCXR")));
        assert_eq!(splitter.push(b"EVCXR_BEGIN_CONTENT a/b\nc"), []);
        assert_eq!(splitter.flush(false), None);
        assert_eq!(splitter.flush(true), Some(text("EVCXR_BEGIN_CONTENT a/b\nc")));
        let mentioned = splitter.push(b"EVCXR_BEGIN_CONTENT mime\nsaid");
        assert_eq!(mentioned, [text("EVCXR_BEGIN_CONTENT "), text("mime\nsaid")]);
        let unknown = "EVCXR_BEGIN_CONTENT application/vnd.lab.output+json\nnonsense\nEVCXR_END_CONTENT\n";
        assert_eq!(splitter.push(unknown.as_bytes()), [text(unknown)]);
    }

    #[test]
    fn json_is_a_value() {
        let Part::Output(Operation::Display { data, .. }) = display("application/json", "[1]") else {
            panic!()
        };
        assert_eq!(data["application/json"], json!([1]));
    }
}
