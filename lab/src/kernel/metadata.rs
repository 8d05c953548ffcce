//! What evcxr and its rust-analyzer are told about the crates that a cell depends on.

use super::BuildFolder;
use super::analysis::show_library;
use anyhow::{Context, Result, bail};
use kernel_helpers::digest::sha256;
use kernel_helpers::files::write_whole;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The packages of the helpers.
pub const HELPERS: [&str; 11] = [
    "kernel-helpers",
    "base",
    "bench",
    "cpu-kernels",
    "deploy",
    "display",
    "homework",
    "nn",
    "notebook",
    "runs",
    "same-features",
];

/// Other crates whose types a cell meets through the helpers.
const SHOWN: [&str; 6] = ["candle-core", "candle-nn", "half", "rand", "rand_chacha", "rand_core"];

/// The crate that holds the cells, and the name that it has while evcxr tries a `:dep`.
const EVCXR_CRATES: [&str; 2] = ["ctx", "evcxr_dummy_validate_dep"];

const UNEXPECTED: &str = "`cargo metadata` printed something unexpected";

/// Prints what `cargo metadata` with these arguments prints, without the crates whose types no cell meets.
///
/// The answers for a folder's dependencies are noted in it, as evcxr and rust-analyzer ask three times at each start.
///
/// # Errors
/// If cargo fails, or a cell's `:dep` brings another version of candle.
pub fn print(cargo: &Path, arguments: &[OsString]) -> Result<()> {
    let folder = BuildFolder::of_this_kernel()?;
    let answer = match Answer::noted(&folder, arguments) {
        Some(answer) => answer,
        None => {
            let answer = ask(cargo, arguments, &folder)?;
            answer.note(&folder, arguments)?;
            answer
        }
    };
    if answer.has_cells {
        show_library(&folder);
    }
    println!("{}", answer.metadata);
    Ok(())
}

/// What is printed, and whether the crate with the cells has the helpers by then.
#[derive(Serialize, Deserialize)]
struct Answer {
    has_cells: bool,
    metadata: Value,
}

/// Stands in notes for the folder's path.
const FOLDER: &str = "{folder}";

impl Answer {
    fn noted(folder: &BuildFolder, arguments: &[OsString]) -> Option<Self> {
        let text = fs::read_to_string(Self::file(folder, arguments).ok()?).ok()?;
        serde_json::from_str(&text.replace(FOLDER, folder.path().to_str()?)).ok()
    }

    fn note(&self, folder: &BuildFolder, arguments: &[OsString]) -> Result<()> {
        let path = folder.path().to_str().context("the project's path is not UTF-8")?;
        let text = serde_json::to_string(self)?.replace(path, FOLDER);
        Ok(write_whole(Self::file(folder, arguments)?, text.as_bytes())?)
    }

    /// The note for these arguments, the present dependencies, and what is left of them. Their versions stay those of the lock
    /// file, which only a new dependency changes.
    fn file(folder: &BuildFolder, arguments: &[OsString]) -> Result<PathBuf> {
        let path = folder.path().to_string_lossy();
        let mut key = [&HELPERS[..], &SHOWN].concat().join(" ");
        for argument in arguments {
            key += &argument.to_string_lossy().replace(&*path, FOLDER);
            key.push('\n');
        }
        for file in [folder.crate_path().join("Cargo.toml"), folder.path().join("Cargo.lock")] {
            key +=
                &fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))?;
        }
        Ok(notes(folder).join(sha256(key.as_bytes())))
    }
}

/// The folder of the notes.
pub fn notes(folder: &BuildFolder) -> PathBuf {
    folder.crate_path().join("metadata")
}

fn ask(cargo: &Path, arguments: &[OsString], folder: &BuildFolder) -> Result<Answer> {
    let lock_file = folder.path().join("Cargo.lock");
    let old_lock = fs::read(&lock_file).ok();
    let output = Command::new(cargo)
        .args(arguments)
        // The compiler and the folder of evcxr's builds, in which cargo has noted what it once asked this compiler.
        .env("RUSTC", cargo.with_file_name("rustc"))
        .env("CARGO_TARGET_DIR", folder.crate_path().join("target"))
        .output()?;
    if !output.status.success() {
        std::io::stderr().write_all(&output.stderr)?;
        std::process::exit(output.status.code().unwrap_or(1));
    }
    let mut metadata = serde_json::from_slice(&output.stdout)?;
    let graph = Graph::of(&metadata).context(UNEXPECTED)?;
    if let Some(message) = other_candle(&graph) {
        // The version that is not wanted is locked now, and the next cell might get it.
        old_lock.map(|lock| fs::write(lock_file, lock)).transpose()?;
        bail!("{message}");
    }
    show_less(&mut metadata, &graph).context(UNEXPECTED)?;
    Ok(Answer { has_cells: graph.has_cells(), metadata })
}

