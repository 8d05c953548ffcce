//! Tensors from the storages that PyTorch's files hold.

use super::StateDict;
use super::budget::Budget;
use super::element::Elements;
use super::malformed::{CUT_SHORT, DAMAGED, Malformed, Result};
use super::torch_objects::{StorageReference, TensorRecord};
use super::view::View;
use std::io::{self, Read};

/// The storages of a file.
pub(super) trait Storages {
    /// The bytes of a storage from its first one. What the file holds is known to be `length` bytes long.
    fn open(&mut self, key: &str, length: u64) -> Result<Box<dyn Read + '_>>;
}

/// The state dict that `records` describe. Each storage is opened once.
pub(super) fn build(
    mut records: Vec<TensorRecord<'_>>,
    storages: &mut dyn Storages,
    budget: &mut Budget,
) -> Result<StateDict> {
    records.sort_unstable_by_key(|record| {
        (record.storage.key, record.range.start, record.range.end, record.name)
    });
    let mut state_dict = StateDict::new();
    for records in records.chunk_by(|a, b| a.storage.key == b.storage.key) {
        let storage = &records[0].storage;
        budget.read(storage.length())?;
        let mut reader = storages.open(storage.key, storage.length())?;
        let read = match follow_each_other(records) {
            true => in_passing(records, &mut *reader, &mut state_dict)?,
            false => in_memory(records, &mut *reader, budget, &mut state_dict)?,
        };
        finish(&mut *reader, storage, read)?;
    }
    Ok(state_dict)
}

/// Whether the tensors can be read one after the other, as nearly all can.
fn follow_each_other(records: &[TensorRecord<'_>]) -> bool {
    records.iter().all(|record| record.view.is_contiguous())
        && records.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start)
}

/// Returns how many bytes have been read.
fn in_passing(records: &[TensorRecord<'_>], reader: &mut dyn Read, tensors: &mut StateDict) -> Result<u64> {
    let mut position = 0;
    for record in records {
        skip(reader, &record.storage, record.range.start - position)?;
        let elements = Elements::Stream(&mut *reader);
        tensors.insert(record.name.to_owned(), record.element.tensor(elements, &record.view.shape)?);
        position = record.range.end;
    }
    Ok(position)
}

/// The same for views that overlap or skip elements: what they need of the storage is in memory meanwhile.
fn in_memory(
    records: &[TensorRecord<'_>],
    reader: &mut dyn Read,
    budget: &mut Budget,
    tensors: &mut StateDict,
) -> Result<u64> {
    let start = records[0].range.start;
    let end = records.iter().map(|record| record.range.end).max().unwrap_or(start);
    skip(reader, &records[0].storage, start)?;
    let length = (end - start) as usize;
    budget.lend(length)?;
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).map_err(|error| unreadable(&records[0].storage, error))?;
    for record in records {
        let mut stored = &bytes[(record.range.start - start) as usize..(record.range.end - start) as usize];
        // Relative to the view's own first element.
        let view = View { offset: 0, ..record.view.clone() };
        let elements = match view.is_contiguous() {
            true => Elements::Stream(&mut stored),
            false => Elements::View(stored, &view),
        };
        tensors.insert(record.name.to_owned(), record.element.tensor(elements, &view.shape)?);
    }
    Ok(end)
}

fn skip(reader: &mut dyn Read, storage: &StorageReference<'_>, count: u64) -> Result<()> {
    match io::copy(&mut reader.take(count), &mut io::sink()) {
        Ok(skipped) if skipped == count => Ok(()),
        Ok(skipped) => {
            let found = format!("its end {} bytes too early", count - skipped);
            Err(Malformed::new(format!("all of storage `{}`", storage.key), found, CUT_SHORT))
        }
        Err(error) => Err(unreadable(storage, error)),
    }
}

/// Reads to the storage's end, where checksums are compared.
fn finish(reader: &mut dyn Read, storage: &StorageReference<'_>, read: u64) -> Result<()> {
    skip(reader, storage, storage.length() - read)?;
    match reader.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => {
            let expected = format!("{} bytes in storage `{}`", storage.length(), storage.key);
            Err(Malformed::new(expected, "more", DAMAGED))
        }
        Err(error) => Err(unreadable(storage, error)),
    }
}

fn unreadable(storage: &StorageReference<'_>, error: io::Error) -> Malformed {
    Malformed::new(format!("storage `{}` to be readable", storage.key), error, DAMAGED)
}
