//! The rules of the repository that a compiler does not check.

use homework_tests::{notebook, project_root};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The Rust files of the three packages.
fn sources() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        ["kernel-helpers", "lab", "tests"].map(|name| project_root().join(name)).into();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("rs") => files.push(path),
                _ if path.is_dir() => folders.push(path),
                _ => {}
            }
        }
    }
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn unsafe_code_is_in_two_places_alone() {
    // Vector instructions, and the loading of compiled cells.
    let places = ["kernel-helpers/cpu-kernels", "lab/src/kernel/cells/loaded.rs"]
        .map(|place| project_root().join(place));
    let allowed = ["allow(", "unsafe_code)"].concat();
    let offenders: Vec<PathBuf> = sources()
        .into_iter()
        .filter(|path| !places.iter().any(|place| path.starts_with(place)) && read(path).contains(&allowed))
        .collect();
    assert!(offenders.is_empty(), "{offenders:?}");
}

#[test]
fn files_fit_in_a_head() {
    let lines = |path: &PathBuf| read(path).lines().count();
    let long: Vec<PathBuf> = sources().into_iter().filter(|path| lines(path) > 450).collect();
    assert!(long.is_empty(), "over 450 lines: {long:?}");
}

#[test]
fn nothing_is_left_unfinished() {
    let words = ["todo", "unimplemented"].map(|word| format!("{word}!("));
    let unfinished: Vec<PathBuf> =
        sources().into_iter().filter(|path| words.iter().any(|word| read(path).contains(word))).collect();
    assert!(unfinished.is_empty(), "{unfinished:?}");
}

/// Public items that need no example of their own, by file.
const WITHOUT_EXAMPLE: [&str; 1] = [
    // What the compiled code of a cell calls: an example at the head of the module shows the mechanism.
    "notebook/src/cell.rs",
];

#[test]
fn public_items_have_an_example() {
    let helpers = project_root().join("kernel-helpers");
    let crates = ["base", "display", "nn", "deploy", "notebook", "runs", "bench", "homework"]
        .map(|name| helpers.join(name));
    let missing: Vec<String> = crates.iter().flat_map(|one| without_example(one)).collect();
    assert!(missing.is_empty(), "no example in the documentation of {}", missing.join(", "));
}

/// The items that a crate exports, by a `pub use` of their names or in a `pub mod`, and documents without an example.
fn without_example(folder: &Path) -> Vec<String> {
    let files = sources().into_iter().filter(|path| path.starts_with(folder));
    let files: Vec<(PathBuf, String)> = files.map(|path| (path.clone(), read(&path))).collect();
    let (mut named, mut open) = (HashSet::new(), HashSet::from([folder.join("src/lib.rs")]));
    for (path, text) in &files {
        for names in text.split("\npub use ").skip(1).filter_map(|rest| rest.split(';').next()) {
            named.extend(names.split(|c: char| !(c.is_alphanumeric() || c == '_')));
        }
        let is_root = path.ends_with("lib.rs") || path.ends_with("mod.rs");
        let modules = if is_root { path.with_file_name("") } else { path.with_extension("") };
        for name in text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')) {
            open.extend([modules.join(format!("{name}.rs")), modules.join(name).join("mod.rs")]);
        }
    }
    let mut missing = Vec::new();
    for (path, text) in &files {
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines: Vec<&str> = code.lines().collect();
        for (at, item) in lines.iter().enumerate().filter_map(|(at, line)| Some((at, public_item(line)?))) {
            let above = lines[..at].iter().rev().take_while(|line| line.starts_with(['/', '#', ' ', ')']));
            let exported = named.contains(item) || open.contains(path);
            let excused = WITHOUT_EXAMPLE.iter().any(|file| path.ends_with(file));
            if exported && !excused && !above.into_iter().any(|line| line.starts_with("/// ```")) {
                missing.push(format!("{item} in {}", path.display()));
            }
        }
    }
    missing
}

/// The name of the public item that a line begins.
fn public_item(line: &str) -> Option<&str> {
    let item = line.strip_prefix("pub ")?;
    let name = ["fn ", "struct ", "enum ", "trait "].iter().find_map(|keyword| item.strip_prefix(keyword))?;
    name.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()
}

/// Else candle is compiled twice: for the command, and for notebooks. On other systems some crates have other features.
#[cfg(target_os = "linux")]
#[test]
fn the_command_and_the_helpers_are_compiled_with_the_same_features() {
    let command = features("lab");
    let missing: Vec<String> = features("kernel-helpers").difference(&command).cloned().collect();
    assert!(
        missing.is_empty(),
        "the command enables more features of these, which kernel-helpers/same-features/Cargo.toml is to name: {missing:?}"
    );
}

/// The crates of registries that a package is compiled from, with their features.
#[cfg(target_os = "linux")]
fn features(package: &str) -> HashSet<String> {
    let tree = std::process::Command::new("cargo")
        .args(["tree", "--package", package, "--edges", "normal,build", "--no-dedupe"])
        .args(["--prefix", "none", "--format", "{p} [{f}]"])
        .current_dir(project_root())
        .output()
        .unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    let crates: HashSet<String> = tree
        .lines()
        .filter(|line| !line.contains(" (/"))
        .map(|line| line.replace(" (proc-macro)", ""))
        .collect();
    assert!(crates.iter().any(|line| line.starts_with("candle-core ")), "{tree}");
    crates
}

#[test]
fn figures_and_tables_of_the_report_are_numbered_in_order_and_referred_to() {
    let report = notebook::read(&project_root().join("notebooks/report.ipynb"));
    let cells = report["cells"].as_array().unwrap().iter();
    let text: String = cells.map(|cell| notebook::text(&cell["source"]) + "\n").collect();
    for (kind, caption) in [("Figure", "**Figure "), ("Table", ".caption(\"Table ")] {
        let numbers: Vec<usize> = text.split(caption).skip(1).map(leading_number).collect();
        assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "{kind}s");
        let referred_to: HashSet<usize> = text
            .split(&format!("{kind} "))
            .zip(text.split(&format!("{kind} ")).skip(1))
            .filter(|(before, _)| !caption.ends_with(&format!("{}{kind} ", last_character(before))))
            .map(|(_, after)| leading_number(after))
            .collect();
        let missing: Vec<_> = numbers.iter().filter(|number| !referred_to.contains(number)).collect();
        assert!(missing.is_empty(), "{kind}s that no sentence refers to: {missing:?}");
    }
}

fn leading_number(text: &str) -> usize {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().unwrap_or(0)
}

fn last_character(text: &str) -> String {
    text.chars().last().map(String::from).unwrap_or_default()
}
