//! The bytes of a pickle, taken one operand after the other.

use super::malformed::{CUT_SHORT, Malformed, Result, SAVE_STATE_DICT};
use std::borrow::Cow;

/// A pickle's bytes and how far it has been read.
pub(super) struct Bytes<'a> {
    bytes: &'a [u8],
    /// Whether there were more bytes than a pickle may have.
    cut: bool,
    position: usize,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8], cut: bool) -> Self {
        Self { bytes, cut, position: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How many bytes have been taken.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.position..];
        let taken = rest.get(..length).ok_or_else(|| match self.cut {
            true => {
                let found = format!("a pickle of more than {} KiB", self.bytes.len() >> 10);
                Malformed::new("a state dict", found, SAVE_STATE_DICT)
            }
            false => {
                let found = format!("its end {} bytes too early", length - rest.len());
                Malformed::new("a complete pickle", found, CUT_SHORT)
            }
        })?;
        self.position += length;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// A little-endian unsigned integer of `width` bytes, 8 at most.
    pub(super) fn size(&mut self, width: usize) -> Result<usize> {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(self.take(width)?);
        Ok(usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX))
    }

    /// The text before the next line break.
    pub(super) fn line(&mut self) -> Result<Cow<'a, str>> {
        let rest = &self.bytes[self.position..];
        let length = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        let line = self.take(length)?;
        self.byte()?;
        Ok(String::from_utf8_lossy(line))
    }
}
