//! What the command needs to know of a notebook file without executing it.

use crate::json::{self, By, Reader};
use anyhow::{Context, Result, anyhow, bail, ensure};
use kernel_helpers::digest::sha256;
use kernel_helpers::homework::Scale;
use serde::de::{IgnoredAny, MapAccess, SeqAccess};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// The notebooks of the homework in the order in which they are executed: later ones use results of earlier ones.
const IN_ORDER: [&str; 3] = ["lab1", "hw4", "report"];

/// How many bytes a notebook may have; Jupyter needs many times the memory. Also in `notebook_file.py`.
const LARGEST: u64 = 100_000_000;

/// What of a notebook file is looked at.
pub struct Notebook {
    path: PathBuf,
    code_sha256: String,
    /// What it says of its execution.
    says: Execution,
}

impl Notebook {
    /// Reads the notebook at `path`.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("could not read {}", path.display()))?;
        let content = content(file).map_err(|problem| {
            let path = path.display();
            anyhow!(
                "{path} is not a notebook: {problem}. Restore it, for example with `git checkout -- {path}`"
            )
        })?;
        let code_sha256 = sha256(content.cells.code.as_bytes());
        Ok(Notebook { path: path.canonicalize()?, code_sha256, says: content.metadata.lab })
    }

    /// Fails, with what is wrong, if this is no notebook.
    pub fn check(path: &Path) -> Result<()> {
        let file = File::open(path).with_context(|| format!("could not read {}", path.display()))?;
        content(file).map(drop).context("it is not a notebook")
    }

    /// The file's absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What an executed notebook says of its execution: at which scale, and by which code.
    pub fn execution(&self, scale: Scale) -> Value {
        json!({ "scale": scale.to_string(), "code_sha256": self.code_sha256 })
    }

    /// Whether its outputs are those of its present code at `scale`.
    pub fn is_executed(&self, scale: Scale) -> bool {
        (&self.says.scale.0, &self.says.code_sha256.0) == (&scale.to_string(), &self.code_sha256)
    }
}

/// Whether a notebook of the homework may use results of another, as it comes after it in the same folder.
pub fn follows(path: &Path, other: &Path) -> bool {
    let place = |path: &Path| IN_ORDER.iter().position(|name| path.file_stem() == Some(name.as_ref()));
    path.parent() == other.parent() && place(path) > place(other) && place(other).is_some()
}

/// The notebooks that `names` ask for, which may be paths or bare names; those of the homework if there are none.
pub fn select(folder: &Path, names: &[PathBuf]) -> Result<Vec<PathBuf>> {
    if names.is_empty() {
        let all = IN_ORDER.map(|name| folder.join(name).with_extension("ipynb"));
        return Ok(all.into_iter().filter(|path| path.is_file()).collect());
    }
    names.iter().map(|name| find(folder, name)).collect()
}

fn find(folder: &Path, name: &Path) -> Result<PathBuf> {
    let candidates =
        [name.to_owned(), name.with_extension("ipynb"), folder.join(name).with_extension("ipynb")];
    let found = candidates.iter().find(|path| path.is_file()).cloned();
    found.with_context(|| format!("there is no notebook `{}`, nor in {}", name.display(), folder.display()))
}

/// The content of a notebook file. Before the fourth version of the format cells lay elsewhere; Python, which checks all the
/// rest, brings them where they belong.
fn content(bytes: impl Read) -> Result<Content> {
    let mut content = Content::default();
    let mut bytes = BufReader::with_capacity(1 << 16, bytes.take(LARGEST + 1));
    let read = json::read(&mut bytes, &mut content);
    ensure!(
        bytes.get_ref().limit() > 0,
        "it has more than {} MB, which outputs can be removed to avoid",
        LARGEST / 1_000_000
    );
    read.map_err(|error| anyhow!("it should hold JSON, but {error}"))?;
    match content.version.0 {
        None => bail!("it should be a JSON object with a number `nbformat`, but has none"),
        Some(4..) if !content.cells.are_there => bail!("it should have a list of `cells`, but has none"),
        Some(_) => Ok(content),
    }
}

#[derive(Default)]
struct Content {
    version: Number,
    cells: Cells,
    metadata: Metadata,
}

