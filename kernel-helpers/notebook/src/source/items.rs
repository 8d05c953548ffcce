//! The items of a library, found in its files.

use include_dir::Dir;

/// The lines of one item.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Excerpt {
    /// The file, from the project's folder.
    pub file: String,
    pub code: String,
}

/// An item found in the sources.
pub(super) struct Item {
    /// `fn`, `struct`, `impl`, …
    pub keyword: String,
    /// The item's own name; for an impl, its type.
    pub name: String,
    /// The type whose impl holds this method.
    pub owner: Option<String>,
    pub excerpt: Excerpt,
}

impl Item {
    pub fn qualified_name(&self) -> String {
        match &self.owner {
            Some(owner) => format!("{owner}::{}", self.name),
            None if self.keyword == "impl" => format!("impl {}", self.name),
            None => self.name.clone(),
        }
    }
}

/// All items of a folder's files, file by file.
pub(super) fn items(sources: &Dir, place: &str) -> Vec<Item> {
    let mut folders = vec![sources];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        folders.extend(folder.dirs());
        files.extend(folder.files().filter_map(|file| {
            let path = format!("{place}/{}", file.path().to_str()?.replace('\\', "/"));
            (path.ends_with(".rs") && !path.ends_with("tests.rs")).then_some((path, file.contents_utf8()?))
        }));
    }
    files.sort();
    files.iter().flat_map(|(path, text)| items_of_file(path, text)).collect()
}

/// The items of one file, found by rustfmt's indentation: an item ends at the first line that is indented like its own
/// first line and ends in `}` or `;`.
pub(super) fn items_of_file(file: &str, text: &str) -> Vec<Item> {
    let lines: Vec<&str> = text.lines().collect();
    let mut items = Vec::new();
    let mut owner: Option<(String, usize)> = None;
    let mut at = 0;
    while at < lines.len() {
        if lines[at].trim() == "#[cfg(test)]" {
            at = last_line(&lines, at + 1) + 1;
            continue;
        }
        if owner.as_ref().is_some_and(|(_, end)| at > *end) {
            owner = None;
        }
        let Some((keyword, name)) = item_header(lines[at]) else {
            at += 1;
            continue;
        };
        let end = last_line(&lines, at);
        let indent = indentation(lines[at]);
        let in_impl = indent == 4 && owner.is_some();
        if indent == 0 || in_impl {
            let code = unindent(&without_examples(&lines[first_line(&lines, at)..=end]), indent);
            items.push(Item {
                owner: owner.as_ref().filter(|_| in_impl).map(|(owner, _)| owner.clone()),
                excerpt: Excerpt { file: file.to_owned(), code },
                keyword: keyword.clone(),
                name: name.clone(),
            });
        }
        let holds_methods = keyword == "impl" || keyword == "trait";
        if holds_methods {
            owner = Some((name, end));
        }
        at = if holds_methods { at + 1 } else { end + 1 };
    }
    items
}

/// The keyword and name that a line introduces, if it is an item's first line.
fn item_header(line: &str) -> Option<(String, String)> {
    const KEYWORDS: [&str; 9] =
        ["fn", "struct", "enum", "trait", "impl", "const", "static", "type", "macro_rules!"];
    let mut rest = line.trim_start();
    loop {
        let word_end =
            rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '!')).unwrap_or(rest.len());
        let (word, after) = rest.split_at(word_end);
        let modifier =
            matches!(word, "pub" | "async" | "unsafe") || (word == "const" && after.starts_with(" fn "));
        if modifier {
            rest = after.trim_start();
            if rest.starts_with('(') {
                rest = rest.split_once(')')?.1.trim_start();
            }
        } else if KEYWORDS.contains(&word) {
            let name = if word == "impl" { impl_type(after)? } else { leading_name(after.trim_start())? };
            return Some((word.to_owned(), name));
        } else {
            return None;
        }
    }
}

/// The type of `impl<T> Trait for path::Type<T> {`, without its path and parameters.
fn impl_type(header: &str) -> Option<String> {
    let header = match header.strip_prefix('<') {
        Some(generic) => {
            let mut depth = 1;
            let end = generic.find(|c| {
                depth += i32::from(c == '<') - i32::from(c == '>');
                depth == 0
            })?;
            &generic[end + 1..]
        }
        None => header,
    };
    let target = header.split_once(" for ").map_or(header, |(_, target)| target);
    let path = target.trim_start().trim_start_matches(['&', '[', '(']);
    let path = path.split(['<', ' ', '{']).next()?;
    leading_name(path.rsplit("::").next()?)
}

fn leading_name(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// The first of the comments and attributes directly above an item.
fn first_line(lines: &[&str], item: usize) -> usize {
    let above = lines[..item].iter().rev();
    let belongs = above.take_while(|line| {
        let line = line.trim_start();
        (line.starts_with("//") && !line.starts_with("//!")) || line.starts_with("#[")
    });
    item - belongs.count()
}

/// The lines without the examples in their documentation: what a cell shows is already used in the next one.
fn without_examples<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let mut in_example = false;
    let mut left: Vec<&str> = Vec::new();
    for line in lines {
        let text = line.trim_start();
        let (is_doc, is_fence) = (text.starts_with("///"), text.starts_with("/// ```"));
        if is_fence {
            in_example = !in_example;
            // An empty line of documentation led to the example.
            while in_example && left.last().is_some_and(|line| line.trim() == "///") {
                left.pop();
            }
        } else if !(in_example && is_doc) {
            left.push(line);
        }
    }
    left
}

fn last_line(lines: &[&str], item: usize) -> usize {
    let indent = lines.get(item).map_or(0, |line| indentation(line));
    let ends = |line: &str| {
        let code = line.split(" // ").next().unwrap_or_default().trim_end();
        !code.is_empty() && indentation(line) == indent && code.ends_with(['}', ';'])
    };
    let after = lines.iter().enumerate().skip(item);
    after.filter(|(_, line)| ends(line)).map(|(at, _)| at).next().unwrap_or(lines.len().saturating_sub(1))
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn unindent(lines: &[&str], indent: usize) -> String {
    let lines: Vec<_> = lines.iter().map(|line| line.get(indent..).unwrap_or_default()).collect();
    lines.join("\n")
}
