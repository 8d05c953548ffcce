//! The sum by which weights are told apart.

use super::StateDict;
use base::digest::hex;
use safetensors::View;
use sha2::{Digest, Sha256};

/// The SHA-256 sum of all names, types, shapes and values of a state dict, as 64 hexadecimal digits.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::{checkpoint::sha256_of_state, state_dict};
///
/// let sum = |seed| -> Result<String> {
///     Ok(sha256_of_state(&state_dict(&lenet(10)?.build(seed, &Device::Cpu)?)?))
/// };
/// assert_eq!(sum(0)?, sum(0)?);
/// assert_ne!(sum(0)?, sum(1)?);
/// # Ok::<(), Error>(())
/// ```
pub fn sha256_of_state(state_dict: &StateDict) -> String {
    let mut sum = Sha256::new();
    for (name, tensor) in state_dict {
        sum.update(format!("{name}\0{:?}\0{:?}\0", tensor.dtype(), tensor.dims()));
        sum.update(tensor.data());
    }
    hex(sum.finalize().as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

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
