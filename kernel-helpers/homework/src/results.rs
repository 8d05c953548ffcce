//! Numbers that one notebook keeps for the next.

use crate::{Scale, output_dir};
use base::files::{self, write_whole};
use base::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Named results in a JSON file, `results.json` in the [`output_dir`] of the runs. Every value is written through at
/// once, so that a notebook that stops half way keeps what it has; and several notebooks can be open, for nothing but
/// the file holds the values.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
///
/// # let folder = tempfile::tempdir().unwrap();
/// let results = Results::open_file(folder.path().join("results.json"))?;
/// results.record("lab2/b/q=0.8", 0.8712)?;
/// assert_eq!(results.get::<f64>("lab2/b/q=0.8")?, 0.8712);
/// assert!(results.get::<f64>("lab2/c").is_err());
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results {
    path: PathBuf,
}

impl Results {
    /// The results of all runs at this scale with this seed.
    ///
    /// # Errors
    /// If there is a file that cannot be read or is no JSON object.
    pub fn open(scale: Scale, seed: u64) -> Result<Self> {
        Self::open_file(output_dir(scale, seed)?.join("results.json"))
    }

    /// The results in any file, which need not be there yet.
    ///
    /// # Errors
    /// If there is a file that cannot be read or is no JSON object.
    pub fn open_file(path: impl AsRef<Path>) -> Result<Self> {
        let results = Self { path: path.as_ref().to_owned() };
        results.read()?;
        Ok(results)
    }

    /// Keeps a value under a name such as `lab2/b/q=0.8`, in place of an older one.
    ///
    /// # Errors
    /// If the value cannot be expressed in JSON or the file cannot be written.
    pub fn record(&self, name: &str, value: impl Serialize) -> Result<()> {
        let value = serde_json::to_value(value)
            .map_err(|e| Error::argument(format!("the result `{name}`"), "a value that JSON can hold", e))?;
        // The folder, as the file itself is replaced.
        let _others_wait = files::lock_folder(files::folder_of(&self.path))?;
        let mut values = self.read()?;
        values.insert(name.to_owned(), value);
        let json = serde_json::to_string_pretty(&values).expect("the values are JSON already");
        write_whole(&self.path, json.as_bytes())
    }

    /// The value kept under a name.
    ///
    /// # Errors
    /// If there is none, or it is of another type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        const HELP: &str = "Run the notebooks lab1 and hw4 first, at the same scale.";
        let missing = || Error::file(&self.path, format!("a result `{name}`"), "none of that name", HELP);
        let value = self.read()?.remove(name).ok_or_else(missing)?;
        serde_json::from_value(value)
            .map_err(|e| Error::file(&self.path, format!("another type of result `{name}`"), e, HELP))
    }

    fn read(&self) -> Result<Map<String, Value>> {
        match std::fs::read_to_string(&self.path) {
            Ok(json) => serde_json::from_str(&json).map_err(|e| {
                Error::file(
                    &self.path,
                    "results as a JSON object",
                    e,
                    "Delete it and run the notebooks again.",
                )
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Map::new()),
            Err(e) => Err(Error::io(&self.path, e, "Check the file's permissions.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runs::TestResult;

    #[test]
    fn values_come_back_in_another_notebook() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        let kept = TestResult { loss: 0.5, accuracy: 0.9, images: 100, note: None };
        Results::open_file(&path).unwrap().record("lab2/a", &kept).unwrap();
        let results = Results::open_file(&path).unwrap();
        assert_eq!(results.get::<TestResult>("lab2/a").unwrap(), kept);
        let message = results.get::<f64>("lab2/b").unwrap_err().to_string();
        assert!(message.contains("lab2/b") && message.contains("hw4"), "{message}");
        assert!(results.get::<f64>("lab2/a").is_err(), "another type");
    }

    #[test]
    fn notebooks_that_are_open_together_keep_each_others_values() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        let open = || Results::open_file(&path).unwrap();
        let (hw4, report) = (open(), open());
        hw4.record("lab2/a", 1).unwrap();
        report.record("1.3", 2).unwrap();
        hw4.record("lab2/a", 3).unwrap();
        report.record("1.4", 4).unwrap();
        assert_eq!(report.get::<i32>("lab2/a").unwrap(), 3);
        assert_eq!((open().get::<i32>("1.3").unwrap(), open().get::<i32>("1.4").unwrap()), (2, 4));
    }

    #[test]
    fn a_broken_file_is_an_error_that_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        std::fs::write(&path, "[1, 2]").unwrap();
        assert!(Results::open_file(&path).unwrap_err().to_string().contains("Delete it"));
    }
}
