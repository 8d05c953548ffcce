//! What a cell shows when it fails: which kind of error, what is wrong, and where in the cell.

use crate::kernel::cell_code::{FUNCTION_BEGIN, without_insertions};
use crate::kernel::implementations::Rewritten;
use crate::kernel::source::{Item, items_in_lines, without_result};
use evcxr::CompilationError;
use jupyter_protocol::{ErrorOutput, ReplyError};

/// Weight is read in both of JupyterLab's themes; its colors on the red of an error are not.
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// More errors of a cell are counted only.
const MOST: usize = 5;

/// Why a cell failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellError {
    name: String,
    value: String,
    traceback: Vec<String>,
}

impl CellError {
    /// An error without a place.
    pub fn new(name: &str, value: String) -> Self {
        let traceback = vec![format!("{BOLD}{name}{PLAIN}: {value}")];
        CellError { name: name.to_owned(), value, traceback }
    }

    /// An error in a line of the cell, counted from 1.
    pub fn at(self, line: Option<usize>, cell: &str) -> Self {
        let Some((line, text)) = line.and_then(|line| Some((line, cell.lines().nth(line.checked_sub(1)?)?)))
        else {
            return self;
        };
        let mut error = self;
        error.traceback.push(format!(" in line {line}:  {}", text.trim()));
        error
    }

    /// An error in a line of the code that evcxr has made of all cells: in this cell, or in a function that another has defined.
    pub fn in_line(self, line: u32, generated: &str, cell: &str) -> Self {
        match (line_of_cell(generated, line, cell), place_in_items(generated, line as usize)) {
            (None, Some(place)) => self.with_note(&format!(" {place}")),
            (found, _) => self.at(found, cell),
        }
    }

    /// A remark below the error.
    pub fn with_note(mut self, note: &str) -> Self {
        self.traceback.push(note.to_owned());
        self
    }

    /// What the compiler says of a cell, of which evcxr has made this code.
    pub fn of_compiler(
        errors: &[CompilationError],
        rewritten: &Rewritten,
        cell: &str,
        generated: &str,
    ) -> Self {
        let is_error = |error: &&CompilationError| error.level() == "error" || error.level().is_empty();
        let errors: Vec<&CompilationError> = errors.iter().filter(is_error).collect();
        let mut traceback: Vec<String> = Vec::new();
        for error in &errors {
            let text = describe(error, rewritten, cell, generated);
            if !traceback.contains(&text) {
                traceback.push(text);
            }
        }
        if traceback.len() > MOST {
            let more = traceback.len() - MOST;
            traceback.truncate(MOST);
            traceback.push(format!("and {more} more errors"));
        }
        let value = errors.first().map_or_else(
            || "the cell does not compile".to_owned(),
            |error| without_progress(&error.message()).to_owned(),
        );
        if traceback.is_empty() {
            traceback.push(value.clone());
        }
        CellError { name: "CompileError".to_owned(), value, traceback }
    }

    /// As an output of the cell.
    pub fn output(&self) -> ErrorOutput {
        ErrorOutput {
            ename: self.name.clone(),
            evalue: self.value.clone(),
            traceback: self.traceback.clone(),
        }
    }
}

impl From<CellError> for ReplyError {
    fn from(error: CellError) -> Self {
        ReplyError { ename: error.name, evalue: error.value, traceback: error.traceback }
    }
}

/// What evcxr says of a variable that cannot stay for later cells, with what to do in a notebook.
pub fn in_our_words(message: &str) -> String {
    let Some(rest) =
        message.strip_prefix("The variable `").filter(|rest| rest.contains("cannot be persisted"))
    else {
        return message.to_owned();
    };
    let (name, rest) = rest.split_once('`').unwrap_or((rest, ""));
    let braces = "or put braces around all that uses it: { let … }";
    if rest.starts_with(" is a closure") {
        return format!(
            "`{name}` is a closure, which cannot stay for later cells. Make it a function, `fn {name}(…) -> … {{ … }}`, \
             or a `Box<dyn Fn(…) -> …>`, {braces}"
        );
    }
    let type_name = rest.split('`').nth(1).unwrap_or("a type without a name");
    format!(
        "`{name}` has the type `{type_name}`, which cannot stay for later cells. Make a value of it, as \
         `.collect::<Vec<_>>()` does of an iterator, {braces}"
    )
}

