//! Comparing what a cell has computed with what the helpers compute.

use crate::lab1::Trajectory;
use base::{Error, Result};
use candle_core::{DType, Tensor, Var};
use nn::Network;
use nn::graph::Model;

/// Anything made of numbers.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
/// use kernel_helpers::prelude::*;
/// let run = Trajectory { losses: vec![4.0, 1.0], weights: vec![vec![0.0], vec![1.0]] };
/// assert_eq!(run.numbers()?, [4.0, 1.0, 0.0, 1.0]);
/// assert_eq!(Tensor::new(&[[0.5f32], [2.0]], &Device::Cpu)?.numbers()?, [0.5, 2.0]);
/// # Ok::<(), Error>(())
/// ```
pub trait Numbers {
    /// All of them, in the order in which they are stored.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn numbers(&self) -> Result<Vec<f64>>;
}

impl Numbers for Tensor {
    fn numbers(&self) -> Result<Vec<f64>> {
        Ok(self.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
    }
}

impl Numbers for Var {
    fn numbers(&self) -> Result<Vec<f64>> {
        self.as_tensor().numbers()
    }
}

impl Numbers for Vec<f64> {
    fn numbers(&self) -> Result<Vec<f64>> {
        Ok(self.clone())
    }
}

impl<const N: usize> Numbers for [f64; N] {
    fn numbers(&self) -> Result<Vec<f64>> {
        Ok(self.to_vec())
    }
}

impl Numbers for f64 {
    fn numbers(&self) -> Result<Vec<f64>> {
        Ok(vec![*self])
    }
}

/// The losses, then the weights of each step.
impl Numbers for Trajectory {
    fn numbers(&self) -> Result<Vec<f64>> {
        Ok(self.losses.iter().chain(self.weights.iter().flatten()).copied().collect())
    }
}

/// All parameters and buffers.
impl Numbers for Model {
    fn numbers(&self) -> Result<Vec<f64>> {
        let tensors = self.named_parameters().into_iter().chain(self.named_buffers());
        let numbers = tensors.map(|(_, var)| var.numbers()).collect::<Result<Vec<_>>>()?;
        Ok(numbers.concat())
    }
}

/// Says that two things hold the same numbers, to the last digit.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
/// same_numbers("the sum", &(1.0 + 2.0), &3.0)?; // prints "the sum: the same number"
/// let error = same_numbers("the squares", &vec![1.0, 4.0, 8.0], &vec![1.0, 4.0, 9.0]).unwrap_err();
/// assert_eq!(error.to_string(), "the squares: expected 9 as number 3 of 3, found 8");
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If they do not, with the first number that differs.
pub fn same_numbers(what: &str, found: &impl Numbers, expected: &impl Numbers) -> Result<()> {
    let (found, expected) = (found.numbers()?, expected.numbers()?);
    if found.len() != expected.len() {
        return Err(Error::argument(what, format!("{} numbers", expected.len()), found.len()));
    }
    // Two that are not a number are as good as equal here; a zero equals a zero of the other sign.
    let differs = |(a, b): (&f64, &f64)| a != b && !(a.is_nan() && b.is_nan());
    if let Some(at) = found.iter().zip(&expected).position(differs) {
        let expected = format!("{} as number {} of {}", expected[at], at + 1, expected.len());
        return Err(Error::argument(what, expected, found[at]));
    }
    match found.len() {
        1 => println!("{what}: the same number"),
        count => println!("{what}: the same {count} numbers"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use nn::models::lenet;

    #[test]
    fn equal_numbers_pass_whatever_holds_them() {
        let tensor = Tensor::new(&[1f32, -0.0, f32::NAN], &Device::Cpu).unwrap();
        same_numbers("values", &tensor, &vec![1.0, 0.0, f64::NAN]).unwrap();
    }

    #[test]
    fn what_differs_is_told() {
        let message = |found: Vec<f64>| same_numbers("W", &found, &vec![1.0, 2.0]).unwrap_err().to_string();
        assert_eq!(message(vec![1.0, 2.5]), "W: expected 2 as number 2 of 2, found 2.5");
        assert_eq!(message(vec![1.0]), "W: expected 2 numbers, found 1");
        assert_eq!(message(vec![f64::NAN, 2.0]), "W: expected 1 as number 1 of 2, found NaN");
    }

    #[test]
    fn networks_differ_by_a_statistic_alone() {
        let build = || lenet(10).unwrap().build(0, &Device::Cpu).unwrap();
        let (one, other) = (build(), build());
        same_numbers("networks", &one, &other).unwrap();
        let (_, var) = &other.named_parameters()[0];
        var.set(&(var.as_tensor() + 1.0).unwrap()).unwrap();
        assert!(same_numbers("networks", &one, &other).is_err());
    }
}
