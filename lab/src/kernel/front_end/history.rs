//! What was executed, as Jupyter asks for it: by the end, by numbers, by a pattern.

use jupyter_protocol::{HistoryEntry, HistoryReply, HistoryRequest};
use std::collections::BTreeMap;

/// Sessions are numbered; a kernel knows its own, and 0 means this one too.
const SESSION: usize = 1;

/// The sources of the cells of this kernel.
#[derive(Debug, Default)]
pub struct History {
    /// Each with its number.
    cells: Vec<(usize, String)>,
    /// The values of cells, as text.
    values: BTreeMap<usize, String>,
}

impl History {
    /// Notes a cell.
    pub fn add(&mut self, number: usize, code: &str) {
        self.cells.push((number, code.to_owned()));
    }

    /// Notes the value of a cell.
    pub fn add_value(&mut self, number: usize, text: &str) {
        self.values.insert(number, text.to_owned());
    }

    /// Answers a request.
    pub fn reply(&self, request: &HistoryRequest) -> HistoryReply {
        let last = |count: i32, from: usize| from.saturating_sub(usize::try_from(count).unwrap_or(0));
        let (found, with_output) = match request {
            HistoryRequest::Tail { n, output, .. } => {
                (self.cells[last(*n, self.cells.len())..].to_vec(), *output)
            }
            HistoryRequest::Range { session, start, stop, output, .. } => {
                let is_this = session.is_none_or(|session| [0, SESSION as i32].contains(&session));
                let inside = |number: usize| {
                    let number = i32::try_from(number).unwrap_or(i32::MAX);
                    // Without an end, all that follow.
                    number >= *start && (*stop <= 0 || number < *stop)
                };
                let cells = self.cells.iter().filter(|(number, _)| is_this && inside(*number));
                (cells.cloned().collect(), *output)
            }
            HistoryRequest::Search { pattern, unique, output, n, .. } => {
                let mut found: Vec<_> =
                    self.cells.iter().filter(|(_, code)| matches(pattern, code)).cloned().collect();
                if *unique {
                    let later = found.clone();
                    let mut index = 0;
                    found.retain(|(_, code)| {
                        index += 1;
                        !later[index..].iter().any(|(_, other)| other == code)
                    });
                }
                let start = if *n > 0 { last(*n, found.len()) } else { 0 };
                (found.split_off(start), *output)
            }
        };
        let entry = |(number, code): (usize, String)| match with_output {
            true => {
                let value = self.values.get(&number).cloned().unwrap_or_default();
                HistoryEntry::InputOutput(SESSION, number, (code, value))
            }
            false => HistoryEntry::Input(SESSION, number, code),
        };
        HistoryReply::new(found.into_iter().map(entry).collect())
    }
}

/// Whether a whole text is what a pattern with `*` and `?` says.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut star, mut from, mut place) = (0, None, 0, 0);
    while place < text.len() {
        match pattern.get(at) {
            Some('*') => (star, from, at) = (Some(at), place, at + 1),
            Some(&wanted) if wanted == '?' || wanted == text[place] => (at, place) = (at + 1, place + 1),
            _ => match star {
                // The last star takes one character more.
                Some(star) => (at, from, place) = (star + 1, from + 1, from + 1),
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&rest| rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(history: &History, request: &HistoryRequest) -> Vec<String> {
        let entries = history.reply(request).history;
        let source = |entry| match entry {
            HistoryEntry::Input(_, _, code) | HistoryEntry::InputOutput(_, _, (code, _)) => code,
        };
        entries.into_iter().map(source).collect()
    }

    #[test]
    fn cells_are_found_by_end_number_and_pattern() {
        let mut history = History::default();
        for (number, code) in ["let a = 1;", "a + 1", "let b = 2;", "a + 1"].iter().enumerate() {
            history.add(number + 1, code);
        }
        let tail = HistoryRequest::Tail { n: 2, output: false, raw: true };
        assert_eq!(sources(&history, &tail), ["let b = 2;", "a + 1"]);
        let range =
            |session, start, stop| HistoryRequest::Range { session, start, stop, output: true, raw: true };
        assert_eq!(sources(&history, &range(Some(0), 1, 3)), ["let a = 1;", "a + 1"]);
        assert_eq!(sources(&history, &range(Some(7), 1, 3)), Vec::<String>::new());
        let search = |pattern: &str, unique, n| HistoryRequest::Search {
            pattern: pattern.to_owned(),
            unique,
            n,
            output: false,
            raw: true,
        };
        assert_eq!(sources(&history, &search("let*", false, 10)), ["let a = 1;", "let b = 2;"]);
        assert_eq!(sources(&history, &search("*a*", false, 1)), ["a + 1"]);
        assert_eq!(sources(&history, &search("a ? 1", true, 10)), ["a + 1"]);
        assert_eq!(sources(&history, &search("b", false, 10)), Vec::<String>::new());
    }
}
