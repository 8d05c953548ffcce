//! The text of a cell's two streams on its way to Jupyter: as UTF-8, many lines in a message, and not without an end.

/// So much of a cell's text is passed on as it comes: 100,000 lines are, while millions would make a notebook unusable.
pub const LONGEST: usize = 4 << 20;

/// So much of the text behind that is kept, for the end.
const TAIL: usize = 4 << 10;

/// The text of one stream within one cell.
#[derive(Debug, Default)]
pub struct Text {
    /// What is to be sent.
    pending: String,
    /// The beginning of a character.
    begun: Vec<u8>,
    passed: usize,
    left_out: usize,
    lines_left_out: usize,
    tail: String,
}

impl Text {
    /// Takes bytes that a cell has printed.
    pub fn push(&mut self, bytes: &[u8]) {
        self.begun.extend_from_slice(bytes);
        let whole = self.begun.len() - unfinished(&self.begun);
        let bytes: Vec<u8> = self.begun.drain(..whole).collect();
        self.pass(&String::from_utf8_lossy(&bytes));
    }

    fn pass(&mut self, text: &str) {
        let room = LONGEST.saturating_sub(self.passed);
        let (now, rest) = text.split_at(text.floor_char_boundary(room));
        self.passed += now.len();
        self.pending.push_str(now);
        if !rest.is_empty() {
            self.tail.push_str(rest);
            let cut = self.tail.ceil_char_boundary(self.tail.len().saturating_sub(TAIL));
            // The tail begins with a whole line where it has one.
            let cut = if cut == 0 { 0 } else { self.tail[cut..].find('\n').map_or(cut, |end| cut + end + 1) };
            self.left_out += cut;
            self.lines_left_out += self.tail[..cut].matches('\n').count();
            self.tail.drain(..cut);
            // Later text belongs behind what was left out.
            self.passed = LONGEST;
        }
    }

    /// What was shown is gone: as much may come again.
    pub fn clear(&mut self) {
        self.passed = 0;
    }

    /// What is to be sent now.
    pub fn take(&mut self) -> Option<String> {
        (!self.pending.is_empty()).then(|| std::mem::take(&mut self.pending))
    }

    /// Whether there is something to send.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// How much is to be sent.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// The rest, when the cell has ended; the next cell starts afresh.
    pub fn finish(&mut self) -> Option<String> {
        let begun = std::mem::take(&mut self.begun);
        if !begun.is_empty() {
            self.pass(&String::from_utf8_lossy(&begun));
        }
        let ended = std::mem::take(self);
        let mut text = ended.pending;
        if ended.left_out > 0 {
            let Text { lines_left_out: lines, left_out: bytes, .. } = ended;
            text.push_str(&format!(
                "\n[{lines} lines, {:.1} MB, are left out here: a notebook shows {} MB of a cell's text. What follows is its end.]\n",
                bytes as f64 / 1e6,
                LONGEST >> 20
            ));
        }
        text.push_str(&ended.tail);
        (!text.is_empty()).then_some(text)
    }
}

/// How many bytes at the end are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    match std::str::from_utf8(&bytes[bytes.len().saturating_sub(4)..]) {
        Ok(_) => 0,
        // Only the last sequence can be unfinished; what is wrong before it is wrong for good.
        Err(_) => (1..=bytes.len().min(3))
            .find(|length| {
                let error = std::str::from_utf8(&bytes[bytes.len() - length..]).err();
                error.is_some_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
            })
            .unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_may_come_in_pieces_and_wrong_bytes_are_replaced() {
        for text in ["a\u{e4}\u{20ac}\u{1f600}b", "\u{1f600}"] {
            let mut stream = Text::default();
            text.bytes().for_each(|byte| stream.push(&[byte]));
            assert_eq!(stream.finish().as_deref(), Some(text));
        }
        let mut stream = Text::default();
        stream.push(b"\xff\xfea\xe2\x82");
        assert_eq!(stream.take().as_deref(), Some("\u{fffd}\u{fffd}a"));
        assert_eq!(stream.finish().as_deref(), Some("\u{fffd}"));
        assert_eq!(stream.finish(), None);
    }

    #[test]
    fn a_very_long_text_is_cut_with_a_word() {
        let mut stream = Text::default();
        let mut passed = String::new();
        for number in 0..1_000_000 {
            stream.push(format!("{number}\n").as_bytes());
            passed.extend(stream.take());
        }
        let end = stream.finish().unwrap();
        assert!(passed.starts_with("0\n1\n") && passed.len() == LONGEST);
        assert!(end.ends_with("\n999998\n999999\n") && end.len() < 5000, "{end}");
        let lines: usize = end.split_once('[').unwrap().1.split_once(' ').unwrap().0.parse().unwrap();
        let shown = passed.lines().count() + end.lines().count() - 2;
        assert!((999_998..=1_000_001).contains(&(lines + shown)), "{lines} + {shown}");
        stream.push(b"next");
        assert_eq!(stream.take().as_deref(), Some("next"));
    }
}
