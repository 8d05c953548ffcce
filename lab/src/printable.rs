//! Text that is safe to show in a terminal, whoever wrote it.

/// With control characters, by which text in a terminal can say something else than it does, as Rust would write them. Lines
/// remain lines.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_control(character) && !matches!(character, '\n' | '\t') {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Whether it is a control character, or turns the direction of reading.
fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_color_the_terminal() {
        assert_eq!(
            printable("a\n\tü\u{1b}[31mred\r\u{9b}\u{202e}"),
            "a\n\tü\\u{1b}[31mred\\r\\u{9b}\\u{202e}"
        );
    }
}
