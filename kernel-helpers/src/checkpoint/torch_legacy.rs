//! PyTorch's file form before 1.6, still written by `torch.save(…, _use_new_zipfile_serialization=False)`: five pickles
//! (magic number, protocol version, system, object, storage keys), then each storage as a 64-bit element count and its
//! raw elements.

use super::element::Budget;
use super::malformed::{CUT_SHORT, DAMAGED, Malformed, Result, SAVE_STATE_DICT};
use super::pickle::{Object, Pickle, Value};
use super::{StateDict, torch_objects};
use std::collections::HashMap;

const MAGIC_NUMBER: Value = Value::Int(0x1950_a86a_20f9_469c_fc6c);
const PROTOCOL_VERSION: Value = Value::Int(1001);

/// Reads a whole file.
pub(super) fn read(file: &[u8]) -> Result<StateDict> {
    let mut rest = file;
    if next_pickle(&mut rest)?.root != MAGIC_NUMBER {
        return Err(Malformed::new(
            "a PyTorch checkpoint",
            "a pickle without PyTorch's magic number",
            SAVE_STATE_DICT,
        ));
    }
    if next_pickle(&mut rest)?.root != PROTOCOL_VERSION {
        return Err(Malformed::new("PyTorch's protocol version 1001", "another version", SAVE_STATE_DICT));
    }
    require_little_endian(&next_pickle(&mut rest)?)?;
    let object = next_pickle(&mut rest)?;
    let records = torch_objects::state_dict(&object)?;
    let keys = next_pickle(&mut rest)?;
    let storages = read_storages(rest, &keys, &object)?;
    torch_objects::build(&records, &mut Budget::for_file(file.len()), |key| storages.get(key).copied())
}

fn next_pickle(rest: &mut &[u8]) -> Result<Pickle> {
    let pickle = Pickle::read(rest, torch_objects::known)?;
    *rest = &rest[pickle.length..];
    Ok(pickle)
}

fn require_little_endian(system: &Pickle) -> Result<()> {
    let Some(Object::Dict(items)) = system.object(system.root) else {
        return Err(Malformed::new("a description of the system that saved", "something else", DAMAGED));
    };
    let order = items.iter().find(|(key, _)| system.text(*key) == Some("little_endian"));
    match order {
        Some((_, Value::Bool(false))) => Err(big_endian()),
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

fn read_storages<'a>(
    mut rest: &'a [u8],
    keys: &'a Pickle,
    object: &Pickle,
) -> Result<HashMap<&'a str, &'a [u8]>> {
    let Some(Object::List(list)) = keys.object(keys.root) else {
        return Err(Malformed::new("the list of storage keys", "something else", DAMAGED));
    };
    let references = torch_objects::storages(object)?;
    let mut storages = HashMap::new();
    for key in list {
        let key = keys.text(*key).unwrap_or("?");
        let reference = references.get(key).ok_or_else(|| {
            Malformed::new("storages that tensors use", format!("storage `{key}` without one"), DAMAGED)
        })?;
        let count = take(&mut rest, 8, key)?.try_into().map(u64::from_le_bytes).unwrap_or_default();
        if count != reference.count as u64 {
            let expected = format!("{} elements in storage `{key}`", reference.count);
            return Err(Malformed::new(expected, count, DAMAGED));
        }
        let length = reference.count.saturating_mul(reference.element.size());
        storages.insert(key, take(&mut rest, length, key)?);
    }
    Ok(storages)
}

fn take<'a>(rest: &mut &'a [u8], length: usize, key: &str) -> Result<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length).ok_or_else(|| {
        let expected = format!("{length} bytes of storage `{key}`");
        Malformed::new(expected, format!("{} bytes before the file's end", rest.len()), CUT_SHORT)
    })?;
    *rest = after;
    Ok(taken)
}
