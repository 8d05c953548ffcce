//! Writing files so that nothing already saved is lost, and nothing unfinished stays.
//!
//! What is not whole yet lies beside its target, under a name that begins with [`PARTIAL`] and that git ignores. Its
//! writer holds it locked. So whoever writes into the same folder next can tell what a killed process has left, and
//! removes it.

pub mod faults;

use crate::{Error, Result};
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::{NamedTempFile, TempDir};

/// What the name of a file or folder begins with that is not whole yet.
pub const PARTIAL: &str = ".partial-";
/// Between making a file and locking it, nobody takes this long: what is older and not locked has no writer.
const UNLOCKED: Duration = Duration::from_secs(60);
/// So many hundredths of a second a lock may still be held by a process that this one is just starting: between fork and exec
/// it has all of this one's files open, those too that are closed by now.
const FORKED: u32 = 20;
const HELP: &str = "Check the folder's permissions and the free space.";

/// Writes a file beside and renames it into place, so that it is never there in part; makes the folder if need be.
///
/// ```
/// use kernel_helpers::files::{read, write_whole};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path();
/// write_whole(folder.join("new/results.json"), b"{}")?;
/// assert_eq!(read(folder.join("new/results.json"))?, b"{}");
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If the folder or the file cannot be written. What was there before is then untouched.
pub fn write_whole(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let folder = folder_of(path);
    let write = || {
        step("make the folder", folder)?;
        std::fs::create_dir_all(folder)?;
        sweep(folder);
        step("make a partial file", path)?;
        let mut file = partial_file(folder)?;
        let (first, second) = bytes.split_at(bytes.len() / 2);
        file.write_all(first)?;
        step("write the second half", path)?;
        file.write_all(second)?;
        file.as_file().sync_data()?;
        step("rename", path)?;
        file.persist(path)?;
        step("have renamed", path)
    };
    write().map_err(|e| Error::io(path, e, HELP))
}

/// Reads a file.
///
/// ```
/// use kernel_helpers::files::read;
///
/// let message = read("no/such/file").unwrap_err().to_string();
/// assert!(message.starts_with("no/such/file: "), "{message}");
/// ```
///
/// # Errors
/// If it cannot be read.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let read = step("read", path).and_then(|()| std::fs::read(path));
    read.map_err(|e| Error::io(path, e, "Check the file's permissions."))
}

/// Removes a file, if it is there.
///
/// ```
/// use kernel_helpers::files::{remove, write_whole};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("results.json");
/// write_whole(&path, b"{}")?;
/// remove(&path)?;
/// remove(&path)?; // it is gone already
/// assert!(!path.exists());
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If it is there and cannot be removed.
pub fn remove(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    match step("remove", path).and_then(|()| std::fs::remove_file(path)) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(path, e, HELP)),
        _ => step("have removed", path).map_err(|e| Error::io(path, e, HELP)),
    }
}

/// Gives a file another name in the same folder.
///
/// ```
/// use kernel_helpers::files::{read, rename, write_whole};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let (path, to) = (folder.path().join("state"), folder.path().join("state.damaged"));
/// write_whole(&path, b"...")?;
/// rename(&path, &to)?;
/// assert!(!path.exists() && read(&to)? == b"...");
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If that cannot be done.
pub fn rename(path: &Path, to: &Path) -> Result<()> {
    let renamed = step("rename", path).and_then(|()| std::fs::rename(path, to));
    renamed.map_err(|e| Error::io(path, e, HELP))
}

/// The folder that a file is in.
///
/// ```
/// use kernel_helpers::files::folder_of;
/// use std::path::Path;
///
/// assert_eq!(folder_of(Path::new("runs/net.json")), Path::new("runs"));
/// assert_eq!(folder_of(Path::new("net.json")), Path::new("."));
/// ```
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Waits until no other process or thread has this folder locked, and locks it for as long as the value lives. The
/// folder is made if need be.
///
/// ```
/// use kernel_helpers::files::{lock_folder, read, write_whole};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("count");
/// # write_whole(&path, b"1")?;
/// let lock = lock_folder(folder.path())?;
/// let count = read(&path)?[0];
/// write_whole(&path, &[count + 1])?;
/// drop(lock); // others may write
/// assert_eq!(read(&path)?, b"2");
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If the folder cannot be made or opened.
pub fn lock_folder(folder: &Path) -> Result<File> {
    let locked = step("lock the folder", folder).and_then(|()| {
        std::fs::create_dir_all(folder)?;
        let folder = File::open(folder)?;
        folder.lock()?;
        Ok(folder)
    });
    locked.map_err(|e| Error::io(folder, e, HELP))
}

