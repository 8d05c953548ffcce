//! Where a checkpoint is read from: a file or bytes in memory.

use super::malformed::{CUT_SHORT, Malformed, Result};
use std::io::{BufReader, Error, ErrorKind, Read, Seek, SeekFrom};

/// What the readers read from; bytes are fetched as they are needed, and the file is never in memory as a whole.
pub(super) type Input<'a> = BufReader<&'a mut dyn ReadSeek>;

/// A file, or a cursor over bytes.
pub(super) trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

/// How many bytes there are, from the first one.
pub(super) fn length(input: &mut Input<'_>) -> Result<u64> {
    Ok(input.seek(SeekFrom::End(0))?)
}

/// Up to `count` bytes from `start`, fewer if the file ends before.
pub(super) fn bytes_at(input: &mut Input<'_>, start: u64, count: usize) -> Result<Vec<u8>> {
    let available = length(input)?.saturating_sub(start);
    input.seek(SeekFrom::Start(start))?;
    let mut bytes = vec![0; usize::try_from(available).map_or(count, |available| available.min(count))];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

impl From<Error> for Malformed {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof => {
                Malformed::new("a complete checkpoint", "its end too early", CUT_SHORT)
            }
            _ => Malformed::new("a readable checkpoint", error, "Check the disk, and copy the file again."),
        }
    }
}