/// What to write instead, if the crate that evcxr makes of a `:dep` to try it needs another candle than the helpers: two
/// candles are two types of the same name.
fn other_candle(graph: &Graph) -> Option<String> {
    let candle = |root: &str| {
        let reached = graph.reach(graph.ids_named(root), |_, _| true);
        let mut candles = reached.into_iter().filter_map(|id| graph.packages.get(&id));
        candles.find(|package| package.name == "candle-core").map(|package| package.version.clone())
    };
    let (theirs, ours) = (candle(EVCXR_CRATES[1])?, candle("kernel-helpers")?);
    (theirs != ours).then(|| {
        format!(
            "this brings candle-core {theirs}, but the helpers use {ours}, and tensors of one do not fit the other. \
             The helpers' candle is there without :dep, as `candle_core` and `candle_nn`; for another crate of \
             candle's, write the version {ours}."
        )
    })
}

/// The packages of `cargo metadata` by id, and what they depend on.
struct Graph {
    packages: HashMap<String, Package>,
    dependencies: HashMap<String, Vec<String>>,
}

struct Package {
    name: String,
    version: String,
}

impl Graph {
    fn of(metadata: &Value) -> Option<Self> {
        let package = |value: &Value| {
            let package = Package { name: text(value, "name")?, version: text(value, "version")? };
            Some((text(value, "id")?, package))
        };
        let node = |value: &Value| Some((text(value, "id")?, strings(&value["dependencies"])?));
        Some(Graph {
            packages: metadata["packages"].as_array()?.iter().map(package).collect::<Option<_>>()?,
            dependencies: metadata["resolve"]["nodes"].as_array()?.iter().map(node).collect::<Option<_>>()?,
        })
    }

    /// Whether a crate of evcxr's has the helpers by now, as it has before the first cell.
    fn has_cells(&self) -> bool {
        let crates = EVCXR_CRATES.iter().flat_map(|name| self.ids_named(name)).collect();
        let reached = self.reach(crates, |_, _| true);
        self.ids_named("kernel-helpers").iter().any(|helpers| reached.contains(helpers))
    }

    fn ids_named(&self, name: &str) -> Vec<String> {
        let named = self.packages.iter().filter(|(_, package)| package.name == name);
        named.map(|(id, _)| id.clone()).collect()
    }

    /// The packages that are reached from these along the dependencies that `follow` accepts.
    fn reach(&self, from: Vec<String>, follow: impl Fn(&str, &str) -> bool) -> HashSet<String> {
        let (mut reached, mut next) = (HashSet::new(), from);
        while let Some(package) = next.pop() {
            if !reached.contains(&package) {
                let dependencies = self.dependencies.get(&package).map_or(&[][..], Vec::as_slice);
                next.extend(dependencies.iter().filter(|dependency| follow(&package, dependency)).cloned());
                reached.insert(package);
            }
        }
        reached
    }
}

/// Leaves what the workspace's crates depend on, except for what only the helpers and the [`SHOWN`] crates use inside. What a cell
/// adds by `:dep` stays as it is.
fn show_less(metadata: &mut Value, graph: &Graph) -> Option<()> {
    let is_shown = |id: &str| {
        let name = graph.packages.get(id).map(|package| &*package.name);
        // No cell meets a type of the kernels, and there are many.
        name.is_some_and(|name| {
            SHOWN.contains(&name)
                || (HELPERS.contains(&name) && !["cpu-kernels", "same-features"].contains(&name))
        })
    };
    let members = strings(&metadata["workspace_members"])?;
    let reached = graph.reach(members, |package, dependency| !is_shown(package) || is_shown(dependency));
    let keep = |value: &mut Value, key: &dyn Fn(&Value) -> Option<String>| {
        value.as_array_mut().map(|all| all.retain(|entry| key(entry).is_some_and(|id| reached.contains(&id))))
    };
    keep(&mut metadata["packages"], &|package| text(package, "id"))?;
    let nodes = &mut metadata["resolve"]["nodes"];
    keep(nodes, &|node| text(node, "id"))?;
    for node in nodes.as_array_mut()? {
        keep(&mut node["dependencies"], &|dependency| dependency.as_str().map(str::to_owned))?;
        keep(&mut node["deps"], &|dependency| text(dependency, "pkg"))?;
    }
    Some(())
}

