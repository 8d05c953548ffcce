//! Has a cell that fails keep what its earlier statements made.
//!
//! evcxr stores a cell's new variables at its end, so one that ends early loses them. Here the cell's statements are cut into
//! parts behind the variables that they make. After each part these are stored, and taken from there for the next:
//!
//! ```text
//! if !part(|| { let a = f()?;  put(a); Ok(()) }) { return store; }
//! let a = take();
//! if !part(|| { let b = g(&a)?;  put(b); Ok(()) }) { put(a); return store; }
//! ```
//!
//! All text is inserted behind statements, so lines and columns stay what they are. A cell for which that does not compile
//! is compiled whole.

use super::{RUNTIME, STORE, words_of};
use ra_ap_syntax::ast::{self, HasName};
use ra_ap_syntax::{AstNode, Edition, SourceFile};
use std::collections::{BTreeMap, BTreeSet};

/// evcxr's lines around a cell's statements.
const BEGIN: [&str; 3] = [
    "match std::panic::catch_unwind(",
    "  std::panic::AssertUnwindSafe(||{",
    "let _ = (|| -> std::result::Result<(), EvcxrUserCodeError> {",
];
const END: &str = "Ok(())})();";
/// How many lines end what [`BEGIN`] begins.
const END_LINES: usize = 6;
/// The type is one that a `return` in a cell does not have: such a cell is compiled whole.
const PART: &str = "(|| -> std::result::Result<evcxr_internal_runtime::Done, EvcxrUserCodeError> {";

/// Begins what is inserted behind a statement.
const INSERTED: &str = "/* part */";

/// The part of a compiled line that evcxr wrote.
pub fn without_insertions(line: &str) -> &str {
    line.split(INSERTED).next().unwrap_or(line)
}

/// A cell has at most so many cuts, as each takes the compiler some time.
const MOST_CUTS: usize = 6;

/// A variable that evcxr stores: `put_variable::<TYPE>(stringify!(NAME), NAME, SUM)`.
struct Stored {
    put: String,
    take: String,
}

/// A statement: where it ends, which variables it makes, and what it mentions.
struct Statement {
    end: usize,
    /// Each with whether it is mutable.
    makes: BTreeMap<String, bool>,
    has_value: bool,
    words: BTreeSet<String>,
    may_fail: bool,
}

/// The same code in parts, if it is worth it.
pub fn split(lines: &[String]) -> Option<Vec<String>> {
    let begin = lines.windows(3).position(|window| window == BEGIN)?;
    let end = begin + lines[begin..].iter().position(|line| line == END)?;
    let stored: BTreeMap<String, Stored> = lines[begin..end].iter().filter_map(|line| stored(line)).collect();
    let statements_end =
        end - lines[..end].iter().rev().take_while(|line| stored_name(line).is_some()).count();
    let code = lines[begin + BEGIN.len()..statements_end].join("\n");
    let statements = parse(&code)?;
    let cuts = cuts(&statements, &stored);
    if cuts.is_empty() {
        return None;
    }
    let older: String =
        lines[end + END_LINES..].iter().filter(|line| stored_name(line).is_some()).cloned().collect();
    let mut split = lines.to_vec();
    let code = insert(&code, &statements, &stored, &cuts, &older);
    let code_lines: Vec<String> = code.split('\n').map(str::to_owned).collect();
    split.splice(begin + BEGIN.len()..statements_end, code_lines);
    split[begin..begin + BEGIN.len()].fill(String::new());
    split[begin + 2] = format!("if !{RUNTIME}::part{PART}");
    split[end..end + END_LINES].fill(String::new());
    Some(split)
}

fn stored_name(line: &str) -> Option<&str> {
    let arguments =
        line.strip_prefix("evcxr_variable_store.put_variable::<")?.rsplit_once(">(stringify!(")?.1;
    arguments.split_once(')').map(|(name, _)| name)
}

fn stored(line: &str) -> Option<(String, Stored)> {
    let name = stored_name(line)?;
    let r#type = line.strip_prefix("evcxr_variable_store.put_variable::<")?.rsplit_once(">(stringify!(")?.0;
    let take = format!("{name} = {STORE}.take_variable::<{type}>(stringify!({name}));");
    Some((name.to_owned(), Stored { put: line.to_owned(), take }))
}

