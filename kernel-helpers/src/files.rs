//! Writing files so that nothing already saved is lost.

use crate::{Error, Result};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// What the name of a file begins with that is not whole yet. Git ignores such files.
const PARTIAL: &str = ".partial-";
/// Nobody writes a file for this long: what is older was left by a process that was killed.
const STALE: Duration = Duration::from_secs(60 * 60);

/// Writes a file beside and renames it into place, so that it is never there in part; makes the folder if need be.
///
/// # Errors
/// If the folder or the file cannot be written. What was there before is then untouched.
pub fn write_whole(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |source| Error::io(path, source, "Check the folder's permissions and the free space.");
    std::fs::create_dir_all(folder).map_err(failed)?;
    sweep(folder, STALE);
    let mut file = temporary(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

/// A temporary file that, once renamed, has the permissions of any other new file.
fn temporary(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666); // less the process's mask
    #[cfg(unix)]
    builder.permissions(permissions);
    builder.prefix(PARTIAL).tempfile_in(folder)
}

/// Removes what killed processes have left in a folder. If that fails, nothing is lost but space.
fn sweep(folder: &Path, stale: Duration) {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for file in files.filter(|file| file.file_name().to_string_lossy().starts_with(PARTIAL)) {
        let modified = file.metadata().and_then(|metadata| metadata.modified());
        if modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age >= stale)) {
            let _ = std::fs::remove_file(file.path());
        }
    }
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
    fn what_a_killed_process_left_is_swept_when_nobody_can_be_writing_it() {
        let folder = tempfile::tempdir().unwrap();
        let left = temporary(folder.path()).unwrap().keep().unwrap().1;
        assert!(left.file_name().unwrap().to_string_lossy().starts_with(".partial-"));
        let path = folder.path().join("results.json");
        write_whole(&path, b"new").unwrap();
        assert!(left.exists(), "another process may be writing it");
        sweep(folder.path(), Duration::ZERO);
        assert!(!left.exists() && path.exists());
    }
}