/// What cargo says of a failure, without what it says before it.
fn without_progress(message: &str) -> &str {
    message.split_once("\nerror: ").map_or(message, |(_, error)| error)
}

/// One of the compiler's errors: the message, the lines that it is about, and what helps.
fn describe(error: &CompilationError, rewritten: &Rewritten, cell: &str, generated: &str) -> String {
    let code = error.code().map(|code| format!("[{code}]")).unwrap_or_default();
    let mut text = format!("{BOLD}error{code}{PLAIN}: {}", without_progress(&error.message()));
    let mut spanned: Vec<_> =
        error.spanned_messages().iter().filter(|message| message.span.is_some()).collect();
    if spanned.is_empty() {
        let places = lines_of(error).into_iter().filter_map(|line| place_in_items(generated, line));
        text.extend(
            places.take(1).map(|place| format!("\n {place}, which goes with what this cell changes")),
        );
    }
    spanned.sort_by_key(|message| !message.is_primary);
    spanned.truncate(4);
    for message in spanned {
        let Some(span) = message.span else { continue };
        let start = rewritten.original_column(span.start_line, span.start_column);
        let end = rewritten.original_column(span.end_line, span.end_column);
        let line = cell.lines().nth(span.start_line.saturating_sub(1)).unwrap_or_default();
        let end = if span.end_line == span.start_line { end } else { line.chars().count() + 1 };
        if message.is_primary {
            text += &format!("\n in line {}, column {start}", span.start_line);
        }
        let number = span.start_line.to_string();
        let marks = if message.is_primary { "^" } else { "-" }.repeat(end.saturating_sub(start).max(1));
        let label = if message.label.starts_with("error: ") { "" } else { &message.label };
        let margin = " ".repeat(number.len());
        let indent: String =
            line.chars().take(start.saturating_sub(1)).map(|c| if c == '\t' { c } else { ' ' }).collect();
        text += &format!("\n{number} | {line}\n{margin} | {indent}{BOLD}{marks}{PLAIN} {label}");
        text.truncate(text.trim_end().len());
    }
    for help in error.help() {
        let (help, replacement) = help.split_once("\n\n").unwrap_or((&help, ""));
        let replacement = replacement.trim();
        text += &format!("\nhelp: {help}");
        if !replacement.is_empty() && !help.contains(replacement) {
            text += &format!(": `{replacement}`");
        }
    }
    if let Some(hint) = error.evcxr_extra_hint() {
        text += &format!("\nhelp: {}", hint.replace("Evcxr", "a notebook"));
    }
    text
}

/// The items of earlier cells that these errors are in, if none is in the cell itself.
pub fn broken_items(errors: &[CompilationError], code: &str) -> Vec<Item> {
    let is_own =
        |error: &CompilationError| error.spanned_messages().iter().any(|message| message.span.is_some());
    if errors.iter().any(is_own) {
        return Vec::new();
    }
    items_in_lines(code, &errors.iter().flat_map(lines_of).collect::<Vec<_>>())
}

/// The lines of the generated code that an error is about.
fn lines_of(error: &CompilationError) -> Vec<usize> {
    let spans = error.json["spans"].as_array().into_iter().flatten();
    spans.filter_map(|span| usize::try_from(span["line_start"].as_u64()?).ok()).collect()
}

/// Where a line of the generated code is, if it is in a function or an `impl` block that a cell has defined.
fn place_in_items(generated: &str, line: usize) -> Option<String> {
    let statements = generated.lines().position(|text| text.trim() == FUNCTION_BEGIN);
    if statements.is_some_and(|statements| line > statements) {
        return None;
    }
    let item = items_in_lines(generated, &[line]).into_iter().next()?;
    let text = without_insertions(generated.lines().nth(line.checked_sub(1)?)?).trim();
    Some(format!("in `{}`:  {text}", item.title))
}