fn parse(code: &str) -> Option<Vec<Statement>> {
    const BEFORE: &str = "fn cell() {";
    let file = SourceFile::parse(&format!("{BEFORE}{code}\n}}"), Edition::Edition2024);
    if !file.errors().is_empty() {
        return None;
    }
    let function = file.tree().syntax().children().find_map(ast::Fn::cast)?;
    let list = function.body()?.stmt_list()?;
    let statement = |node: ra_ap_syntax::SyntaxNode| {
        let text = node.text().to_string();
        let (mut makes, mut has_value) = (BTreeMap::new(), true);
        if let Some(statement) = ast::LetStmt::cast(node.clone()) {
            has_value = statement.initializer().is_some();
            let patterns = statement
                .pat()
                .into_iter()
                .flat_map(|pattern| pattern.syntax().descendants().collect::<Vec<_>>());
            for pattern in patterns.filter_map(ast::IdentPat::cast) {
                if let Some(name) = pattern.name() {
                    makes.insert(name.to_string(), pattern.mut_token().is_some());
                }
            }
        }
        let only_prints =
            ["println!", "print!", "eprintln!", "eprint!"].iter().any(|name| text.starts_with(name));
        Statement {
            end: usize::from(node.text_range().end()) - BEFORE.len(),
            makes,
            has_value,
            words: words_of(&text).map(str::to_owned).collect(),
            may_fail: text.contains(['(', '!', '[', '?']) && !only_prints,
        }
    };
    let statements: Vec<Statement> = list.syntax().children().map(statement).collect();
    // It would leave the part, and not the cell; and a name with a mark is not the word that is looked for.
    let is_special = |statement: &Statement| {
        statement.words.contains("return") || statement.makes.keys().any(|name| name.starts_with("r#"))
    };
    (!statements.iter().any(is_special)).then_some(statements)
}

/// Behind which statements to cut: where variables were made that can be stored there, and something may fail later.
fn cuts(statements: &[Statement], stored: &BTreeMap<String, Stored>) -> Vec<usize> {
    let mut cuts: Vec<usize> = Vec::new();
    for index in 0..statements.len() {
        let first = cuts.last().map_or(0, |cut| cut + 1);
        let (part, later) = (&statements[first..=index], &statements[index + 1..]);
        let is_whole = part
            .iter()
            .flat_map(|statement| statement.makes.keys().map(move |name| (statement, name)))
            .all(|(statement, name)| {
                let is_used = later.iter().any(|later| later.words.contains(name));
                let is_made_again =
                    statements.iter().filter(|other| other.makes.contains_key(name)).count() > 1;
                (stored.contains_key(name) || !is_used) && !is_made_again && (statement.has_value || !is_used)
            });
        let is_worth_it =
            part.iter().any(|statement| statement.makes.keys().any(|name| stored.contains_key(name)));
        if is_whole && is_worth_it && later.iter().any(|later| later.may_fail) && cuts.len() < MOST_CUTS {
            cuts.push(index);
        }
    }
    // Where a variable cannot be stored before the cell's end, evcxr's own way is left as it is.
    let first = cuts.last().map_or(0, |cut| cut + 1);
    let made_again =
        |name: &String| statements.iter().filter(|other| other.makes.contains_key(name)).count() > 1;
    let rest_is_whole = statements[first..]
        .iter()
        .all(|statement| statement.has_value && !statement.makes.keys().any(made_again));
    if rest_is_whole { cuts } else { Vec::new() }
}

