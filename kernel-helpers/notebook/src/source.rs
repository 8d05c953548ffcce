//! Source code that a library carries with it, shown in a cell.

use base::{Error, Result};
use display::{MimeBundle, Show, shows_itself};
use include_dir::Dir;
use std::fmt;

/// Source code of one or more items, with their comments. As the last value of a cell it shows itself.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let source = show_source("Ste::apply")?;
/// assert!(source.code().contains("pub fn apply(self, weight: &Tensor)"));
/// assert!(source.to_markdown().starts_with("`kernel-helpers/nn/src/quant/ste.rs`"));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    excerpts: Vec<Excerpt>,
}

/// The lines of one item.
#[derive(Clone, Debug, PartialEq)]
struct Excerpt {
    /// The file, from the project's folder.
    file: String,
    code: String,
}

/// The source code of items by name, from the folder with a library's sources, which lies at `place` in the project: a
/// function, a type (with its impls), a constant, a macro; one method as `Ste::apply`; only the impls as `impl Ste`.
/// Several names are separated by commas.
///
/// ```
/// use include_dir::{Dir, include_dir};
/// use kernel_helpers::notebook::source::find;
///
/// static SOURCES: Dir = include_dir!("$CARGO_MANIFEST_DIR/src");
///
/// let source = find(&SOURCES, "notebook/src", "Source::code, plot_loss")?;
/// assert!(source.code().contains("pub fn code(&self) -> String {"));
/// let message = find(&SOURCES, "notebook/src", "plot_lost").unwrap_err().to_string();
/// assert!(message.contains("such as `plot_loss`"), "{message}");
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If there is no item of that name; the message lists similar ones.
pub fn find(sources: &Dir, place: &str, names: &str) -> Result<Source> {
    let items = items(sources, place);
    let mut excerpts = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let found = select(&items, name)?;
        excerpts.extend(found.into_iter().map(|item| item.excerpt.clone()));
    }
    if excerpts.is_empty() {
        return Err(Error::argument("the name", format!("an item of {place}"), "nothing"));
    }
    Ok(Source { excerpts })
}

impl Source {
    /// The code alone, items separated by an empty line.
    pub fn code(&self) -> String {
        let codes: Vec<_> = self.excerpts.iter().map(|excerpt| excerpt.code.as_str()).collect();
        codes.join("\n\n")
    }

    /// The code as fenced Markdown blocks, one for each file, under the file's name.
    pub fn to_markdown(&self) -> String {
        let by_file = self.excerpts.chunk_by(|a, b| a.file == b.file).map(|excerpts| {
            let codes: Vec<_> = excerpts.iter().map(|excerpt| excerpt.code.as_str()).collect();
            let (file, code) = (&excerpts[0].file, codes.join("\n\n"));
            let fence = fence(&code);
            format!("`{file}`\n\n{fence}rust\n{code}\n{fence}\n")
        });
        by_file.collect::<Vec<_>>().join("\n")
    }
}

impl Show for Source {
    fn forms(&self) -> MimeBundle {
        MimeBundle::plain(self.code()).markdown(self.to_markdown())
    }
}

shows_itself!(Source);

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code())
    }
}

/// An item found in the sources.
struct Item {
    /// `fn`, `struct`, `impl`, …
    keyword: String,
    /// The item's own name; for an impl, its type.
    name: String,
    /// The type whose impl holds this method.
    owner: Option<String>,
    excerpt: Excerpt,
}

impl Item {
    fn qualified_name(&self) -> String {
        match &self.owner {
            Some(owner) => format!("{owner}::{}", self.name),
            None if self.keyword == "impl" => format!("impl {}", self.name),
            None => self.name.clone(),
        }
    }
}

