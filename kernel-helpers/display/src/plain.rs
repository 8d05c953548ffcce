//! The `Debug` form of a value, as far as it can be read.

use std::fmt::{self, Debug, Write as _};

/// This many characters of a value are shown: about a hundred lines.
const SHOWN: usize = 8_000;
/// This many are counted, to say how long the whole is; formatting them takes a few hundredths of a second.
const COUNTED: usize = 1_000_000;

/// The `Debug` form of a value, cut after a length that a notebook can show, with the length of the whole where that is
/// not far.
pub(super) fn bounded_debug(value: &dyn Debug) -> String {
    let mut bounded = Bounded::default();
    // Of a failure there is nothing to say: either the text is cut, or `Debug` itself gave up.
    let _ = write!(bounded, "{value:?}");
    bounded.finish()
}

/// Takes text up to a bound, and ends the formatting at another.
#[derive(Default)]
struct Bounded {
    text: String,
    length: usize,
    ended: bool,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let length = part.chars().count();
        self.text.extend(part.chars().take(SHOWN.saturating_sub(self.length)));
        self.length += length;
        self.ended = self.length > COUNTED;
        if self.ended { Err(fmt::Error) } else { Ok(()) }
    }
}

impl Bounded {
    fn finish(self) -> String {
        let Self { mut text, length, ended } = self;
        if length > SHOWN {
            let more = if ended { format!("more than {COUNTED}") } else { length.to_string() };
            let _ = write!(text, " … ({SHOWN} of {more} characters)");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_value_is_whole() {
        assert_eq!(bounded_debug(&vec![Some("a"), None]), r#"[Some("a"), None]"#);
        assert_eq!(bounded_debug(&()), "()");
    }

    #[test]
    fn a_long_value_is_cut_with_its_length() {
        let text = bounded_debug(&vec![1u8; 10_000]);
        assert!(text.starts_with("[1, 1, 1"));
        assert!(text.ends_with(" … (8000 of 30000 characters)"), "{}", &text[7_990..]);
        assert_eq!(text.split(" … ").next().unwrap().chars().count(), 8_000);
    }

    #[test]
    fn of_an_endless_value_only_the_start_is_formatted() {
        struct Endless;
        impl Debug for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("ab\u{e4}")?;
                }
            }
        }
        let text = bounded_debug(&Endless);
        assert!(text.ends_with("(8000 of more than 1000000 characters)"), "{}", &text[text.len() - 60..]);
    }
}