fn text(value: &Value, key: &str) -> Option<String> {
    value[key].as_str().map(str::to_owned)
}

fn strings(array: &Value) -> Option<Vec<String>> {
    array.as_array()?.iter().map(|entry| entry.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What `cargo metadata` prints of packages, each with its version and its dependencies.
    fn metadata(graph: &[(&str, &str, &[&str])]) -> Value {
        let package = |(id, version, _): &(&str, &str, &[&str])| json!({ "id": id, "name": id.split('@').next(), "version": version });
        let node = |(id, _, dependencies): &(&str, &str, &[&str])| {
            let deps: Vec<_> = dependencies.iter().map(|id| json!({ "pkg": id })).collect();
            json!({ "id": id, "dependencies": dependencies, "deps": deps })
        };
        json!({
            "packages": graph.iter().map(package).collect::<Vec<_>>(),
            "workspace_members": [graph[0].0],
            "resolve": { "nodes": graph.iter().map(node).collect::<Vec<_>>() },
        })
    }

    fn graph(graph: &[(&str, &str, &[&str])]) -> Graph {
        Graph::of(&metadata(graph)).unwrap()
    }

    #[test]
    fn every_crate_of_the_helpers_is_known() {
        let manifest = include_str!("../../../Cargo.toml");
        let below = manifest.lines().filter_map(|line| line.trim().strip_prefix("\"kernel-helpers"));
        let members = below.filter_map(|line| line.strip_suffix("\","));
        let mut found: Vec<&str> =
            members.map(|path| path.strip_prefix('/').unwrap_or("kernel-helpers")).collect();
        let mut known = HELPERS.to_vec();
        found.sort_unstable();
        known.sort_unstable();
        assert_eq!(found, known);
    }

    #[test]
    fn what_the_helpers_use_inside_is_not_shown_and_a_cells_own_dependency_is() {
        let mut metadata = metadata(&[
            ("ctx", "1.0.0", &["kernel-helpers", "own"]),
            ("kernel-helpers", "0.1.0", &["candle-core", "zip"]),
            ("candle-core", "0.11.1", &["gemm"]),
            ("own", "1.0.0", &["inside"]),
            ("inside", "1.0.0", &[]),
            ("zip", "9.0.0", &[]),
            ("gemm", "0.1.0", &[]),
        ]);
        let graph = Graph::of(&metadata).unwrap();
        show_less(&mut metadata, &graph).unwrap();
        let names: Vec<_> = metadata["packages"].as_array().unwrap().iter().map(|p| &p["name"]).collect();
        assert_eq!(names, ["ctx", "kernel-helpers", "candle-core", "own", "inside"]);
        assert_eq!(metadata["resolve"]["nodes"][1]["dependencies"], json!(["candle-core"]));
        assert_eq!(metadata["resolve"]["nodes"][2]["deps"], json!([]));
    }

    #[test]
    fn only_another_candle_than_the_helpers_is_refused() {
        let with = |dependency: &str| {
            graph(&[
                ("evcxr_dummy_validate_dep", "0.0.1", &[dependency]),
                ("kernel-helpers", "0.1.0", &["candle-core@0.11.1"]),
                ("candle-core@0.11.1", "0.11.1", &[]),
                ("candle-core@0.9.0", "0.9.0", &[]),
                ("candle-transformers", "0.9.0", &["candle-core@0.9.0"]),
                ("own", "1.0.0", &[]),
            ])
        };
        assert_eq!(other_candle(&with("own")), None);
        assert_eq!(other_candle(&with("candle-core@0.11.1")), None);
        for other in ["candle-core@0.9.0", "candle-transformers"] {
            let message = other_candle(&with(other)).unwrap();
            assert!(message.contains("0.9.0") && message.contains("0.11.1"), "{message}");
        }
    }

    #[test]
    fn the_library_is_shown_with_the_helpers() {
        let with = |dependencies: &[&str]| {
            graph(&[
                ("ctx", "1.0.0", dependencies),
                ("locked", "1.0.0", &["kernel-helpers"]),
                ("kernel-helpers", "0.1.0", &[]),
            ])
        };
        assert!(!with(&[]).has_cells());
        assert!(with(&["kernel-helpers"]).has_cells());
    }

    #[test]
    fn other_json_is_refused() {
        assert!(Graph::of(&json!({ "packages": {} })).is_none());
    }
}