impl Reader for Content {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, object: &mut A) -> Result<(), A::Error> {
        // As everywhere, the last of several members of one name counts.
        match name {
            "nbformat" => object.next_value_seed(By(fresh(&mut self.version))),
            "cells" => object.next_value_seed(By(fresh(&mut self.cells))),
            "metadata" => object.next_value_seed(By(fresh(&mut self.metadata))),
            _ => object.next_value::<IgnoredAny>().map(drop),
        }
    }
}

#[derive(Default)]
struct Cells {
    are_there: bool,
    /// The sources of all cells with code, each with a zero at its end.
    code: String,
}

impl Reader for Cells {
    fn list(&mut self) {
        self.are_there = true;
    }

    fn item<'de, A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let start = self.code.len();
        let mut cell = Cell { code: &mut self.code, start, kind: Text::default() };
        let there = list.next_element_seed(By(&mut cell))?.is_some();
        match cell.kind.0 == "code" {
            true => self.code.push('\0'),
            false => self.code.truncate(start),
        }
        Ok(there)
    }
}

/// A cell, whose source goes to the end of the code, until it is known what it is.
struct Cell<'a> {
    code: &'a mut String,
    start: usize,
    kind: Text,
}

impl Reader for Cell<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, object: &mut A) -> Result<(), A::Error> {
        match name {
            "cell_type" => object.next_value_seed(By(fresh(&mut self.kind))),
            "source" => {
                self.code.truncate(self.start);
                object.next_value_seed(By(&mut Source(self.code)))
            }
            _ => object.next_value::<IgnoredAny>().map(drop),
        }
    }
}

/// A cell's source, which the format allows to be one string or a list of lines.
struct Source<'a>(&'a mut String);

impl Reader for Source<'_> {
    fn text(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn item<'de, A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        Ok(list.next_element_seed(By(&mut Line(self.0)))?.is_some())
    }
}

/// One of the lines.
struct Line<'a>(&'a mut String);

impl Reader for Line<'_> {
    fn text(&mut self, text: &str) {
        self.0.push_str(text);
    }
}

#[derive(Default)]
struct Metadata {
    lab: Execution,
}

impl Reader for Metadata {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, object: &mut A) -> Result<(), A::Error> {
        match name {
            "lab" => object.next_value_seed(By(fresh(&mut self.lab))),
            _ => object.next_value::<IgnoredAny>().map(drop),
        }
    }
}

#[derive(Default)]
struct Execution {
    scale: Text,
    code_sha256: Text,
}

impl Reader for Execution {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, object: &mut A) -> Result<(), A::Error> {
        match name {
            "scale" => object.next_value_seed(By(fresh(&mut self.scale))),
            "code_sha256" => object.next_value_seed(By(fresh(&mut self.code_sha256))),
            _ => object.next_value::<IgnoredAny>().map(drop),
        }
    }
}

/// A short text.
#[derive(Default)]
struct Text(String);

impl Reader for Text {
    fn text(&mut self, text: &str) {
        if text.len() <= 100 {
            text.clone_into(&mut self.0);
        }
    }
}

#[derive(Default)]
struct Number(Option<u64>);

impl Reader for Number {
    fn number(&mut self, number: u64) {
        self.0 = Some(number);
    }
}