/// The items that `name` means: exact names of free items first, then methods.
fn select<'a>(items: &'a [Item], name: &str) -> Result<Vec<&'a Item>> {
    let matching =
        |wanted: &dyn Fn(&Item) -> bool| items.iter().filter(|item| wanted(item)).collect::<Vec<_>>();
    let mut found = matching(&|item| item.owner.is_none() && item.name == name);
    if found.is_empty() {
        found = matching(&|item| item.qualified_name() == name);
    }
    if !found.is_empty() {
        // The definition comes before its impls.
        found.sort_by_key(|item| item.keyword == "impl");
        return Ok(found);
    }
    let methods = matching(&|item| item.name == name);
    match methods.len() {
        1 => Ok(methods),
        0 => Err(Error::argument(
            "the name of the source code to show",
            format!("an item of the helpers, such as {}", similar_names(items, name)),
            format!("`{name}`"),
        )),
        _ => Err(Error::argument(
            "the name of the source code to show",
            format!("one of {}", list(methods.iter().map(|item| item.qualified_name()))),
            format!("`{name}`, which several types have"),
        )),
    }
}

/// A Markdown fence longer than any in the code's own documentation.
fn fence(code: &str) -> String {
    let fences = code.split(|c| c != '`').map(str::len);
    "`".repeat(fences.max().unwrap_or(0).max(2) + 1)
}

/// The five names with the least edit distance to `name`, or that contain it.
fn similar_names(items: &[Item], name: &str) -> String {
    let wanted = name.to_lowercase();
    let mut names: Vec<_> =
        items.iter().filter(|item| item.keyword != "impl").map(Item::qualified_name).collect();
    names.sort();
    names.dedup();
    names.sort_by_cached_key(|candidate| {
        let candidate = candidate.to_lowercase();
        (!candidate.contains(&wanted), edit_distance(&candidate, &wanted))
    });
    list(names.into_iter().take(5))
}

fn list(names: impl Iterator<Item = String>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Levenshtein's distance.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// All items of a folder's files, file by file.
fn items(sources: &Dir, place: &str) -> Vec<Item> {
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
fn items_of_file(file: &str, text: &str) -> Vec<Item> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
//! A module.

use std::fmt;

/// Doubles.
#[inline]
pub fn double(
    x: f64,
) -> f64 {
    if x > 0.0 {
        2.0 * x
    } else {
        x
    }
}

/// A point.
///
/// ```
/// let point = Point { x: 1 };
/// ```
///
/// # Errors
/// None.
pub struct Point<T> {
    x: T,
}

impl<T: Into<Vec<u8>>> Point<T> {
    /// Its norm.
    pub fn norm(&self) -> f64 {
        0.0
    }
}

impl<T> fmt::Display for Point<T> {
    fn fmt(&self) {}
}

pub(crate) struct Unit; // nothing in it

const LIMIT: usize = 3;

#[cfg(test)]
mod tests {
    fn hidden() {}
}

fn last() {}
";

    fn names() -> Vec<String> {
        items_of_file("a.rs", FILE).iter().map(Item::qualified_name).collect()
    }

    fn code(name: &str) -> Vec<String> {
        let items = items_of_file("a.rs", FILE);
        select(&items, name).unwrap().iter().map(|item| item.excerpt.code.clone()).collect()
    }

    #[test]
    fn every_item_is_found_and_tests_are_not() {
        let expected = [
            "double",
            "Point",
            "impl Point",
            "Point::norm",
            "impl Point",
            "Point::fmt",
            "Unit",
            "LIMIT",
            "last",
        ];
        assert_eq!(names(), expected);
    }

    #[test]
    fn an_item_comes_whole_with_its_comments() {
        let code = code("double");
        assert!(code[0].starts_with("/// Doubles.\n#[inline]\npub fn double("), "{}", code[0]);
        assert!(code[0].ends_with("        x\n    }\n}"), "{}", code[0]);
        assert_eq!(self::code("Unit"), ["pub(crate) struct Unit; // nothing in it"]);
    }

    #[test]
    fn a_type_comes_with_its_impls() {
        let code = code("Point");
        assert_eq!(code.len(), 3);
        assert_eq!(
            code[0],
            "/// A point.\n///\n/// # Errors\n/// None.\npub struct Point<T> {\n    x: T,\n}"
        );
        assert_eq!(self::code("impl Point").len(), 2);
    }

    #[test]
    fn a_method_comes_without_its_indentation() {
        let expected = ["/// Its norm.\npub fn norm(&self) -> f64 {\n    0.0\n}"];
        assert_eq!(code("Point::norm"), expected);
        assert_eq!(code("norm"), expected);
    }
}
