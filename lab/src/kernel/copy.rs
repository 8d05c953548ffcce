//! Copies of the warm build folder, one for each running kernel.

use super::BuildFolder;
use super::metadata::HELPERS;
use crate::locks;
use crate::project::Project;
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The name of the file that a living kernel holds a lock on.
const LOCK: &str = "alive.lock";

/// A build folder that lives as long as this value.
pub struct Copy {
    folder: BuildFolder,
    executable: PathBuf,
    // Locked for as long as the file is open; the operating system lets go of it when the process dies, however it dies.
    _lock: File,
}

impl Copy {
    /// Copies the warm folder, and removes the copies of kernels that died without cleaning up.
    pub fn of_warm(project: &Project) -> Result<Self> {
        let running = project.running_kernels();
        fs::create_dir_all(&running).with_context(|| format!("could not make {}", running.display()))?;
        // Held while folders come and go, so that no kernel takes another's new folder for a dead one's, and so that the
        // warm folder is not rebuilt meanwhile.
        let _guard = folders_lock(project)?;
        remove_dead(&running)?;
        // Process ids alone are not unique: containers that share a clone have the same ones.
        let folder = tempfile::Builder::new()
            .prefix(&format!("{}-", std::process::id()))
            .tempdir_in(&running)
            .with_context(|| format!("could not make a folder in {}", running.display()))?;
        let path = folder.path().to_owned();
        let lock = File::create(path.join(LOCK)).and_then(|lock| lock.lock().map(|()| lock));
        let lock = lock.with_context(|| format!("could not lock {}", path.display()))?;
        let warm = BuildFolder::warm(project);
        copy_folder(warm.path(), &path, false)
            .with_context(|| format!("could not copy {} to {}", warm.path().display(), path.display()))?;
        // evcxr starts its executable again after a panic, by which time a build may have replaced the original.
        let executable = path.join("lab");
        link_or_copy(&std::env::current_exe()?, &executable)
            .context("could not copy the kernel's executable")?;
        Ok(Copy { folder: BuildFolder { path: folder.keep() }, executable, _lock: lock })
    }

    /// The copy.
    pub fn folder(&self) -> &BuildFolder {
        &self.folder
    }

