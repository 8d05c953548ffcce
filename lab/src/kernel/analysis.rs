//! What evcxr's rust-analyzer gets to read.
//!
//! To learn the types of variables, and for completion, evcxr loads the sources of all that a cell depends on into a
//! rust-analyzer of its own, twice at each start: the standard library and more than 200 crates, the larger part of
//! a start's time. But a cell meets the types of only a few of these crates. So rust-analyzer is led to a folder
//! that looks like a Rust toolchain: its `cargo` leaves the other crates out of `cargo metadata`, and runs the real cargo for
//! all else. The standard library's sources are a copy without tests and without the processors' intrinsics.
//! Compilation has nothing to do with this: evcxr finds the real toolchain by itself.

use super::BuildFolder;
use crate::project::Project;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The helper crate, and the crates whose types it shows.
const SHOWN: [&str; 7] =
    ["kernel-helpers", "candle-core", "candle-nn", "half", "rand", "rand_chacha", "rand_core"];

/// The crates of the standard library that define what programs use.
const LIBRARY: [&str; 3] = ["alloc", "core", "std"];

/// The folder of the toolchain that compiles.
pub fn sysroot() -> Result<PathBuf> {
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .context("`rustc` did not start. Install Rust from https://rustup.rs and open a new terminal")?;
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// Copies the standard library's sources for all kernels.
pub fn copy_library(project: &Project) -> Result<()> {
    let source = sysroot()?.join("lib/rustlib/src/rust/library");
    if !source.exists() {
        // Without rustup, the message below says what is missing.
        let _ = Command::new("rustup").args(["component", "add", "rust-src"]).stdout(Stdio::null()).status();
    }
    if !source.exists() {
        bail!(
            "the sources of Rust's standard library are not in {}: notebooks learn the types of variables from them. \
             Connect to the network once and run `rustup component add rust-src`, or install your system's package",
            source.display()
        );
    }
    let library = library(project);
    if library.exists() {
        fs::remove_dir_all(&library).with_context(|| format!("could not remove {}", library.display()))?;
    }
    for name in LIBRARY {
        let path = Path::new(name).join("src");
        copy_sources(&source.join(&path), &library.join(&path))
            .with_context(|| format!("could not copy {} to {}", source.display(), library.display()))?;
    }
    Ok(())
}

/// Whether the copy of the standard library's sources is there.
pub fn has_library(project: &Project) -> bool {
    // Written last.
    library(project).join(LIBRARY[LIBRARY.len() - 1]).exists()
}

fn library(project: &Project) -> PathBuf {
    project.kernel().join("library")
}

fn copy_sources(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == "tests" || name == "tests.rs" || name == "benches" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_sources(&entry.path(), &to.join(name))?;
        } else {
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}

/// Writes the folder that looks like a toolchain into a build folder, and returns the environment variables that lead
/// rust-analyzer there. `lab` is the executable with the command that [`print_metadata`] is.
pub fn prepare(project: &Project, folder: &BuildFolder, lab: &Path) -> Result<[(&'static str, OsString); 3]> {
    let (toolchain, real) = (folder.path().join("toolchain"), sysroot()?.join("bin"));
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    let rustc = format!(
        "#!/bin/sh\n[ \"$*\" = '--print sysroot' ] && exec echo {}\nexec {} \"$@\"\n",
        quoted(&toolchain),
        quoted(&real.join("rustc"))
    );
    let cargo = format!(
        r#"#!/bin/sh
unset RUSTUP_TOOLCHAIN
case "$*" in
    # Asked of a nightly cargo; rust-analyzer does without.
    '-Z '*|'rustc -Z '*) exit 1;;
    metadata*--no-deps*) ;;
    metadata*) exec {lab} kernel --metadata-by {cargo} -- "$@";;
esac
exec {cargo} "$@"
"#,
        lab = quoted(lab),
        cargo = quoted(&real.join("cargo")),
    );
    let bin = toolchain.join("bin");
    // rustup takes a folder for a toolchain if it has this one.
    fs::create_dir_all(toolchain.join("lib"))
        .and_then(|()| fs::create_dir_all(&bin))
        .and_then(|()| write_script(&bin.join("rustc"), &rustc))
        .and_then(|()| write_script(&bin.join("cargo"), &cargo))
        .with_context(|| format!("could not write {}", bin.display()))?;
    Ok([
        ("RUSTC", bin.join("rustc").into()),
        ("CARGO", bin.join("cargo").into()),
        ("RUST_SRC_PATH", library(project).into()),
    ])
}

