//! SHA-256 sums, by which runs, data and weights are told apart.

use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The sum of some bytes, as 64 hexadecimal digits.
///
/// ```
/// use kernel_helpers::digest::sha256;
///
/// assert!(sha256(b"abc").starts_with("ba7816bf") && sha256(b"abc").len() == 64);
/// ```
pub fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice())
}

/// The sum of a file's bytes, as `sha256sum` prints it.
///
/// ```
/// use kernel_helpers::digest::{sha256, sha256_of_file};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("weights.safetensors");
/// std::fs::write(&path, b"abc").unwrap();
/// assert_eq!(sha256_of_file(&path)?, sha256(b"abc"));
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If the file cannot be read.
pub fn sha256_of_file(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let read = || {
        let (mut file, mut sum, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 1 << 18]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hex(sum.finalize().as_slice())),
                count => sum.update(&buffer[..count]),
            }
        }
    };
    read().map_err(|e| Error::io(path, e, "Check the file's permissions."))
}

/// Bytes in hexadecimal digits.
///
/// ```
/// assert_eq!(kernel_helpers::digest::hex(&[0, 10, 255]), "000aff");
/// ```
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_standards() {
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), sum);
    }
}
