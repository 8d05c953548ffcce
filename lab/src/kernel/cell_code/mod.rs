//! Rewrites the code that evcxr makes of a cell, line by line: its lines keep their numbers, by which evcxr knows whose
//! an error is.
//!
//! evcxr compiles a store for variables into each cell, and writes lines to the standard output where a cell fails or
//! ends. In their place stand calls of `kernel_helpers::cell`: compiled once, and out of the cell's way.

mod parts;

pub use parts::without_insertions;

use super::source::definitions_in;
use kernel_helpers::digest::sha256;
use std::collections::{BTreeMap, BTreeSet};

/// The code of a cell that asks evcxr which of all variables are there.
pub const NOTHING: &str = "{}";

const RUNTIME: &str = "evcxr_internal_runtime";
/// Where evcxr's runtime begins, and the line behind it.
const RUNTIME_BEGIN: &str = "mod evcxr_internal_runtime {";
pub const FUNCTION_BEGIN: &str = "#[unsafe(no_mangle)]";
/// A cell's function returns the store in its last line but one.
const STORE: &str = "evcxr_variable_store";

/// What rustc gets in place of evcxr's code.
pub struct Rewritten {
    /// The code.
    pub whole: String,
    /// The same in [`parts`], where that helps.
    pub in_parts: Option<String>,
}

/// Rewrites the code of a cell. Code that is not as evcxr's version writes it stays as it is.
pub fn rewrite(generated: &str) -> Rewritten {
    match rewrite_lines(generated) {
        Some(lines) => Rewritten {
            in_parts: parts::split(&lines).map(|lines| lines.join("\n")),
            whole: lines.join("\n"),
        },
        None => Rewritten { whole: generated.to_owned(), in_parts: None },
    }
}

/// What evcxr compiles before it has the helpers, with a way to show its value: it would compile a second time.
pub fn rewrite_without_helpers(generated: &str) -> String {
    let shown = "trait Shown { fn evcxr_display(&self) {} } impl<T> Shown for T {}";
    if generated.contains(").evcxr_display();") {
        format!("{generated}{shown}\n")
    } else {
        generated.to_owned()
    }
}

fn rewrite_lines(generated: &str) -> Option<Vec<String>> {
    let mut lines: Vec<String> = generated.split('\n').map(str::to_owned).collect();
    let place =
        |wanted: &str, from: usize| lines.iter().skip(from).position(|line| line == wanted).map(|n| n + from);
    let runtime = place(RUNTIME_BEGIN, 0)?;
    let function = place(FUNCTION_BEGIN, runtime)?;
    lines[runtime + 1..function].fill(String::new());
    lines[runtime] = format!(
        "use ::kernel_helpers::cell as {RUNTIME}; #[unsafe(no_mangle)] pub static CELL_ANSWERS: u8 = 0;"
    );
    report_errors(&mut lines[..runtime]);
    let definitions = Definitions::of(&lines[..runtime].join("\n"));
    leave_alone_what_is_not_used(&mut lines[function..]);
    for index in function..lines.len() {
        if let Some(replacement) = replacement(&lines[index], &lines[index - 1], &definitions) {
            lines[index] = replacement;
        }
    }
    if let Some(end) = lines.iter().rposition(|line| line == STORE) {
        lines[end] = format!("{RUNTIME}::finished(); {STORE}");
    }
    Some(lines)
}

/// Leaves variables that the cell does not mention where they are: evcxr takes all of them out and puts them back, which
/// makes each cell's compilation longer by all variables of the notebook.
fn leave_alone_what_is_not_used(lines: &mut [String]) {
    let Some(loaded) = lines.iter().position(|line| line.starts_with("if !vars_ok")) else { return };
    let code = lines[loaded + 1..].iter().filter(|line| variable(line).is_none());
    let used: BTreeSet<String> = code.flat_map(|line| words_of(line)).map(str::to_owned).collect();
    let is_empty = !lines[loaded + 1..].iter().any(|line| line.contains("catch_unwind"))
        || lines.iter().any(|line| line.trim() == NOTHING);
    if is_empty {
        // A cell that asks which variables are there.
        return;
    }
    for line in lines {
        if variable(line).is_some_and(|name| !used.contains(name.trim_start_matches("r#"))) {
            line.clear();
        }
    }
}