fn write_script(path: &Path, text: &str) -> std::io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Prints what `cargo metadata` with these arguments prints, without the crates whose types no cell meets.
pub fn print_metadata(cargo: &Path, arguments: &[OsString]) -> Result<()> {
    let output = Command::new(cargo).args(arguments).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("`cargo metadata` failed");
    }
    let mut metadata = serde_json::from_slice(&output.stdout)?;
    show_less(&mut metadata).context("`cargo metadata` printed something unexpected")?;
    println!("{metadata}");
    Ok(())
}

/// Leaves what the workspace's crates depend on, except for what only the [`SHOWN`] crates use inside. What a cell
/// adds by `:dep` stays as it is.
fn show_less(metadata: &mut Value) -> Option<()> {
    let id = |value: &Value, key: &str| value[key].as_str().map(str::to_owned);
    let packages = metadata["packages"].as_array()?;
    let names: HashMap<String, String> = packages
        .iter()
        .map(|package| Some((id(package, "id")?, id(package, "name")?)))
        .collect::<Option<_>>()?;
    let is_shown = |id: &str| names.get(id).is_some_and(|name| SHOWN.contains(&name.as_str()));
    let nodes = metadata["resolve"]["nodes"].as_array()?;
    let dependencies: HashMap<String, Vec<String>> = nodes
        .iter()
        .map(|node| Some((id(node, "id")?, strings(&node["dependencies"])?)))
        .collect::<Option<_>>()?;
    let mut reached = HashSet::new();
    let mut next = strings(&metadata["workspace_members"])?;
    while let Some(package) = next.pop() {
        let all = dependencies.get(&package).map_or(&[][..], Vec::as_slice);
        let follow = |dependency: &&String| !is_shown(&package) || is_shown(dependency);
        let reachable = all.iter().filter(follow).cloned().collect::<Vec<_>>();
        if reached.insert(package) {
            next.extend(reachable);
        }
    }
    let keep = |value: &mut Value, key: &dyn Fn(&Value) -> Option<String>| {
        value.as_array_mut().map(|all| all.retain(|entry| key(entry).is_some_and(|id| reached.contains(&id))))
    };
    keep(&mut metadata["packages"], &|package| id(package, "id"))?;
    let nodes = &mut metadata["resolve"]["nodes"];
    keep(nodes, &|node| id(node, "id"))?;
    for node in nodes.as_array_mut()? {
        keep(&mut node["dependencies"], &|dependency| dependency.as_str().map(str::to_owned))?;
        keep(&mut node["deps"], &|dependency| id(dependency, "pkg"))?;
    }
    Some(())
}

fn strings(array: &Value) -> Option<Vec<String>> {
    array.as_array()?.iter().map(|entry| entry.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_helpers_use_inside_is_not_shown_and_a_cells_own_dependency_is() {
        let graph = [
            ("ctx", vec!["kernel-helpers", "own"]),
            ("kernel-helpers", vec!["candle-core", "zip"]),
            ("candle-core", vec!["gemm"]),
            ("own", vec!["gemm-like"]),
            ("gemm-like", vec![]),
            ("zip", vec![]),
            ("gemm", vec![]),
        ];
        let package = |(name, _): &(&str, Vec<&str>)| json!({ "id": name, "name": name });
        let node = |(name, dependencies): &(&str, Vec<&str>)| {
            let deps: Vec<_> = dependencies.iter().map(|name| json!({ "pkg": name })).collect();
            json!({ "id": name, "dependencies": dependencies, "deps": deps })
        };
        let mut metadata = json!({
            "packages": graph.iter().map(package).collect::<Vec<_>>(),
            "workspace_members": ["ctx"],
            "resolve": { "nodes": graph.iter().map(node).collect::<Vec<_>>() },
        });
        show_less(&mut metadata).unwrap();
        let names: Vec<_> = metadata["packages"].as_array().unwrap().iter().map(|p| &p["name"]).collect();
        assert_eq!(names, ["ctx", "kernel-helpers", "candle-core", "own", "gemm-like"]);
        assert_eq!(metadata["resolve"]["nodes"][1]["dependencies"], json!(["candle-core"]));
        assert_eq!(metadata["resolve"]["nodes"][2]["deps"], json!([]));
    }

    #[test]
    fn other_json_is_refused() {
        assert_eq!(show_less(&mut json!({ "packages": {} })), None);
    }
}
