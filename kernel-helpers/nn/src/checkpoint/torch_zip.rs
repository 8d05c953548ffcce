//! PyTorch's file form since 1.6: a zip archive with `NAME/data.pkl`, `NAME/byteorder` and one `NAME/data/KEY` per
//! storage.

use super::budget::{Budget, longest_description};
use super::input::{Input, length};
use super::malformed::{CUT_SHORT, DAMAGED, Malformed, Result, SAVE_STATE_DICT};
use super::pickle::{self, Pickle};
use super::torch_legacy::big_endian;
use super::torch_storages::{Storages, build};
use super::zip_end::check_directory;
use super::{StateDict, torch_objects};
use std::collections::HashSet;
use std::io::Read;
use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config, ZipFile};
use zip::result::ZipError;

/// The attribute of MS-DOS that says that an entry is a folder.
const FOLDER: u32 = 0x10;

/// Reads a whole file.
pub(super) fn read(input: &mut Input<'_>, budget: &mut Budget) -> Result<StateDict> {
    check_directory(input, budget)?;
    let longest = longest_description(length(input)?);
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let zip = ZipArchive::with_config(config, input);
    let zip = zip.map_err(|error| Malformed::new("a complete zip archive", reason(&error), CUT_SHORT))?;
    require_different_names(&zip)?;
    let folder = folder(&zip)?;
    let mut archive = Archive { zip, folder };
    let byte_order = archive.content("byteorder", 64)?;
    if byte_order.is_some_and(|order| order.trim_ascii() == b"big") {
        return Err(big_endian());
    }
    let bytes = archive.content("data.pkl", longest)?.ok_or_else(|| archive.missing("data.pkl"))?;
    let pickle = Pickle::read(&bytes, false)?;
    budget.spend(bytes.len() + pickle.length * pickle::MEMORY)?;
    let records = torch_objects::state_dict(&pickle, budget)?;
    torch_objects::storages(&pickle)?; // they must not contradict each other
    build(records, &mut archive, budget)
}

/// Refuses an archive in which a name means two entries, to PyTorch if they differ in case alone: readers choose
/// different ones.
fn require_different_names(zip: &ZipArchive<&mut Input<'_>>) -> Result<()> {
    let mut seen = HashSet::new();
    let again = zip.file_names_raw().find(|name| !seen.insert(name.to_ascii_lowercase()));
    match again {
        None if !zip.has_duplicate_names() => Ok(()),
        _ => Err(Malformed::new("PyTorch's zip archive", "entries of the same name", DAMAGED)),
    }
}

/// The archive's only folder with a `data.pkl`, with its final slash.
fn folder(zip: &ZipArchive<&mut Input<'_>>) -> Result<String> {
    let mut folders = zip.file_names_raw().filter_map(|name| name.strip_suffix(b"data.pkl"));
    match (folders.next(), folders.next()) {
        (Some(folder), None) if folder.is_empty() || folder.ends_with(b"/") => {
            Ok(String::from_utf8_lossy(folder).into_owned())
        }
        _ => {
            let first = zip.file_names_raw().next().map(|name| format!(" but `{}`", name.escape_ascii()));
            let found = format!("a zip archive with no such file{}", first.unwrap_or_default());
            Err(Malformed::new("one `data.pkl` in PyTorch's zip archive", found, SAVE_STATE_DICT))
        }
    }
}

struct Archive<'a, 'b> {
    zip: ZipArchive<&'a mut Input<'b>>,
    folder: String,
}

impl<'a, 'b> Archive<'a, 'b> {
    fn entry(&mut self, name: &str) -> Result<Option<ZipFile<'_, &'a mut Input<'b>>>> {
        let name = format!("{}{name}", self.folder);
        match self.zip.by_name(&name) {
            // PyTorch goes by the attribute, and reads nothing.
            Ok(entry) if entry.external_attributes() & FOLDER != 0 => Err(damaged(&name, "a folder")),
            Ok(entry) => Ok(Some(entry)),
            Err(ZipError::FileNotFound) => Ok(None),
            Err(error) => Err(damaged(&name, reason(&error))),
        }
    }

    fn missing(&self, name: &str) -> Malformed {
        damaged(&format!("{}{name}", self.folder), "no such entry")
    }

    /// The content of an entry of at most `longest` bytes, checked against its checksum; `None` if there is no entry.
    fn content(&mut self, name: &str, longest: usize) -> Result<Option<Vec<u8>>> {
        let Some(mut entry) = self.entry(name)? else { return Ok(None) };
        if entry.size() > longest as u64 {
            let expected = format!("a `{name}` of at most {longest} bytes");
            return Err(Malformed::new(expected, format!("{} bytes", entry.size()), SAVE_STATE_DICT));
        }
        let mut content = vec![0; entry.size() as usize];
        let read = entry.read_exact(&mut content).and_then(|()| entry.read(&mut [0]));
        match read {
            Ok(0) => Ok(Some(content)),
            Ok(_) => Err(damaged(name, "more bytes than it claims")),
            Err(error) => Err(damaged(name, format!("unreadable content ({error})"))),
        }
    }
}

impl Storages for Archive<'_, '_> {
    fn open(&mut self, key: &str, length: u64) -> Result<Box<dyn Read + '_>> {
        let name = format!("data/{key}");
        let missing = self.missing(&name);
        let entry = self.entry(&name)?.ok_or(missing)?;
        if entry.size() != length {
            let expected = format!("{length} bytes in storage `{key}`");
            return Err(Malformed::new(expected, entry.size(), DAMAGED));
        }
        Ok(Box::new(entry))
    }
}

fn damaged(name: &str, found: impl std::fmt::Display) -> Malformed {
    Malformed::new(format!("`{name}` in the zip archive"), found, DAMAGED)
}

fn reason(error: &ZipError) -> String {
    format!("one that cannot be read ({error})")
}
