//! What is found, in a file made up for it and in the helpers themselves.

use super::items::items_of_file;
use super::*;
use include_dir::include_dir;

/// All crates of the helpers.
static HELPERS: Dir = include_dir!("$CARGO_MANIFEST_DIR/..");

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
    select(&items, "the library", name).unwrap().iter().map(|item| item.excerpt.code.clone()).collect()
}

#[test]
fn every_item_is_found_and_tests_are_not() {
    let expected =
        ["double", "Point", "impl Point", "Point::norm", "impl Point", "Point::fmt", "Unit", "LIMIT", "last"];
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
    assert_eq!(code[0], "/// A point.\n///\n/// # Errors\n/// None.\npub struct Point<T> {\n    x: T,\n}");
    assert_eq!(self::code("impl Point").len(), 2);
}

#[test]
fn a_method_comes_without_its_indentation() {
    let expected = ["/// Its norm.\npub fn norm(&self) -> f64 {\n    0.0\n}"];
    assert_eq!(code("Point::norm"), expected);
    assert_eq!(code("norm"), expected);
}

#[test]
fn every_excerpt_has_balanced_braces() {
    for item in items(&HELPERS, "kernel-helpers") {
        let lines = item.excerpt.code.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code: String = lines.map(without_literals).collect();
        let count = |brace| code.matches(brace).count();
        assert_eq!(count('{'), count('}'), "{}:\n{}", item.qualified_name(), item.excerpt.code);
    }
}

/// The line without what stands between quotes.
fn without_literals(line: &str) -> String {
    let line = line.replace("'\"'", "").replace("'{'", "").replace("'}'", "").replace("\\\"", "");
    line.split('"').step_by(2).collect()
}

#[test]
fn a_fence_is_longer_than_those_inside() {
    assert_eq!(fence("/// ```\n/// x\n/// ```"), "````");
}

#[test]
fn cells_are_searched_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lab.ipynb");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    write(
        r#"{"cells": [
            {"cell_type": "markdown", "source": "fn text() {}"},
            {"cell_type": "code", "source": "let a = 1;\n\n/// Twice.\nfn twice(x: f64) -> f64 {\n    2.0 * x\n}\n\ntwice(1.0)"},
            {"cell_type": "code", "source": ["struct Half;\n", "\n", "impl Half {\n", "    fn of() {}\n", "}"]}
        ]}"#,
    );
    let code = |name: &str| find_in_cells(&path, "notebooks/lab.ipynb", name).map(|source| source.code());
    assert_eq!(code("twice").unwrap(), "/// Twice.\nfn twice(x: f64) -> f64 {\n    2.0 * x\n}");
    assert_eq!(code("Half").unwrap(), "struct Half;\n\nimpl Half {\n    fn of() {}\n}");
    let message = code("twise").unwrap_err().to_string();
    assert!(message.contains("an item of notebooks/lab.ipynb, such as `twice`"), "{message}");
    assert!(code("text").is_err(), "Markdown is no code");
    write("[]");
    assert!(code("twice").unwrap_err().to_string().contains("lab.ipynb"));
}