/// The statements with the text between the parts, and behind the last.
fn insert(
    code: &str,
    statements: &[Statement],
    stored: &BTreeMap<String, Stored>,
    cuts: &[usize],
    older: &str,
) -> String {
    let (mut text, mut done, mut first) = (String::new(), 0, 0);
    let mut puts_before = String::new();
    for cut in cuts.iter().copied().chain([statements.len() - 1]) {
        let end = statements[cut].end;
        text.push_str(&code[done..end]);
        let made = statements[first..=cut].iter().flat_map(|statement| &statement.makes);
        let made: Vec<_> =
            made.filter_map(|(name, is_mutable)| Some((stored.get(name)?, *is_mutable))).collect();
        let puts: String = made.iter().map(|(stored, _)| stored.put.as_str()).collect();
        let exit = format!("{{ {puts_before}{older} {RUNTIME}::finished(); return {STORE}; }}");
        let takes: String = made
            .iter()
            .map(|(stored, is_mutable)| {
                format!(" let {}{}", if *is_mutable { "mut " } else { "" }, stored.take)
            })
            .collect();
        text += &format!("{INSERTED}; {puts} Ok({RUNTIME}::Done) }}) {exit}{takes}");
        if cut + 1 < statements.len() {
            text += &format!(" if !{RUNTIME}::part{PART}");
        }
        puts_before.push_str(&puts);
        (done, first) = (end, cut + 1);
    }
    text.push_str(&code[done..]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cell's code as evcxr makes it, rewritten, with these statements and new variables.
    fn cell(statements: &str, variables: &[&str]) -> Vec<String> {
        let put =
            |name: &&str| format!("evcxr_variable_store.put_variable::<i32>(stringify!({name}), {name}, 0);");
        let puts: Vec<String> = variables.iter().map(put).collect();
        let mut lines: Vec<String> = BEGIN.map(str::to_owned).into();
        lines.extend(statements.lines().map(str::to_owned));
        lines.extend(puts);
        lines.extend(
            [END, "})) { ", "  Ok(_) => {}", "  Err(_) => {", "panicked();", "}}"].map(str::to_owned),
        );
        lines.push(put(&"older"));
        lines
    }

    #[test]
    fn what_was_made_before_a_failure_is_stored() {
        let lines = cell("let mut a = f()?; // first\nlet b = g(a)?;\nh(b)?;", &["b", "a"]);
        let split = split(&lines).unwrap();
        assert_eq!(split.len(), lines.len());
        assert!(split[2].starts_with("if !evcxr_internal_runtime::part("));
        let first = &split[3];
        assert!(first.starts_with(
            "let mut a = f()?;/* part */; evcxr_variable_store.put_variable::<i32>(stringify!(a), a, 0);"
        ));
        assert!(
            first.contains("let mut a = evcxr_variable_store.take_variable::<i32>(stringify!(a));"),
            "{first}"
        );
        assert!(first.ends_with("// first"), "{first}");
        let second = &split[4];
        assert!(
            second.contains("{ evcxr_variable_store.put_variable::<i32>(stringify!(a), a, 0);"),
            "{second}"
        );
        assert!(
            second.contains("stringify!(older)") && second.contains("let b = evcxr_variable_store"),
            "{second}"
        );
        assert!(without_insertions(&split[5]) == "h(b)?;" && !split[5].contains("if !"));
        assert_eq!(split[6..8], lines[6..8]);
        assert!(split[8..14].iter().all(String::is_empty));
    }

    #[test]
    fn cells_that_gain_nothing_stay_whole() {
        let whole = |statements, variables: &[&str]| split(&cell(statements, variables)).is_none();
        assert!(whole("let a = 1;", &["a"]));
        assert!(whole("let a = 1;\nprintln!(\"{a}\");", &["a"]));
        assert!(whole("f()?;\ng()?;", &[]));
        // `a` cannot be stored, as `b` takes it.
        assert!(whole("let a = f()?;\nlet b = g(a)?;", &["b"]));
        assert!(whole("let a = f()?;\nif a > 1 { return Ok(()); }\ng()?;", &["a"]));
        assert!(whole("let a = f()?;\nlet a = g(a)?;", &["a"]));
        assert!(whole("let a = f()?;\nlet a = ;", &["a"]));
    }

    #[test]
    fn a_variable_that_is_used_up_is_not_cut_off() {
        let lines = cell("let a = f()?;\nlet b = g(a)?;\nlet c = h()?;\nk()?;", &["b", "c"]);
        let split = split(&lines).unwrap();
        assert_eq!(split[3], lines[3]);
        assert!(split[4].contains("if !") && split[5].contains("if !"));
    }
}