/// The line of the cell, from 1, that stands in a line of the generated code: a cell's statements are in it as they are, in
/// order, behind the items of all cells.
pub fn line_of_cell(generated: &str, line: u32, cell: &str) -> Option<usize> {
    let wanted = usize::try_from(line).ok()?.checked_sub(1)?;
    let cell: Vec<&str> = cell.lines().collect();
    let lines: Vec<&str> =
        generated.lines().map(|text| without_result(without_insertions(text).trim())).collect();
    let function = lines.iter().rposition(|text| *text == FUNCTION_BEGIN)?;
    let find = |text: &str, from: usize| (from..cell.len()).find(|&index| is_of(text, cell[index]));
    if wanted < function {
        return find(lines[wanted], 0).map(|index| index + 1);
    }
    let mut next = 0;
    for (number, text) in lines.iter().enumerate().skip(function) {
        let found = find(text, next);
        if number == wanted {
            return found.map(|index| index + 1);
        }
        // A line of the cell may hold several statements.
        next = found.unwrap_or(next);
    }
    None
}

/// Whether a generated line is of a cell's line, or a part of it.
fn is_of(generated: &str, line: &str) -> bool {
    let line = line.trim();
    let is_word = generated.chars().any(char::is_alphanumeric);
    is_word && (line == generated || line.contains(generated) || generated.contains(line) && line.len() > 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_generated_code_is_one_of_the_cell() {
        let generated = "use std::fs;\n#[unsafe(no_mangle)]\nfn run(\n) {\nlet a = f()?; \nlet b =\n    g()?;/* part */; f()\nkernel_helpers::cell_result!(a + b);\n}\n";
        let cell = "// first\nlet a = f()?; let b =\n    g()?;\na + b";
        let lines: Vec<_> = (1..=9).map(|line| line_of_cell(generated, line, cell)).collect();
        assert_eq!(lines, [None, None, None, None, Some(2), Some(2), Some(3), Some(4), None]);
    }

    #[test]
    fn what_cannot_stay_is_told_with_a_way_out() {
        let closure =
            in_our_words("The variable `c` is a closure, which cannot be persisted.\nYou can box it.");
        assert!(
            closure.starts_with("`c` is a closure, which cannot stay") && closure.contains("fn c("),
            "{closure}"
        );
        let iterator =
            in_our_words("The variable `it` has type `Map<Range<i32>>` which cannot be persisted.\nYou can.");
        assert!(
            iterator.contains("`it` has the type `Map<Range<i32>>`") && !iterator.contains("You can"),
            "{iterator}"
        );
        assert_eq!(in_our_words("no"), "no");
    }

    #[test]
    fn an_error_in_another_cell_s_function_names_it() {
        let generated = "fn third(v: &[f64]) -> f64 {\n    v[2]\n}\n#[unsafe(no_mangle)]\nfn run(\n) {\nlet a = third(&[]);\n}\n";
        let error =
            |line| CellError::new("Panic", "no".to_owned()).in_line(line, generated, "let a = third(&[]);");
        assert_eq!(error(2).output().traceback[1], " in `fn third`:  v[2]");
        assert_eq!(error(7).output().traceback[1], " in line 1:  let a = third(&[]);");
    }

    #[test]
    fn an_error_names_its_line() {
        let error = CellError::new("ParseIntError", "invalid digit".to_owned())
            .at(Some(2), "let a = 1;\nlet b = f()?;");
        assert_eq!(error.output().traceback[1], " in line 2:  let b = f()?;");
        let without = CellError::new("Panic", "no".to_owned());
        assert_eq!(without.clone().at(None, "x"), without);
        assert_eq!(without.clone().at(Some(3), "x"), without);
    }
}