/// The name of the variable that one of evcxr's lines checks, takes or puts.
fn variable(line: &str) -> Option<&str> {
    let (_, call) = line.split_once("evcxr_variable_store.")?;
    let is_own = ["check_variable::<", "take_variable::<", "put_variable::<"]
        .iter()
        .any(|name| call.starts_with(name));
    let name = call.rsplit_once(">(stringify!(")?.1.split_once(')')?.0;
    is_own.then_some(name)
}

/// The names and keywords in a text.
fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric() && character != '_')
        .filter(|word| !word.is_empty())
}

/// Has `?` tell the error and its place.
fn report_errors(lines: &mut [String]) {
    for index in 0..lines.len().saturating_sub(2) {
        let [from, print, mark] = &mut lines[index..index + 3] else { continue };
        let format =
            print.trim().strip_prefix("eprintln!(\"").and_then(|rest| rest.strip_suffix("\", error);"));
        if let (Some(format), true) = (format, mark.contains("USER_ERROR_OCCURRED")) {
            let message = format!("format!(\"{format}\", error)");
            *print = format!(
                "{RUNTIME}::failed(std::any::type_name::<T>(), {message}, std::panic::Location::caller());"
            );
            mark.clear();
            from.insert_str(0, "#[track_caller] ");
        }
    }
}

