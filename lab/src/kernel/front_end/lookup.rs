//! Completion and inspection, which rust-analyzer answers through evcxr.

use super::loading::Evcxr;
use super::lock;
use super::outputs::media;
use super::session::Session;
use evcxr::{CommandContext, Completions};
use jupyter_protocol::{
    CompleteReply, InspectReply, JupyterMessage, JupyterMessageContent as Content, ReplyStatus,
};
use serde_json::{Map, json};
use std::sync::Arc;

/// Answers lookups from now on, one after the other.
pub fn answer(session: Arc<Session>, evcxr: Evcxr) {
    let Some(requests) = session.lookups() else { return };
    std::thread::spawn(move || {
        for request in requests {
            session.answer(&request, || {
                // Whatever happens in rust-analyzer, the client has its answer and the next is answered too.
                let answer = || answer_one(&session, &evcxr, &request);
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(answer)).is_err() {
                    answer_nothing(&session, &request);
                }
            });
        }
    });
}

fn answer_one(session: &Session, evcxr: &Evcxr, request: &JupyterMessage) {
    match &request.content {
        Content::CompleteRequest(asked) => {
            let reply = complete(&mut lock(evcxr), &asked.code, byte_at(&asked.code, asked.cursor_pos));
            session.wire.reply(reply, request);
        }
        Content::InspectRequest(asked) => {
            let reply = inspect(&mut lock(evcxr), &asked.code, byte_at(&asked.code, asked.cursor_pos));
            session.wire.reply(reply, request);
        }
        _ => {}
    }
}

fn answer_nothing(session: &Session, request: &JupyterMessage) {
    match &request.content {
        Content::CompleteRequest(asked) => {
            let (cursor_start, cursor_end) = (asked.cursor_pos, asked.cursor_pos);
            session.wire.reply(CompleteReply { cursor_start, cursor_end, ..Default::default() }, request);
        }
        _ => session.wire.reply(InspectReply::default(), request),
    }
}

/// The byte of a cursor, which Jupyter counts in characters.
fn byte_at(code: &str, cursor: usize) -> usize {
    code.char_indices().nth(cursor).map_or(code.len(), |(byte, _)| byte)
}

fn complete(context: &mut CommandContext, code: &str, cursor: usize) -> CompleteReply {
    // What rust-analyzer cannot complete has no completions.
    let Completions { completions, start_offset, end_offset } =
        context.completions(code, cursor).unwrap_or_else(|_| Completions {
            completions: Vec::new(),
            start_offset: cursor,
            end_offset: cursor,
        });
    let character = |byte: usize| code.get(..byte).unwrap_or(code).chars().count();
    let (cursor_start, cursor_end) = (character(start_offset), character(end_offset));
    let (mut matches, mut typed) = (Vec::new(), Vec::new());
    for completion in completions {
        let name = inserted_name(&completion.code);
        if matches.contains(&name) {
            continue;
        }
        typed.push(json!({
            "text": name, "type": completion.kind, "signature": signature(&completion.label, &completion.code),
            "start": cursor_start, "end": cursor_end,
        }));
        matches.push(name);
    }
    let metadata = Map::from_iter([("_jupyter_types_experimental".to_owned(), json!(typed))]);
    CompleteReply { matches, cursor_start, cursor_end, metadata, status: ReplyStatus::Ok, error: None }
}

/// What of a completion is inserted: its name, without the arguments that rust-analyzer suggests.
fn inserted_name(code: &str) -> String {
    let end = code.find(['(', '{', ' ', '<']).filter(|&end| end > 0).unwrap_or(code.len());
    let end = if code[..end].ends_with("::") { end - 2 } else { end };
    code[..end].trim_end_matches(';').to_owned()
}

/// What is shown beside a completion: its arguments.
fn signature(label: &str, code: &str) -> String {
    let arguments = |text: &str| text.find('(').map(|start| text[start..].trim_end_matches(';').to_owned());
    arguments(code).or_else(|| arguments(label)).unwrap_or_default()
}

fn inspect(context: &mut CommandContext, code: &str, cursor: usize) -> InspectReply {
    let found = candidates(code, cursor).into_iter().find_map(|end| hover(context, code, end));
    let data = found.iter().flat_map(|(plain, html)| {
        [("text/plain".to_owned(), json!(plain)), ("text/html".to_owned(), json!(html))]
    });
    let data = media(data.collect());
    InspectReply { found: found.is_some(), data, metadata: Map::new(), status: ReplyStatus::Ok, error: None }
}

/// What evcxr says of the name that ends at a byte. It looks at the code up to there only, and finds a method by the
/// bracket behind it.
fn hover(context: &mut CommandContext, code: &str, end: usize) -> Option<(String, String)> {
    let name = &code[..end];
    let ways = [format!("{name}("), name.to_owned()];
    ways.iter().find_map(|text| {
        let (plain, html) = context.hover_at(text, text.len()).ok()?;
        (plain != "No documentation found").then_some((plain, html))
    })
}

/// Where the names end that a cursor may mean: the one that it is in or behind, then the function whose arguments it is in.
fn candidates(code: &str, cursor: usize) -> Vec<usize> {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    let behind =
        code[cursor..].find(|character| !is_name(character)).map_or(code.len(), |length| cursor + length);
    let mut ends = Vec::new();
    let start = code[..behind].rfind(|character| !is_name(character)).map_or(0, |before| before + 1);
    // A number is no name.
    if code[start..behind].starts_with(|character: char| is_name(character) && !character.is_numeric()) {
        ends.push(behind);
    }
    let mut depth = 0;
    for (index, character) in code[..cursor].char_indices().rev() {
        match character {
            ')' | ']' | '}' => depth += 1,
            '(' if depth == 0 => {
                let name = code[..index].trim_end_matches('!');
                if name.ends_with(is_name) && !ends.contains(&name.len()) {
                    ends.push(name.len());
                }
            }
            '(' | '[' | '{' => depth = (depth - 1).max(0),
            ';' if depth == 0 => break,
            _ => {}
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_inserted_without_arguments() {
        for (code, name) in [
            ("load_weights(path)", "load_weights"),
            ("println!(…)", "println!"),
            ("Some(${1:_})", "Some"),
            ("len", "len"),
            ("Vec::", "Vec"),
            ("match expr {", "match"),
            (":dep", ":dep"),
        ] {
            assert_eq!(inserted_name(code), name);
        }
        assert_eq!(signature("f(…)", "f(a, b)"), "(a, b)");
        assert_eq!(signature("field", "field"), "");
    }

    #[test]
    fn the_cursor_may_be_in_a_name_or_in_arguments() {
        let code = "let a = prune_layers(&net, Scope::new(1), 0.5);";
        let names = |cursor: &str| -> Vec<&str> {
            let at = code.find(cursor).unwrap();
            let name =
                |end: usize| code[..end].rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            candidates(code, at).into_iter().map(name).collect()
        };
        assert_eq!(names("e_layers"), ["prune_layers"]);
        assert_eq!(names("&net"), ["prune_layers"]);
        assert_eq!(names("0.5"), ["prune_layers"]);
        assert_eq!(names("1)"), ["new", "prune_layers"]);
        assert_eq!(candidates("1 + ", 4), Vec::<usize>::new());
    }

    #[test]
    fn cursors_are_characters() {
        assert_eq!([byte_at("äb", 0), byte_at("äb", 1), byte_at("äb", 2), byte_at("äb", 9)], [0, 2, 3, 3]);
    }
}
