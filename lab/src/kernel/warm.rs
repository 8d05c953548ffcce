//! The warm build folder: compiled once, by evcxr itself, so that its outputs are exactly those that a kernel looks for.

use super::copy::folders_lock;
use super::front_end::loading::start_evcxr;
use super::pipes::Pipes;
use super::{BuildFolder, already_compiled, analysis, compile, files, workspace_manifest};
use crate::progress;
use crate::project::Project;
use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use kernel_helpers::digest::sha256;
use kernel_helpers::files::write_whole;
use rustix::fs::{Access, access};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the warm folder was built from. After a change of `toolchain` nothing in it is of use any more, after
/// one of `sources` cargo knows what is.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    toolchain: String,
    sources: String,
}

/// Whether the warm folder is there and nothing that it was built from has changed.
pub fn is_current(project: &Project) -> Result<bool> {
    Ok(Stamp::read(&BuildFolder::warm(project)) == Some(Stamp::of(project)?))
}

/// The SHA-256 sum of all that the helpers in the cells are compiled from.
pub fn sources_sha256(project: &Project) -> Result<String> {
    Ok(Stamp::of(project)?.sources)
}

/// Builds the warm folder if it is not there or not current, showing progress. Returns whether it had to.
pub fn build(project: &Project) -> Result<bool> {
    let kernel = project.kernel();
    if kernel.is_dir() && !may_write(&kernel) {
        ensure!(
            is_current(project)?,
            "the helpers for notebooks are not compiled, or not as they are now, in {}, where you may not write: ask whom that \
             folder belongs to to run `cargo lab setup`",
            project.root().display()
        );
        return Ok(false);
    }
    fs::create_dir_all(&kernel).with_context(|| format!("could not make {}", kernel.display()))?;
    let _guard = folders_lock(project)?;
    let folder = BuildFolder::warm(project);
    let (old, new) = (Stamp::read(&folder), Stamp::of(project)?);
    if old.as_ref() == Some(&new) && analysis::has_library(project) {
        return Ok(false);
    }
    let reusable = old.is_some_and(|old| old.toolchain == new.toolchain);
    if !reusable && folder.path().exists() {
        fs::remove_dir_all(folder.path())
            .with_context(|| format!("could not remove {}", folder.path().display()))?;
    }
    folder.write(project)?;
    compile::forget(&folder)?;
    if !reusable || !analysis::has_library(project) {
        analysis::copy_library(project)?;
    }
    // Until all is compiled no sources match, but what an interrupted build has compiled is used by the next.
    Stamp { toolchain: new.toolchain.clone(), sources: "unfinished".to_owned() }.write(&folder)?;
    already_compiled::take_over(project, &folder)?;
    load_helpers(project, &folder)?;
    new.write(&folder)?;
    Ok(true)
}

/// Loads the helper crate and the prelude as a notebook's start does; runs in the process that [`build`] starts.
pub fn warm_up() -> Result<()> {
    let pipes = Pipes::new()?;
    start_evcxr(&pipes.inherited)?;
    Ok(())
}

fn load_helpers(project: &Project, folder: &BuildFolder) -> Result<()> {
    let mut child = folder
        .command(project, &std::env::current_exe()?)?
        .args(["kernel", "--warm-up"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("could not start the kernel to compile the helpers")?;
    let bar = progress::add(ProgressBar::new_spinner()).with_style(
        ProgressStyle::with_template(
            "{spinner} Compiling the helpers for notebooks, once: {pos} crates, {elapsed} {msg:.dim}",
        )
        .expect("a valid template"),
    );
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    let mut log = Vec::new();
    for line in BufReader::new(child.stderr.take().expect("a piped stderr")).lines() {
        let line = line.context("could not read the kernel's messages")?;
        let line = line.trim_start();
        match line.strip_prefix("Compiling ").or_else(|| line.strip_prefix("Checking ")) {
            Some(name) => {
                bar.set_message(name.split(' ').next().unwrap_or_default().to_owned());
                bar.inc(1);
            }
            None => log.push(line.to_owned()),
        }
    }
    let status = child.wait().context("could not wait for the kernel")?;
    bar.finish_and_clear();
    if !status.success() {
        bail!(
            "the helpers did not compile for the notebooks ({status}):\n{}\nIf a crate could not be downloaded, connect to the network once and try again.",
            log.join("\n")
        );
    }
    Ok(())
}

impl Stamp {
    fn of(project: &Project) -> Result<Self> {
        let rustc = Command::new("rustc")
            .arg("-vV")
            .output()
            .context("`rustc` did not start. Install Rust from https://rustup.rs and open a new terminal")?;
        let toolchain = [&rustc.stdout, workspace_manifest().as_bytes()].concat();
        let mut sources = Vec::new();
        for (name, content) in files(project) {
            sources.extend_from_slice(name.as_bytes());
            sources.extend_from_slice(content.as_bytes());
        }
        let mut inputs = ["Cargo.toml", "Cargo.lock"].map(|name| project.root().join(name)).to_vec();
        collect_code(&project.root().join("kernel-helpers"), &mut inputs)?;
        inputs.sort();
        for file in inputs {
            sources.extend_from_slice(file.as_os_str().as_encoded_bytes());
            sources.extend(read(&file)?);
        }
        Ok(Stamp { toolchain: sha256(&toolchain), sources: sha256(&sources) })
    }

    fn file(folder: &BuildFolder) -> PathBuf {
        folder.path().join("stamp")
    }

    fn read(folder: &BuildFolder) -> Option<Self> {
        let text = fs::read_to_string(Self::file(folder)).ok()?;
        let (toolchain, sources) = text.trim_end().split_once('\n')?;
        Some(Stamp { toolchain: toolchain.to_owned(), sources: sources.to_owned() })
    }

    fn write(&self, folder: &BuildFolder) -> Result<()> {
        Ok(write_whole(Self::file(folder), format!("{}\n{}\n", self.toolchain, self.sources).as_bytes())?)
    }
}

/// Whether this process may make files in a folder.
fn may_write(folder: &Path) -> bool {
    access(folder, Access::WRITE_OK).is_ok()
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("could not read {}", file.display()))
}

/// Adds the sources and manifests in a folder.
fn collect_code(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect_code(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "toml") {
            files.push(path);
        }
    }
    Ok(())
}
