//! PyTorch's file form before 1.6, still written by `torch.save(…, _use_new_zipfile_serialization=False)`: five pickles
//! (magic number, protocol version, system, object, storage keys), then each storage as a 64-bit element count and its
//! raw elements.

use super::budget::{Budget, longest_description};
use super::input::{Input, bytes_at, length};
use super::malformed::{CUT_SHORT, DAMAGED, Malformed, Result, SAVE_STATE_DICT};
use super::pickle::{self, Object, Pickle, Value};
use super::torch_storages::{Storages, build};
use super::{StateDict, torch_objects};
use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};

/// 0x1950_a86a_20f9_469c_fc6c.
const MAGIC_NUMBER: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL_VERSION: Value = Value::Int(1001);

/// Reads a whole file.
pub(super) fn read(input: &mut Input<'_>, budget: &mut Budget) -> Result<StateDict> {
    let file_length = length(input)?;
    // All five pickles lie in here, as no longer ones are read.
    let start = bytes_at(input, 0, longest_description(file_length))?;
    let mut pickles = Pickles { rest: &start, cut: (start.len() as u64) < file_length, budget };
    let magic = pickles.next()?;
    if !matches!(magic.object(magic.root), Some(Object::Long(bytes)) if *bytes == MAGIC_NUMBER) {
        return Err(Malformed::new(
            "a PyTorch checkpoint",
            "a pickle without PyTorch's magic number",
            SAVE_STATE_DICT,
        ));
    }
    if pickles.next()?.root != PROTOCOL_VERSION {
        return Err(Malformed::new("PyTorch's protocol version 1001", "another version", SAVE_STATE_DICT));
    }
    require_little_endian(&pickles.next()?)?;
    let object = pickles.next()?;
    let records = torch_objects::state_dict(&object, pickles.budget)?;
    let keys = pickles.next()?;
    let position = (start.len() - pickles.rest.len()) as u64;
    let positions = storage_positions(input, position, &keys, &object)?;
    build(records, &mut LegacyStorages { input, positions }, budget)
}

struct Pickles<'a, 'b> {
    rest: &'a [u8],
    cut: bool,
    budget: &'b mut Budget,
}

impl<'a> Pickles<'a, '_> {
    fn next(&mut self) -> Result<Pickle<'a>> {
        let pickle = Pickle::read(self.rest, self.cut)?;
        self.rest = &self.rest[pickle.length..];
        self.budget.spend(pickle.length * pickle::MEMORY)?;
        Ok(pickle)
    }
}

fn require_little_endian(system: &Pickle<'_>) -> Result<()> {
    let Some(Object::Dict(items)) = system.object(system.root) else {
        return Err(Malformed::new("a description of the system that saved", "something else", DAMAGED));
    };
    let order = items.iter().rev().find(|[key, _]| system.text(*key) == Some("little_endian"));
    match order {
        Some([_, Value::Bool(false)]) => Err(big_endian()),
        _ => Ok(()),
    }
}

/// The error for a file from a machine with the other byte order.
pub(super) fn big_endian() -> Malformed {
    Malformed::new(
        "little-endian numbers",
        "big-endian ones",
        "Load the file on the machine that wrote it, and save it there with the safetensors package.",
    )
}

/// Where the elements of each storage begin.
fn storage_positions<'a>(
    input: &mut Input<'_>,
    mut position: u64,
    keys: &Pickle<'a>,
    object: &Pickle<'_>,
) -> Result<HashMap<&'a str, u64>> {
    let Some(Object::List(list)) = keys.object(keys.root) else {
        return Err(Malformed::new("the list of storage keys", "something else", DAMAGED));
    };
    let references = torch_objects::storages(object)?;
    let file_length = length(input)?;
    let mut positions = HashMap::new();
    input.seek(SeekFrom::Start(position))?;
    for key in list {
        let key = keys.text(*key).unwrap_or("?");
        let reference = references.get(key).ok_or_else(|| {
            Malformed::new("storages that tensors use", format!("storage `{key}` without one"), DAMAGED)
        })?;
        let mut count = [0; 8];
        input.read_exact(&mut count)?;
        let count = u64::from_le_bytes(count);
        if count != reference.count as u64 {
            let expected = format!("{} elements in storage `{key}`", reference.count);
            return Err(Malformed::new(expected, count, DAMAGED));
        }
        let available = file_length - (position + 8);
        if reference.length() > available {
            let expected = format!("{} bytes of storage `{key}`", reference.length());
            return Err(Malformed::new(
                expected,
                format!("{available} bytes before the file's end"),
                CUT_SHORT,
            ));
        }
        positions.insert(key, position + 8);
        position += 8 + reference.length();
        // Unlike `seek`, this keeps what has been fetched: there can be many empty storages.
        input.seek_relative(reference.length() as i64)?;
    }
    Ok(positions)
}

struct LegacyStorages<'a, 'b> {
    input: &'a mut Input<'b>,
    positions: HashMap<&'a str, u64>,
}

impl Storages for LegacyStorages<'_, '_> {
    fn open(&mut self, key: &str, length: u64) -> Result<Box<dyn Read + '_>> {
        let position = self
            .positions
            .get(key)
            .ok_or_else(|| Malformed::new(format!("storage `{key}`"), "none in the file", DAMAGED))?;
        self.input.seek(SeekFrom::Start(*position))?;
        Ok(Box::new(self.input.take(length)))
    }
}