/// Locks a file of its own for as long as the value lives, and makes it and its folder if need be; `None` if somebody
/// else has it locked. The file can be removed while it is locked.
///
/// ```
/// use kernel_helpers::files::try_lock;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("net.lock");
/// let lock = try_lock(&path)?;
/// assert!(lock.is_some() && try_lock(&path)?.is_none(), "one at a time");
/// drop(lock);
/// assert!(try_lock(&path)?.is_some());
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If the file cannot be made.
pub fn try_lock(path: &Path) -> Result<Option<File>> {
    let lock = || {
        step("lock", path)?;
        std::fs::create_dir_all(folder_of(path))?;
        let mut waits = 0;
        loop {
            let file = File::create(path)?;
            match file.try_lock() {
                // Between opening and locking it, its last owner may have removed it, and another made one anew.
                Ok(()) if is_at(&file, path) => return Ok(Some(file)),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if waits == FORKED => return Ok(None),
                Err(TryLockError::WouldBlock) => {
                    waits += 1;
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::Error(e)) => return Err(e),
            }
        }
    };
    lock().map_err(|e| Error::io(path, e, HELP))
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    let (file, path) = (file.metadata().map(id), std::fs::metadata(path).map(id));
    file.is_ok_and(|file| path.is_ok_and(|path| file == path))
}

#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

/// An instant at which a test may have an operation fail, or the process die, see [`faults`].
///
/// ```
/// use kernel_helpers::files::{faults, step};
/// use std::path::Path;
///
/// let (done, made) = faults::with(faults::Plan::default(), || step("read", Path::new("runs/net.json")));
/// assert!(done.is_ok());
/// assert_eq!(made, ["read: net.json"]);
/// ```
///
/// # Errors
/// If a test has it so.
pub fn step(operation: &'static str, path: &Path) -> io::Result<()> {
    faults::step(operation, path)
}

/// A folder for files that are not whole yet, beside where they belong. It goes with this value, or when somebody
/// writes into the folder around it after this process has died.
///
/// ```
/// use kernel_helpers::files::{PartialFolder, rename, write_whole};
///
/// # let data = tempfile::tempdir().unwrap();
/// # let data = data.path();
/// let unpacked = PartialFolder::new_in(data)?;
/// write_whole(unpacked.path().join("images.bin"), b"...")?;
/// rename(&unpacked.path().join("images.bin"), &data.join("images.bin"))?;
/// drop(unpacked);
/// assert_eq!(std::fs::read_dir(data).unwrap().count(), 1, "the file alone");
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
#[derive(Debug)]
pub struct PartialFolder {
    folder: TempDir,
    // Locked for as long as it is open; the operating system lets go of it when the process dies, however it dies.
    _lock: File,
}

impl PartialFolder {
    /// An empty one inside `folder`, which is made if need be.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn new_in(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let made = std::fs::create_dir_all(folder).and_then(|()| {
            sweep(folder);
            let folder = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(folder)?;
            let lock = File::open(folder.path())?;
            lock.lock()?;
            Ok(Self { folder, _lock: lock })
        });
        made.map_err(|e| Error::io(folder, e, HELP))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A locked file that, once renamed, has the permissions of any other new file.
fn partial_file(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666); // less the process's mask
    #[cfg(unix)]
    builder.permissions(permissions);
    let file = builder.prefix(PARTIAL).tempfile_in(folder)?;
    file.as_file().lock()?;
    Ok(file)
}

/// Removes from a folder what processes have left unfinished that are no more.
///
/// ```
/// use kernel_helpers::files::{PARTIAL, sweep};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let left = folder.path().join(format!("{PARTIAL}a"));
/// # let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
/// # std::fs::File::create(&left).unwrap().set_modified(long_ago).unwrap();
/// // What a process left that was killed an hour ago.
/// assert!(left.exists());
/// sweep(folder.path());
/// assert!(!left.exists());
/// ```
pub fn sweep(folder: &Path) {
    for path in abandoned(folder, UNLOCKED) {
        // If that fails, nothing is lost but space.
        let _ = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
    }
}

/// What lies unfinished in a folder without a writer, and was last changed at least this long ago.
fn abandoned(folder: &Path, unlocked: Duration) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let partial = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PARTIAL));
    let old = partial.filter(|entry| {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age >= unlocked))
    });
    let paths = old.map(|entry| entry.path());
    paths.filter(|path| File::open(path).is_ok_and(|file| file.try_lock().is_ok())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_written_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/results.json");
        write_whole(&path, b"old").unwrap();
        assert!(write_whole(path.join("below a file"), b"new").is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn what_a_killed_process_left_is_swept_when_nobody_is_writing_it() {
        let folder = tempfile::tempdir().unwrap();
        let (file, left) = partial_file(folder.path()).unwrap().keep().unwrap();
        let made = PartialFolder::new_in(folder.path()).unwrap();
        assert!(left.file_name().unwrap().to_string_lossy().starts_with(PARTIAL));
        assert!(abandoned(folder.path(), Duration::ZERO).is_empty(), "both have a writer");
        drop(file);
        assert_eq!(abandoned(folder.path(), Duration::ZERO), std::slice::from_ref(&left));
        assert!(abandoned(folder.path(), UNLOCKED).is_empty(), "its writer may be about to lock it");
        drop(made);
        let long_ago = std::time::SystemTime::now() - 2 * UNLOCKED;
        File::options().append(true).open(&left).unwrap().set_modified(long_ago).unwrap();
        write_whole(folder.path().join("results.json"), b"new").unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "whoever writes next sweeps");
    }
}
