//! The end of a zip archive, which says how much its directory takes: read before anything is allocated for it.

use super::budget::{Budget, longest_description};
use super::input::{Input, bytes_at, length};
use super::malformed::{CUT_SHORT, DAMAGED, Malformed, Result};

const END: &[u8] = b"PK\x05\x06";
const END_LENGTH: usize = 22;
const LONGEST_COMMENT: usize = 0xffff;
const LOCATOR: &[u8] = b"PK\x06\x07";
const LOCATOR_LENGTH: usize = 20;
const LARGE_END_LENGTH: usize = 56;

/// What an entry of the directory takes in memory besides its own bytes, and each of these.
const ENTRY: usize = 512;
const BYTE: usize = 5;

/// Refuses an archive whose directory would take much more memory than PyTorch's do, where there is an entry for each
/// storage; takes the others off the budget.
pub(super) fn check_directory(input: &mut Input<'_>, budget: &mut Budget) -> Result<()> {
    let file_length = length(input)?;
    let tail_length = END_LENGTH + LONGEST_COMMENT;
    let tail_start = file_length.saturating_sub(tail_length as u64);
    let tail = bytes_at(input, tail_start, tail_length)?;
    let mut ends = tail.windows(END.len()).enumerate().filter(|(_, bytes)| *bytes == END);
    let (Some((at, _)), None) = (ends.next(), ends.next()) else {
        return Err(Malformed::new("a complete zip archive", "one without its end", CUT_SHORT));
    };
    let end = tail.get(at..at + END_LENGTH).ok_or_else(damaged)?;
    let end_position = tail_start + at as u64;
    let (entries, size, start) = (number(&end[10..12]), number(&end[12..16]), number(&end[16..20]));
    let is_large = entries == 0xffff || size == 0xffff_ffff || start == 0xffff_ffff;
    let large = large(input, end_position)?;
    let [entries, size, start] = large.filter(|_| is_large).unwrap_or([entries, size, start]);
    let bytes = end_position.checked_sub(start).ok_or_else(damaged)?;
    let behind = if large.is_some() { LARGE_END_LENGTH + LOCATOR_LENGTH } else { 0 };
    if bytes != size.saturating_add(behind as u64) {
        return Err(damaged());
    }
    let most = longest_description(file_length) as u64;
    if entries > most / 64 || bytes > most {
        let found = format!("one with {entries} entries in a directory of {bytes} bytes");
        return Err(Malformed::new("PyTorch's zip archive", found, DAMAGED));
    }
    budget.spend(ENTRY * entries as usize + BYTE * bytes as usize)
}

/// The number of entries, the directory's size and its start in an archive of the kind for large ones (ZIP64), as those
/// of PyTorch are, large or not; none if it is of the other kind.
fn large(input: &mut Input<'_>, end: u64) -> Result<Option<[u64; 3]>> {
    let Some(locator_position) = end.checked_sub(LOCATOR_LENGTH as u64) else { return Ok(None) };
    let locator = bytes_at(input, locator_position, LOCATOR_LENGTH)?;
    if !locator.starts_with(LOCATOR) {
        return Ok(None);
    }
    let position = number(&locator[8..16]);
    if position.checked_add(LARGE_END_LENGTH as u64) != Some(locator_position) {
        return Err(damaged());
    }
    let record = bytes_at(input, position, LARGE_END_LENGTH)?;
    Ok(Some([&record[32..40], &record[40..48], &record[48..56]].map(number)))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn damaged() -> Malformed {
    Malformed::new("a complete zip archive", "one whose end contradicts itself", DAMAGED)
}
