//! Files of weights that a record beside them describes.

use base::digest::sha256_of_file;
use base::{Error, Result, files};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Longer files beside weights are no records.
pub const LONGEST_RECORD: u64 = 16 << 20;

/// What a record says of a file of weights.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::checkpoint::Weights;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("net.safetensors");
/// lenet(10)?.build(0, &Device::Cpu)?.save_weights(&path)?;
/// let Weights { file, bytes, sha256 } = Weights::of(&path)?;
/// assert_eq!((file.as_str(), sha256.len()), ("net.safetensors", 64));
/// assert!(bytes > 4 * 61_706);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// The file's name.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 sum of its bytes.
    pub sha256: String,
}

impl Weights {
    /// Describes a file that is there.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|e| Error::io(path, e, "Check its permissions."))?;
        Ok(Self { file: file_name(path), bytes: metadata.len(), sha256: sha256_of_file(path)? })
    }
}

/// Where the record of a file of weights is: `NAME.json` beside `NAME.safetensors`, and beside a file of any other
/// name, that name with `.json` behind it.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::checkpoint::record_of;
/// use std::path::Path;
///
/// assert_eq!(record_of(Path::new("runs/net.safetensors")), Path::new("runs/net.json"));
/// ```
pub fn record_of(weights: &Path) -> PathBuf {
    beside(weights, ".json")
}

/// A path beside weights that begins with their name, without `.safetensors`, and ends otherwise.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::checkpoint::beside;
/// use std::path::Path;
///
/// assert_eq!(beside(Path::new("runs/net.safetensors"), ".lock"), Path::new("runs/net.lock"));
/// ```
pub fn beside(weights: &Path, end: &str) -> PathBuf {
    let name = weights.file_name().unwrap_or_default();
    let is_safetensors = weights.extension().is_some_and(|extension| extension == "safetensors");
    let stem = if is_safetensors { weights.file_stem().unwrap_or(name) } else { name };
    let mut name = OsString::from(stem);
    name.push(end);
    weights.with_file_name(name)
}

/// Checks that weights are those of the record beside them, if there is one.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::checkpoint::{check_recorded, record_of};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("net.safetensors");
/// lenet(10)?.build(0, &Device::Cpu)?.save_weights(&path)?;
/// check_recorded(&path)?; // there is no record
/// let record = r#"{"weights": {"file": "net.safetensors", "bytes": 9, "sha256": "of others"}}"#;
/// std::fs::write(record_of(&path), record).unwrap();
/// assert!(check_recorded(&path).unwrap_err().to_string().contains("that net.json records"));
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If they are others.
pub fn check_recorded(weights: &Path) -> Result<()> {
    #[derive(Deserialize)]
    struct Record {
        weights: Weights,
    }
    let path = record_of(weights);
    if std::fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= LONGEST_RECORD)
        && let Ok(record) = serde_json::from_slice::<Record>(&files::read(&path)?)
        && record.weights.file == file_name(weights)
        && sha256_of_file(weights)? != record.weights.sha256
    {
        let name = file_name(&path);
        return Err(Error::file(
            weights,
            format!("the weights that {name} records"),
            "others",
            format!("Restore the file, or move {name} away to use these weights as they are."),
        ));
    }
    Ok(())
}

/// A path's last component, for messages in a notebook that others read too.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::checkpoint::file_name;
///
/// assert_eq!(file_name("/home/me/runs/net.json".as_ref()), "net.json");
/// ```
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_has_a_record_of_its_own() {
        let cases = [
            ("runs/net.safetensors", "runs/net.json"),
            ("runs/q=0.5", "runs/q=0.5.json"),
            ("runs/q=0.8.safetensors", "runs/q=0.8.json"),
            ("net.json", "net.json.json"),
            ("net.pt", "net.pt.json"),
            (".safetensors", ".safetensors.json"),
        ];
        for (weights, record) in cases {
            assert_eq!(record_of(Path::new(weights)), Path::new(record));
        }
    }

    #[test]
    fn weights_that_differ_from_their_record_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("net.safetensors");
        std::fs::write(&weights, "weights").unwrap();
        check_recorded(&weights).unwrap();
        for other in ["[]", "{}", r#"{"weights": 3}"#] {
            std::fs::write(record_of(&weights), other).unwrap();
            check_recorded(&weights).unwrap();
        }
        let record = |weights: &Weights| serde_json::json!({ "weights": weights, "more": 1 }).to_string();
        std::fs::write(record_of(&weights), record(&Weights::of(&weights).unwrap())).unwrap();
        check_recorded(&weights).unwrap();
        std::fs::write(&weights, "weightS").unwrap();
        let message = check_recorded(&weights).unwrap_err().to_string();
        assert!(message.contains("net.safetensors: expected the weights that net.json records"), "{message}");
    }
}
