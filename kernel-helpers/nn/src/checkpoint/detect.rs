//! What a file is, by its first bytes rather than its name.

use super::malformed::{Malformed, Result, SAVE_STATE_DICT};
use super::safetensors;

/// The forms of checkpoints that can be read.
#[derive(Debug, PartialEq)]
pub(super) enum Form {
    Safetensors,
    TorchZip,
    TorchLegacy,
}

/// How many bytes from a file's start tell its form.
pub(super) const NEEDED: usize = 512;

/// The form of a file that begins with these bytes.
pub(super) fn form(file: &[u8]) -> Result<Form> {
    let again = "Copy or download the file again.";
    let (found, help) = match file {
        _ if safetensors::matches(file) => return Ok(Form::Safetensors),
        [b'P', b'K', 3, 4, ..] => return Ok(Form::TorchZip),
        [0x80, 2..=5, ..] => return Ok(Form::TorchLegacy),
        [] => ("an empty file", again),
        [0xff, 0xd8, 0xff, ..] | [0x89, b'P', b'N', b'G', ..] | [b'G', b'I', b'F', b'8', ..] => {
            ("a picture", again)
        }
        [0x1f, 0x8b, ..] => ("a gzip archive", "Unpack it first."),
        [0x89, b'H', b'D', b'F', ..] => ("an HDF5 file, as Keras saves", SAVE_STATE_DICT),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => ("a NumPy array", SAVE_STATE_DICT),
        _ if file.get(257..262) == Some(b"ustar") => ("a tar archive", "Unpack it first."),
        _ if is_web_page(file) => {
            let help = "The download saved an error or login page instead of the file: download it again.";
            ("a web page (HTML)", help)
        }
        _ if file.starts_with(b"version https://git-lfs") => {
            ("a Git LFS pointer", "Fetch the file with `git lfs pull`.")
        }
        _ if is_text(file) => ("a text file", again),
        _ => ("bytes of an unknown form", again),
    };
    let expected = "a checkpoint (PyTorch's `.pt` or `.safetensors`)";
    Err(Malformed::new(expected, found, help))
}

fn is_web_page(file: &[u8]) -> bool {
    let start = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file).trim_ascii_start();
    let start = start[..start.len().min(14)].to_ascii_lowercase();
    [&b"<!doctype html"[..], b"<html", b"<head", b"<body", b"<?xml"].iter().any(|tag| start.starts_with(tag))
}

fn is_text(file: &[u8]) -> bool {
    let start = &file[..file.len().min(NEEDED)];
    !start.iter().any(|&byte| byte < 0x20 && !byte.is_ascii_whitespace())
        && std::str::from_utf8(start).map_or_else(|error| error.error_len().is_none(), |_| true)
}
