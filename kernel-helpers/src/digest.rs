//! SHA-256 sums, by which runs, data and weights are told apart.

use crate::checkpoint::StateDict;
use crate::{Error, Result};
use safetensors::View;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The sum of some bytes, as 64 hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice())
}

/// The sum of a file's bytes, as `sha256sum` prints it.
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

/// The sum of all names, types, shapes and values of a state dict.
pub fn sha256_of_state(state_dict: &StateDict) -> String {
    let mut sum = Sha256::new();
    for (name, tensor) in state_dict {
        sum.update(format!("{name}\0{:?}\0{:?}\0", tensor.dtype(), tensor.dims()));
        sum.update(tensor.data());
    }
    hex(sum.finalize().as_slice())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    #[test]
    fn the_sum_is_the_standards() {
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), sum);
    }

    #[test]
    fn names_shapes_and_every_bit_count() {
        let state = |name: &str, values: &[f32], shape: (usize, usize)| {
            let tensor = Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
            sha256_of_state(&StateDict::from([(name.to_owned(), tensor)]))
        };
        let sum = state("a", &[1.0, 0.0], (1, 2));
        assert_eq!(sum, state("a", &[1.0, 0.0], (1, 2)));
        let others = [state("b", &[1.0, 0.0], (1, 2)), state("a", &[1.0, 0.0], (2, 1))];
        assert!(!others.contains(&sum) && sum != state("a", &[1.0, -0.0], (1, 2)));
    }
}