/// Forgets what was read before.
fn fresh<T: Default>(value: &mut T) -> &mut T {
    *value = T::default();
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up::read_made_up;

    fn read(text: &str) -> Result<Content> {
        content(text.as_bytes())
    }

    #[test]
    fn the_code_is_that_of_the_cells_with_code() {
        let code = |cells: &str| read(&format!(r#"{{"cells": {cells}, "nbformat": 4}}"#)).unwrap().cells.code;
        let cells = r##"[
            {"source": "a\n", "outputs": [{"source": "no", "cell_type": "raw"}], "cell_type": "code"},
            {"cell_type": "markdown", "source": ["# no"]},
            {"cell_type": "code", "source": ["b\n", 7, ["no"], "c"], "metadata": {"source": "no"}},
            {"cell_type": "code"}, "no", ["no"], 3, null, {"source": "no"},
            {"cell_type": "code", "source": "no", "source": {"d": "no"}, "source": "d"}
        ]"##;
        assert_eq!(code(cells), "a\n\0b\nc\0\0d\0");
        assert_eq!(code("[]"), "");
        let twice =
            read(r#"{"nbformat": 4, "cells": [{"cell_type": "code", "source": "a"}], "cells": [{}]}"#);
        assert_eq!(twice.unwrap().cells.code, "");
    }

    #[test]
    fn what_it_says_of_its_execution_is_read() {
        let says = |lab: &str| {
            let text = format!(r#"{{"metadata": {{"lab": {lab}}}, "cells": [], "nbformat": 4}}"#);
            let says = read(&text).unwrap().metadata.lab;
            (says.scale.0, says.code_sha256.0)
        };
        assert_eq!(says(r#"{"code_sha256": "0a", "scale": "full"}"#), ("full".to_owned(), "0a".to_owned()));
        assert_eq!(says(r#"{"scale": ["full"], "code_sha256": 3}"#), Default::default());
        assert_eq!(says("[]"), Default::default());
    }

    #[test]
    fn what_is_wrong_is_said_shortly() {
        let problem = |text: &str| read(text).err().unwrap().to_string();
        assert!(problem("<<<<").contains("JSON"));
        assert!(problem("{}{}").contains("JSON"));
        for none in ["[]", "{}", "7", "null", r#"{"nbformat": "4"}"#, r#"{"nbformat": -4}"#] {
            assert!(problem(none).contains("a number `nbformat`"), "{none}");
        }
        for none in [r#"{"nbformat": 4}"#, r#"{"nbformat": 5, "cells": {"a": []}}"#] {
            assert!(problem(none).contains("list of `cells`"), "{none}");
        }
        assert!(read(r#"{"nbformat": 3, "worksheets": []}"#).is_ok());
        let long = format!(r#"{{"nbformat": 4, "cells": "{}"}}"#, "\\u001b".repeat(100_000));
        assert!(problem(&long).len() < 200);
        assert!(problem(&long[..1000]).len() < 200);
        // As deep as it may be in what nobody reads, and no deeper than the parser goes in what is read.
        let nested = |depth| format!(r#"{{"nbformat": 4, "cells": [], "metadata": {}"#, "[".repeat(depth));
        assert!(problem(&nested(1_000_000)).contains("JSON"));
        assert!(problem(&format!(r#"{{"nbformat": 4, "cells": {}"#, "[".repeat(1_000_000))).len() < 200);
        let endless = std::io::repeat(b' ').take(1 << 40);
        assert!(content(endless).err().unwrap().to_string().contains("more than 100 MB"));
    }

    /// The code and the note of the execution in a notebook that is wholly in memory.
    fn by_value(notebook: &Value) -> Option<(String, Option<&str>)> {
        let version = notebook["nbformat"].as_u64()?;
        let cells = notebook["cells"].as_array();
        let mut code = String::new();
        for cell in cells.into_iter().flatten().filter(|cell| cell["cell_type"] == "code") {
            match &cell["source"] {
                Value::String(text) => code += text,
                Value::Array(lines) => lines.iter().filter_map(Value::as_str).for_each(|line| code += line),
                _ => {}
            }
            code.push('\0');
        }
        let scale = notebook["metadata"]["lab"]["scale"].as_str();
        (version < 4 || cells.is_some()).then_some((code, scale))
    }

    #[test]
    fn whatever_is_read_is_what_is_there() {
        let seeds = [
            r#"{"cells":[{"cell_type":"code","source":["a\n","b"],"outputs":[]},{"source":"c","cell_type":"code"}],
                "metadata":{"lab":{"scale":"full","code_sha256":"0"}},"nbformat":4}"#,
            r#"{"nbformat":3,"cells":[{"cell_type":"markdown","source":"a"}]}"#,
        ]
        .map(|text| text.as_bytes().to_vec());
        let words = [
            "\"cells\":",
            "\"source\":",
            "\"cell_type\":",
            "\"code\"",
            "\"metadata\":",
            "\"lab\":",
            "\"scale\":",
            "\"nbformat\":",
            "[",
            "]",
            "{",
            "}",
            ",",
            "7",
            "-1",
            "1e9",
            "null",
            "true",
            "\"\\u0041\"",
            "\"\\ud800\"",
        ];
        read_made_up!(seeds, &words, |file: &[u8]| {
            let read = content(file);
            let Ok(whole) = serde_json::from_slice::<Value>(file) else { return };
            let read = read.ok().map(|content| (content.cells.code, content.metadata.lab.scale.0));
            let whole = by_value(&whole).map(|(code, scale)| (code, scale.unwrap_or_default().to_owned()));
            assert_eq!(read, whole);
        });
    }
}
