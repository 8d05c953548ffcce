//! What the command needs to know of a notebook file without executing it.

use anyhow::{Context, Result, anyhow};
use kernel_helpers::Scale;
use kernel_helpers::digest::sha256;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// The notebooks of the homework in the order in which they are executed: later ones use results of earlier ones.
const IN_ORDER: [&str; 4] = ["lab1", "hw4", "report", "scratch"];

/// A notebook file as it is on disk.
pub struct Notebook {
    path: PathBuf,
    content: Value,
}

impl Notebook {
    /// Reads the notebook at `path`.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
        let content = parse(&bytes).map_err(|problem| {
            let path = path.display();
            anyhow!(
                "{path} is not a notebook: {problem}. Restore it, for example with `git checkout -- {path}`"
            )
        })?;
        Ok(Notebook { path: path.canonicalize()?, content })
    }

    /// The file's absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What an executed notebook says of its execution: at which scale, and by which code.
    pub fn execution(&self, scale: Scale) -> Value {
        json!({ "scale": scale.to_string(), "code_sha256": self.code_sha256() })
    }

    /// Whether its outputs are those of its present code at `scale`.
    pub fn is_executed(&self, scale: Scale) -> bool {
        self.content["metadata"]["lab"] == self.execution(scale)
    }

    fn code_sha256(&self) -> String {
        let mut code = String::new();
        let cells = self.content["cells"].as_array().map_or(&[][..], Vec::as_slice);
        for cell in cells.iter().filter(|cell| cell["cell_type"] == "code") {
            code += &source(cell);
            code.push('\0');
        }
        sha256(code.as_bytes())
    }
}

/// The content of a notebook file, or what is wrong with it. Before the fourth version of the format cells lay elsewhere;
/// Python, which checks all the rest, brings them where they belong.
fn parse(bytes: &[u8]) -> Result<Value, String> {
    let content: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("it should hold JSON, but {error}"))?;
    match content["nbformat"].as_u64() {
        None => Err("it should be a JSON object with a number `nbformat`, but has none".to_owned()),
        Some(4..) if !content["cells"].is_array() => {
            Err("it should have a list of `cells`, but has none".to_owned())
        }
        Some(_) => Ok(content),
    }
}

/// Whether a notebook of the homework may use results of another, as it comes after it in the same folder.
pub fn follows(path: &Path, other: &Path) -> bool {
    let place = |path: &Path| IN_ORDER.iter().position(|name| path.file_stem() == Some(name.as_ref()));
    path.parent() == other.parent() && place(path) > place(other) && place(other).is_some()
}

/// A cell's source, which the format allows to be one string or a list of lines.
fn source(cell: &Value) -> String {
    match &cell["source"] {
        Value::String(text) => text.clone(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        _ => String::new(),
    }
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
