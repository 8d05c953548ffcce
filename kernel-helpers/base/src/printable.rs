//! Texts that come from outside, such as a file's names, made fit for a message: of a few lines, and unable to write to
//! the terminal or to turn the order of its letters.

use std::fmt::{self, Display, Write};

/// The most characters of a part of a message.
const LONGEST_PART: usize = 400;
/// The most characters of a message that has no parts.
const LONGEST_WHOLE: usize = 2_000;
/// The most characters of a message of several lines.
const LONGEST_LINES: usize = 10_000;

/// A text in which characters that are no letters are escaped. If it is long, its middle is left out and its length
/// told instead.
///
/// ```
/// use kernel_helpers::printable::{Printable, part};
///
/// let name: Printable<&str> = part("\u{1b}[31mred");
/// assert_eq!(name.to_string(), r"\u{1b}[31mred");
/// ```
pub struct Printable<T> {
    text: T,
    longest: usize,
    /// Whether line breaks and tabs stay.
    lines: bool,
}

/// One of several parts of a message, in one line.
///
/// ```
/// use kernel_helpers::printable::part;
///
/// assert_eq!(part("a\nb").to_string(), r"a\nb");
/// assert!(part("a".repeat(500)).to_string().contains("… (500 characters) …"));
/// ```
pub fn part<T: Display>(text: T) -> Printable<T> {
    Printable { text, longest: LONGEST_PART, lines: false }
}

/// A whole message, which may be made of parts, in one line.
///
/// ```
/// use kernel_helpers::printable::whole;
///
/// assert_eq!(whole("a".repeat(500)).to_string().len(), 500);
/// assert!(whole("a".repeat(5_000)).to_string().contains("… (5000 characters) …"));
/// ```
pub fn whole<T: Display>(text: T) -> Printable<T> {
    Printable { text, longest: LONGEST_WHOLE, lines: false }
}

/// A whole message whose lines stay lines.
///
/// ```
/// use kernel_helpers::printable::lines;
///
/// assert_eq!(lines("two\nlines\u{7}").to_string(), "two\nlines\\u{7}");
/// ```
pub fn lines<T: Display>(text: T) -> Printable<T> {
    Printable { text, longest: LONGEST_LINES, lines: true }
}

impl<T: Display> Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text.to_string();
        let mut write = |text: &str| text.chars().try_for_each(|c| self.write_escaped(f, c));
        if text.chars().map(|c| self.width(c)).sum::<usize>() <= self.longest {
            return write(&text);
        }
        let fitting = |chars: &mut dyn Iterator<Item = char>, longest: usize| {
            let mut left = longest;
            let fits = |c: &char| left.checked_sub(self.width(*c)).map(|less| left = less).is_some();
            chars.take_while(fits).map(char::len_utf8).sum::<usize>()
        };
        let start = fitting(&mut text.chars(), self.longest * 2 / 3);
        let end = text.len() - fitting(&mut text.chars().rev(), self.longest / 3);
        write(&text[..start])?;
        write(&format!("… ({} characters) …", text.chars().count()))?;
        write(&text[end..])
    }
}

impl<T> Printable<T> {
    fn stays(&self, c: char) -> bool {
        is_harmless(c) || self.lines && matches!(c, '\n' | '\t')
    }

    fn width(&self, c: char) -> usize {
        if self.stays(c) { 1 } else { c.escape_default().len() }
    }

    fn write_escaped(&self, f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
        if self.stays(c) { f.write_char(c) } else { write!(f, "{}", c.escape_default()) }
    }
}

/// Whether a character is neither a command to the terminal nor one that is invisible and changes what others look
/// like.
fn is_harmless(c: char) -> bool {
    let directs =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let hides = matches!(c, '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
    !(c.is_control() || directs || hides)
}

#[cfg(test)]
mod tests {
    use super::lines;
    use crate::Error;

    #[test]
    fn a_file_can_neither_write_to_the_terminal_nor_turn_the_letters() {
        let letters = "ö e\u{301} 层 \\";
        let error = Error::file("\x1b]0;a\x07.pt", "a\nb", format!("`\u{1b}[31m\u{202e}{letters}`"), "Ok.");
        let expected =
            format!(r"\u{{1b}}]0;a\u{{7}}.pt: expected a\nb, found `\u{{1b}}[31m\u{{202e}}{letters}`. Ok.");
        assert_eq!(error.to_string(), expected);
        let error = Error::from(candle_core::Error::Msg("\x1b[31m".to_owned()));
        assert_eq!(error.to_string(), r"\u{1b}[31m");
        assert_eq!(lines("a\n\t\x1b[31mred\r").to_string(), "a\n\t\\u{1b}[31mred\\r");
    }

    #[test]
    fn long_parts_are_cut_in_the_middle_and_short_ones_are_whole() {
        let name = "ä".repeat(399);
        assert_eq!(
            Error::argument("layer", &name, 1).to_string(),
            format!("layer: expected {name}, found 1")
        );
        let long = Error::argument("a", "b", format!("start{}end", "\u{7}".repeat(1 << 20))).to_string();
        assert!(long.starts_with(r"a: expected b, found start\u{7}"), "{long}");
        assert!(long.ends_with(r"\u{7}end") && long.contains("… (1048584 characters) …"), "{long}");
        assert!(long.len() < 500, "{long}");
    }
}