    /// This command's own executable, safe from being replaced.
    pub fn executable(&self) -> &Path {
        &self.executable
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // A process of the kernel's group that is just being killed may still write a file into the folder.
        for _ in 0..20 {
            if fs::remove_dir_all(&self.folder.path).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

/// Waits for the lock that guards making, removing and rebuilding the kernel's folders, and takes it.
pub fn folders_lock(project: &Project) -> Result<File> {
    let path = project.kernel().join("folders.lock");
    let lock = match File::create(&path) {
        // Another user's, of whose compiled helpers this one may make copies.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(&path),
        made => made,
    };
    let lock = lock.with_context(|| format!("could not make {}", path.display()))?;
    locks::lock(&lock, "another kernel's start, or for the helpers to be compiled")
        .with_context(|| format!("could not lock {}", path.display()))?;
    Ok(lock)
}

/// Removes the folders in `running` whose kernel is dead.
fn remove_dead(running: &Path) -> Result<()> {
    for entry in fs::read_dir(running).with_context(|| format!("could not list {}", running.display()))? {
        let folder = entry?.path();
        if !is_alive(&folder) {
            fs::remove_dir_all(&folder).with_context(|| format!("could not remove {}", folder.display()))?;
        }
    }
    Ok(())
}

/// Whether the kernel of a folder in `running` lives.
fn is_alive(folder: &Path) -> bool {
    File::open(folder.join(LOCK)).is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Removes what kernels have left that were killed.
pub fn remove_abandoned(project: &Project) -> Result<()> {
    let running = project.running_kernels();
    if !running.is_dir() {
        return Ok(());
    }
    let _guard = folders_lock(project)?;
    remove_dead(&running)
}

/// How many kernels run.
pub fn count_running(project: &Project) -> Result<usize> {
    let running = project.running_kernels();
    if !running.is_dir() {
        return Ok(0);
    }
    // No folder comes or goes meanwhile.
    let _guard = folders_lock(project)?;
    let entries = fs::read_dir(&running).with_context(|| format!("could not list {}", running.display()))?;
    Ok(entries.flatten().filter(|entry| is_alive(&entry.path())).count())
}

/// Cargo's folders of what it compiled.
pub const COMPILED: [&str; 3] = ["deps", "build", ".fingerprint"];

/// Copies a build folder without what is the other kernel's alone, such as the outputs of evcxr's own crate. What was
/// compiled is shared: compilers never write into a file, they replace it, and cargo writes only into its notes on a crate
/// that it compiles anew, which it does to none but the helpers, after an edit.
///
/// `compiled` is whether `from` lies in one of cargo's folders of what it compiled.
fn copy_folder(from: &Path, to: &Path, compiled: bool) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if is_of_warm_alone(&name) {
            continue;
        }
        let kind = entry.file_type()?;
        let compiled = (compiled || COMPILED.contains(&&*name)) && !is_of_helpers(&name);
        if kind.is_dir() {
            copy_folder(&source, &target, compiled)?;
        } else if kind.is_file() && (compiled || is_binary(&source)) {
            link_or_copy(&source, &target)?;
        } else if kind.is_file() {
            copy_with_time(&source, &target)?;
        }
    }
    Ok(())
}

/// Whether this is a file or folder that compiling `ctx` left, or by which the helpers are compiled faster the next time.
fn is_of_warm_alone(name: &str) -> bool {
    ["ctx-", "ctx.", "libctx", "libcode_"].iter().any(|start| name.starts_with(start))
        || ["stamp", "incremental", "toolchain"].contains(&name)
}

/// Whether this is a file or folder of cargo's that is named after one of the helpers: `nn-0f3a`, `libnn-0f3a.rlib`.
fn is_of_helpers(name: &str) -> bool {
    packages_of(name).iter().any(|package| HELPERS.contains(&&**package))
}

/// The packages that one of cargo's files or folders may be named after, with hyphens only: `libm-0f3a` is of `m` if it is a file
/// of cargo's, of `libm` if it is a folder.
pub fn packages_of(name: &str) -> [String; 2] {
    let stem = name.split('.').next().unwrap_or_default();
    let package = stem.rsplit_once('-').map_or(stem, |(package, _hash)| package).replace('_', "-");
    [package.strip_prefix("lib").unwrap_or(&package).to_owned(), package]
}

/// Whether this is a file that a compiler wrote.
pub fn is_binary(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| ["rlib", "rmeta", "so", "dylib"].map(OsStr::new).contains(&extension))
}

/// A second name for the same file. Linux gives none to a file of another user's, nor is there one on another disk: there a link
/// to its path has to do, and a copy on a file system that has neither.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to).or_else(|_| symlink(from, to)).or_else(|_| copy_with_time(from, to))
}

/// Copies a file along with its modification time, by which cargo knows what is up to date.
pub fn copy_with_time(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    let modified = fs::metadata(from)?.modified()?;
    File::options().append(true).open(to)?.set_modified(modified)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    /// As in two containers that share a clone, each of which counts its processes from one.
    #[test]
    fn a_living_kernel_of_the_same_process_id_is_no_obstacle() {
        // Beside this executable, so that it can be linked.
        let beside = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir_in(beside.parent().unwrap()).unwrap();
        let project = Project::at(folder.path()).unwrap();
        fs::create_dir_all(BuildFolder::warm(&project).path()).unwrap();
        let other = project.running_kernels().join(std::process::id().to_string());
        fs::create_dir_all(&other).unwrap();
        let alive = File::create(other.join(LOCK)).unwrap();
        alive.lock().unwrap();

        let (made, making) = mpsc::channel();
        std::thread::spawn({
            let project = project.clone();
            move || made.send(Copy::of_warm(&project))
        });
        let copy = making.recv_timeout(Duration::from_secs(10)).expect("it does not wait").unwrap();
        let path = copy.folder().path().to_owned();
        let name = path.file_name().unwrap().to_string_lossy();
        assert!(name.starts_with(&format!("{}-", std::process::id())), "{name}");
        let second = Copy::of_warm(&project).unwrap();
        assert!(path.is_dir() && other.is_dir(), "who lives keeps its folder");
        drop((copy, second));
        assert!(other.is_dir() && !path.exists());
        drop(alive);
        drop(Copy::of_warm(&project).unwrap());
        assert!(!other.exists(), "who has died loses it");
    }
}
