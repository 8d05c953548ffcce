//! Whether a cell's code is complete, for front ends in which the Enter key has to know.

use crate::kernel::source::Parsed;
use jupyter_protocol::IsCompleteReply;

const INDENT: &str = "    ";

/// Judges code as the parser of evcxr sees it.
pub fn of(code: &str) -> IsCompleteReply {
    let end = code.trim_end().len();
    match open_at_end(code) {
        Some(depth) if depth > 0 => return IsCompleteReply::incomplete(INDENT.repeat(depth.unsigned_abs())),
        Some(0) => {}
        Some(_) => return IsCompleteReply::invalid(),
        None => return IsCompleteReply::incomplete(String::new()),
    }
    let parsed = Parsed::new(code);
    match parsed.errors().first() {
        None => IsCompleteReply::complete(),
        // Something is missing at the end, such as an operand; but a semicolon is not waited for.
        Some((message, place)) if *place >= end && !message.contains("SEMICOLON") => {
            IsCompleteReply::incomplete(indent_of_last_line(code))
        }
        Some(_) => IsCompleteReply::invalid(),
    }
}

fn indent_of_last_line(code: &str) -> String {
    let last = code.lines().last().unwrap_or_default();
    last.chars().take_while(|character| *character == ' ').collect()
}

/// How many more brackets were opened than closed; `None` within a comment or a text.
fn open_at_end(code: &str) -> Option<isize> {
    use ra_ap_syntax::{AstNode, Edition, SourceFile, SyntaxKind as Kind};
    let file = SourceFile::parse(code, Edition::Edition2024).tree();
    let mut depth = 0;
    for token in file.syntax().descendants_with_tokens().filter_map(|element| element.into_token()) {
        let text = token.text();
        match token.kind() {
            Kind::L_CURLY | Kind::L_PAREN | Kind::L_BRACK => depth += 1,
            Kind::R_CURLY | Kind::R_PAREN | Kind::R_BRACK => depth -= 1,
            Kind::COMMENT if text.starts_with("/*") && !text.ends_with("*/") => return None,
            Kind::STRING | Kind::BYTE_STRING | Kind::C_STRING
                if !text.contains('r') || text.contains('"') =>
            {
                let quoted = text.trim_start_matches(|character| character != '"');
                let is_closed = quoted.len() > 1 && quoted.trim_end_matches('#').ends_with('"');
                if !is_closed {
                    return None;
                }
            }
            _ => {}
        }
    }
    Some(depth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jupyter_protocol::IsCompleteReplyStatus as Status;

    #[test]
    fn code_is_complete_incomplete_or_invalid() {
        for code in [
            "let a = 1;",
            "1 + 2",
            "fn f() {\n    g();\n}",
            "",
            ":dep rand = \"0.9\"",
            "println!(\"(\")",
            "struct A;",
        ] {
            assert_eq!(of(code).status, Status::Complete, "{code}");
        }
        let incomplete = [
            ("fn f() {", "    "),
            ("let a = [\n    1,\n    f(2,", "        "),
            ("let a =", ""),
            ("1 +", ""),
            ("let a = \"text", ""),
            ("/* comment", ""),
            ("for i in 0..3", ""),
            ("    x.", "    "),
        ];
        for (code, indent) in incomplete {
            let reply = of(code);
            assert_eq!((reply.status, &*reply.indent), (Status::Incomplete, indent), "{code}");
        }
        for code in ["let = 3;", "}", "fn f( { ) }", "let a = 1 2;", "struct 1;"] {
            assert_eq!(of(code).status, Status::Invalid, "{code}");
        }
    }
}
