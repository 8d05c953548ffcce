//! Where the body of a function lies in a cell.

use anyhow::{Context, Result, bail};
use ra_ap_syntax::ast::{self, HasModuleItem, HasName};
use ra_ap_syntax::{AstNode, Edition, SourceFile};
use std::collections::BTreeMap;
use std::ops::Range;

/// Around a cell's statements, so that they can be parsed.
const BEFORE: &str = "fn cell() {";

/// A cell of the solution, divided.
#[derive(Debug, PartialEq, Eq)]
pub struct Divided {
    /// All up to the end of the last item to write, with nbgrader's marks around what is to be written.
    pub marked: String,
    /// The same without marks.
    pub solution: String,
    /// What comes after it.
    pub rest: String,
}

/// A function's body and the end of the item of the cell that it is in.
struct Body {
    inside: Range<usize>,
    item_end: usize,
    /// Where the function begins, behind its comment, if it is an item of the cell itself.
    begins: Option<usize>,
}

/// Marks the bodies of the named functions and methods, each below its hint.
pub fn divide(code: &str, hints: &BTreeMap<String, String>) -> Result<Divided> {
    let mut bodies = Vec::new();
    for (name, hint) in hints {
        bodies.push((body(code, name)?, hint));
    }
    let end = bodies.iter().map(|(body, _)| body.item_end).max().unwrap_or_default();
    bodies.sort_by_key(|(body, _)| body.inside.start);
    let (mut marked, mut at) = (String::new(), 0);
    for (Body { inside, .. }, hint) in bodies {
        let lines = code[inside.clone()].trim_matches('\n').trim_end();
        let indent = &lines[..lines.len() - lines.trim_start().len()];
        marked += &code[at..inside.start];
        for line in hint.trim().lines() {
            marked += &format!("\n{indent}// {}", line.trim());
        }
        marked += &format!("\n{indent}// BEGIN SOLUTION\n{lines}\n{indent}// END SOLUTION\n");
        at = inside.end - closing_indent(code, inside.end);
    }
    marked += &code[at..end];
    let rest = code[end..].trim().to_owned();
    Ok(Divided { marked, solution: code[..end].to_owned(), rest })
}

/// What the named function begins with, up to its body, if it is no method.
pub fn signature(code: &str, name: &str) -> Result<Option<String>> {
    let Body { inside, begins, .. } = body(code, name)?;
    Ok(begins.map(|begin| code[begin..inside.start - 1].trim_end().to_owned()))
}

/// How far the brace at `end` is indented.
fn closing_indent(code: &str, end: usize) -> usize {
    let line = code[..end].rfind('\n').map_or(end, |newline| newline + 1);
    end - line
}

/// The body, between its braces, of the only function of this name in the items of a cell and in their methods.
fn body(code: &str, name: &str) -> Result<Body> {
    let file = SourceFile::parse(&format!("{BEFORE}{code}\n}}"), Edition::Edition2024).tree();
    let Some(ast::Item::Fn(cell)) = file.items().next() else { bail!("a cell could not be parsed") };
    let statements = cell.body().and_then(|body| body.stmt_list()).context("a cell has no statements")?;
    let mut found = Vec::new();
    for item in statements.syntax().children().filter_map(ast::Item::cast) {
        let functions = item.syntax().descendants().filter_map(ast::Fn::cast);
        for function in functions.filter(|function| function.name().is_some_and(|it| it.text() == name)) {
            let list = function.body().and_then(|body| body.stmt_list());
            let list = list.with_context(|| format!("the function `{name}` has no body"))?;
            let (range, item_syntax) = (list.syntax().text_range(), item.syntax());
            let item = item_syntax.text_range();
            let place = |offset: usize| offset - BEFORE.len();
            let inside = place(range.start().into()) + 1..place(range.end().into()) - 1;
            let begin = function.fn_token().map(|token| place(token.text_range().start().into()));
            let begins = begin.filter(|_| function.syntax() == item_syntax);
            found.push(Body { inside, item_end: place(item.end().into()), begins });
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        count => bail!("expected one function `{name}`, found {count}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(names: &[&str]) -> BTreeMap<String, String> {
        names.iter().map(|&name| (name.to_owned(), format!("How to {name}."))).collect()
    }

    #[test]
    fn bodies_are_marked_whatever_braces_they_hold() {
        let code = "/// Doc.\nfn f(x: i32) -> i32 {\n    let s = \"}\"; // }\n    x\n}\n\nlet a = f(1);\na";
        let divided = divide(code, &hints(&["f"])).unwrap();
        let marked = "/// Doc.\nfn f(x: i32) -> i32 {\n    // How to f.\n    // BEGIN SOLUTION\n    \
                      let s = \"}\"; // }\n    x\n    // END SOLUTION\n}";
        assert_eq!(divided.marked, marked);
        assert_eq!(divided.rest, "let a = f(1);\na");
        assert!(code.starts_with(&divided.solution));
    }

    #[test]
    fn methods_are_found_and_what_is_not_there_is_told() {
        let code = "struct A;\nimpl A {\n    fn g() {\n        h();\n    }\n\n    fn h() {}\n}\nstruct B;";
        let divided = divide(code, &hints(&["g"])).unwrap();
        let marked =
            "        // How to g.\n        // BEGIN SOLUTION\n        h();\n        // END SOLUTION\n    }";
        assert!(divided.marked.contains(marked), "{}", divided.marked);
        assert!(divided.marked.ends_with("fn h() {}\n}"));
        let begins = |code, name| signature(code, name).unwrap();
        assert_eq!(begins(code, "g"), None);
        assert_eq!(
            begins("/// Doc.\nfn f(x: i32) -> i32 {\n    x\n}", "f").as_deref(),
            Some("fn f(x: i32) -> i32")
        );
        let error = divide(code, &hints(&["k"])).unwrap_err().to_string();
        assert_eq!(error, "expected one function `k`, found 0");
    }
}
