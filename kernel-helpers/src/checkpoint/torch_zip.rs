//! PyTorch's file form since 1.6: a zip archive with `NAME/data.pkl`, `NAME/byteorder` and one `NAME/data/KEY` per
//! storage.

use super::element::Budget;
use super::malformed::{CUT_SHORT, DAMAGED, Malformed, Result, SAVE_STATE_DICT};
use super::pickle::Pickle;
use super::torch_legacy::big_endian;
use super::{StateDict, torch_objects};
use std::collections::HashMap;
use std::io::{Cursor, Read};
use zip::ZipArchive;
use zip::result::ZipError;

/// Reads a whole file.
pub(super) fn read(file: &[u8]) -> Result<StateDict> {
    let mut budget = Budget::for_file(file.len());
    let zip = ZipArchive::new(Cursor::new(file));
    let mut archive = Archive {
        zip: zip.map_err(|error| Malformed::new("a complete zip archive", reason(&error), CUT_SHORT))?,
        budget: &mut budget,
    };
    let folder = archive.folder()?;
    let byte_order = archive.entry(&format!("{folder}byteorder"))?;
    if byte_order.is_some_and(|order| order.trim_ascii() == b"big") {
        return Err(big_endian());
    }
    let name = format!("{folder}data.pkl");
    let pickle = Pickle::read(&archive.require(&name)?, torch_objects::known)?;
    let records = torch_objects::state_dict(&pickle)?;
    let references = torch_objects::storages(&pickle)?;

    let mut storages = HashMap::new();
    for (_, record) in &records {
        let reference = &references[record.storage.key];
        if storages.contains_key(reference.key) {
            continue;
        }
        let bytes = archive.require(&format!("{folder}data/{}", reference.key))?;
        let length = reference.count.saturating_mul(reference.element.size());
        if bytes.len() != length {
            let expected = format!("{length} bytes in storage `{}`", reference.key);
            return Err(Malformed::new(expected, bytes.len(), DAMAGED));
        }
        storages.insert(reference.key, bytes);
    }
    torch_objects::build(&records, &mut budget, |key| storages.get(key).map(Vec::as_slice))
}

struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    budget: &'a mut Budget,
}

impl Archive<'_> {
    /// The archive's only folder with a `data.pkl`, with its final slash.
    fn folder(&self) -> Result<String> {
        let names: Vec<&[u8]> = self.zip.file_names_raw().collect();
        let mut folders = names.iter().filter_map(|name| name.strip_suffix(b"data.pkl"));
        match (folders.next(), folders.next()) {
            (Some(folder), None) if folder.is_empty() || folder.ends_with(b"/") => {
                Ok(String::from_utf8_lossy(folder).into_owned())
            }
            _ => {
                let first = names.first().map(|name| format!(" but `{}`", name.escape_ascii()));
                let found = format!("a zip archive with no such file{}", first.unwrap_or_default());
                Err(Malformed::new("one `data.pkl` in PyTorch's zip archive", found, SAVE_STATE_DICT))
            }
        }
    }

    fn require(&mut self, name: &str) -> Result<Vec<u8>> {
        let entry = self.entry(name)?;
        entry.ok_or_else(|| Malformed::new(format!("`{name}` in the zip archive"), "no such entry", DAMAGED))
    }

    /// An entry's content, checked against its checksum, or `None` if there is no such entry.
    fn entry(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        let damaged = |found: String| Malformed::new(format!("`{name}` in the zip archive"), found, DAMAGED);
        let entry = match self.zip.by_name(name) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(damaged(reason(&error))),
        };
        let size = entry.size();
        self.budget.spend(usize::try_from(size).unwrap_or(usize::MAX))?;
        let mut content = Vec::new();
        entry
            .take(size.saturating_add(1))
            .read_to_end(&mut content)
            .map_err(|error| damaged(format!("unreadable content ({error})")))?;
        if content.len() as u64 != size {
            return Err(damaged(format!("{} bytes where it claims {size}", content.len())));
        }
        Ok(Some(content))
    }
}

fn reason(error: &ZipError) -> String {
    format!("one that cannot be read ({error})")
}