/// What stands in place of one of evcxr's lines, which follows another.
fn replacement(line: &str, previous: &str, definitions: &Definitions) -> Option<String> {
    let trimmed = line.trim();
    if trimmed == "println!(\"EVCXR_PANIC_NOTIFICATION\");" && previous.trim() == "Err(_) => {" {
        return Some(format!("{RUNTIME}::panicked();"));
    }
    if trimmed == "if !vars_ok {return evcxr_variable_store;}}" {
        return Some(format!(
            "if !vars_ok {{{RUNTIME}::refused(); return {STORE};}}}} {RUNTIME}::accepted();"
        ));
    }
    let (before, call) = line.split_once("evcxr_variable_store.")?;
    let (method, rest) = call.split_once("::<")?;
    if !["check_variable", "put_variable"].contains(&method) {
        return None;
    }
    let (r#type, arguments) = rest.split_once(">(stringify!(")?;
    let arguments = arguments.strip_suffix(");")?;
    let sum = definitions.sum(r#type);
    Some(format!("{before}evcxr_variable_store.{method}::<{}>(stringify!({arguments}, {sum});", r#type))
}

/// The types and traits that cells have defined, by name.
///
/// A type that was defined anew may have the same `TypeId`, which sees the names of fields but not their types: a variable
/// of it would be read as what it is not. So it is stored with a sum of the definitions that its type is made of.
struct Definitions {
    texts: BTreeMap<String, String>,
}

impl Definitions {
    fn of(items: &str) -> Self {
        let known =
            definitions_in(items).into_iter().filter(|definition| definition.name != "EvcxrUserCodeError");
        Definitions { texts: known.map(|definition| (definition.name, definition.text)).collect() }
    }

    /// A sum of what a type is made of; 0 if that is nothing that cells have defined.
    fn sum(&self, r#type: &str) -> u64 {
        let (mut reached, mut next) = (BTreeSet::new(), self.named_in(r#type));
        while let Some(name) = next.pop() {
            if reached.insert(name) {
                next.extend(self.named_in(&self.texts[name]));
            }
        }
        if reached.is_empty() {
            return 0;
        }
        let text: String = reached.into_iter().map(|name| self.texts[name].as_str()).collect();
        u64::from_str_radix(&sha256(text.as_bytes())[..16], 16).expect("a sum in hexadecimal")
    }

    fn named_in(&self, text: &str) -> Vec<&str> {
        words_of(text)
            .filter_map(|word| self.texts.get_key_value(word))
            .map(|(name, _)| name.as_str())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The code of a cell with a variable from before and a new one, as evcxr 0.22 writes it.
    const GENERATED: &str = r#"#![allow(unused_imports, unused_mut, dead_code)]
struct P { a: i32 }

            struct EvcxrUserCodeError {}
            impl<T: std::fmt::Display> From<T> for EvcxrUserCodeError {
                fn from(error: T) -> Self {
                    eprintln!("{}", error);
                    println!("{}", evcxr_internal_runtime::USER_ERROR_OCCURRED);
                    EvcxrUserCodeError {}
                }
            }
        
mod evcxr_internal_runtime {
pub struct VariableStore {}
}
#[unsafe(no_mangle)]
pub extern "C" fn run_user_code_3(
mut evcxr_variable_store: *mut evcxr_internal_runtime::VariableStore)
  -> *mut evcxr_internal_runtime::VariableStore {
let evcxr_variable_store = unsafe {&mut *evcxr_variable_store};
{let mut vars_ok = true;
vars_ok &= evcxr_variable_store.check_variable::<P>(stringify!(p));
if !vars_ok {return evcxr_variable_store;}}
let p = evcxr_variable_store.take_variable::<P>(stringify!(p));
match std::panic::catch_unwind(
  std::panic::AssertUnwindSafe(||{
let n = p.a;
evcxr_variable_store.put_variable::<i32>(stringify!(n), n);
})) { 
  Ok(_) => {}
  Err(_) => {
    println!("EVCXR_PANIC_NOTIFICATION");
}}
evcxr_variable_store.put_variable::<P>(stringify!(p), p);
evcxr_variable_store
}
"#;

    fn line(code: &str, part: &str) -> (usize, String) {
        let found = code.lines().enumerate().find(|(_, line)| line.contains(part));
        let (number, line) = found.unwrap_or_else(|| panic!("no {part} in {code}"));
        (number, line.to_owned())
    }

    #[test]
    fn lines_keep_their_numbers_and_evcxrs_become_calls() {
        let rewritten = rewrite(GENERATED).whole;
        assert_eq!(rewritten.lines().count(), GENERATED.lines().count());
        for part in ["let n = p.a;", "fn from(error: T)", "Err(_) =>"] {
            assert_eq!(line(&rewritten, part).0, line(GENERATED, part).0);
        }
        assert!(line(&rewritten, "fn from(error: T)").1.starts_with("#[track_caller]"));
        assert!(line(&rewritten, "refused()").1.ends_with("evcxr_internal_runtime::accepted();"));
        let (panics, call) = line(&rewritten, "panicked()");
        assert_eq!(
            (panics, &*call),
            (line(GENERATED, "PANIC_NOTIFICATION").0, "evcxr_internal_runtime::panicked();")
        );
        for gone in ["println!", "pub struct VariableStore"] {
            assert!(!rewritten.contains(gone), "{gone} in {rewritten}");
        }
    }

    #[test]
    fn a_type_that_was_defined_otherwise_has_another_sum() {
        let put = |code: &str| line(&rewrite(code).whole, "put_variable::<P>").1;
        let otherwise = GENERATED.replace("a: i32", "a: u32");
        assert_ne!(put(GENERATED), put(&otherwise));
        assert_eq!(put(GENERATED), put(&GENERATED.replace("{ a: i32 }", "{\n a: i32\n}")));
        assert!(line(&rewrite(GENERATED).whole, "put_variable::<i32>").1.ends_with("(stringify!(n), n, 0);"));
        let nested = Definitions::of("struct A { b: Vec<B> } struct B; struct C;");
        let without = Definitions::of("struct A { b: Vec<B> } struct B { c: C } struct C;");
        assert_ne!(nested.sum("Option<A>"), without.sum("Option<A>"));
        assert_eq!(nested.sum("C"), without.sum("C"));
    }

    #[test]
    fn variables_that_a_cell_does_not_mention_stay_where_they_are() {
        let has =
            |code: &str| ["check", "take", "put"].map(|way| code.contains(&format!("{way}_variable::<P>")));
        assert_eq!(has(&rewrite(GENERATED).whole), [true; 3]);
        let other = GENERATED.replace("let n = p.a;", "let n = 1;");
        assert_eq!(has(&rewrite(&other).whole), [false; 3]);
        assert_eq!(has(&rewrite(&GENERATED.replace("p.a", "format!(\"{p}\")")).whole), [true; 3]);
        let nothing = GENERATED.replace("let n = p.a;", NOTHING);
        assert_eq!(has(&rewrite(&nothing).whole), [true; 3]);
    }

    #[test]
    fn other_code_stays_as_it_is() {
        assert_eq!(rewrite("fn main() {}\n").whole, "fn main() {}\n");
    }
}
