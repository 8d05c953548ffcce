//! Comparing what a cell has computed with what the helpers compute.

use crate::lab1::{Trajectory, element_name};
use base::units::grouped;
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

    /// What number `at` is, in words.
    fn place(&self, at: usize) -> String {
        format!("number {}", at + 1)
    }
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

/// The losses, then the weights of each step.
impl Numbers for Trajectory {
    fn numbers(&self) -> Result<Vec<f64>> {
        Ok(self.losses.iter().chain(self.weights.iter().flatten()).copied().collect())
    }

    fn place(&self, at: usize) -> String {
        let elements = self.weights.first().map_or(1, Vec::len);
        match at.checked_sub(self.losses.len()) {
            None => format!("the loss after step {at}"),
            Some(at) => format!("{} after step {}", element_name(at % elements), at / elements),
        }
    }
}

/// All parameters and buffers.
impl Numbers for Model {
    fn numbers(&self) -> Result<Vec<f64>> {
        let numbers = tensors(self).map(|(_, var)| var.numbers()).collect::<Result<Vec<_>>>()?;
        Ok(numbers.concat())
    }

    fn place(&self, mut at: usize) -> String {
        for (name, var) in tensors(self) {
            if at < var.elem_count() {
                return format!("number {} of `{name}`", at + 1);
            }
            at -= var.elem_count();
        }
        String::new()
    }
}

fn tensors(net: &Model) -> impl Iterator<Item = (String, Var)> {
    net.named_parameters().into_iter().chain(net.named_buffers())
}

/// How far apart numbers are that differ by rounding alone, as a share of the larger of them and 1.
const ROUNDING: f64 = 1e-5;

/// Says that two things hold the same numbers, to the last digit or up to rounding errors, and which of both.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
/// same_numbers("the sums", &vec![1.0 + 2.0, 1.0], &vec![3.0, 1.0])?; // prints "the sums: the same 2 numbers"
/// same_numbers("the thirds", &vec![0.1 + 0.2], &vec![0.3])?; // "the thirds: the same number, up to rounding (5.6e-17)"
/// let error = same_numbers("the squares", &vec![1.0, 4.0, 8.0], &vec![1.0, 4.0, 9.0]).unwrap_err();
/// assert_eq!(error.to_string(), "the squares: expected 9 as number 3, found 8 (1 of 3 numbers differs)");
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If they do not, with the first number that differs, and how many do.
pub fn same_numbers(what: &str, found: &impl Numbers, expected: &impl Numbers) -> Result<()> {
    let (numbers, others) = (found.numbers()?, expected.numbers()?);
    if numbers.len() != others.len() {
        return Err(Error::argument(what, format!("{} numbers", others.len()), numbers.len()));
    }
    // Two that are not a number are as good as equal here; a zero equals a zero of the other sign.
    let distance =
        |(a, b): (&f64, &f64)| if a == b || (a.is_nan() && b.is_nan()) { 0.0 } else { (a - b).abs() };
    let agree = |(a, b): (&f64, &f64)| distance((a, b)) <= ROUNDING * b.abs().max(1.0);
    let pairs = || numbers.iter().zip(&others);
    if let Some(at) = pairs().position(|pair| !agree(pair)) {
        let differing = pairs().filter(|pair| !agree(*pair)).count();
        let verb = if differing == 1 { "differs" } else { "differ" };
        let how_many = format!("({} of {} numbers {verb})", grouped(differing), grouped(numbers.len()));
        let as_what = format!("{} as {}", others[at] + 0.0, found.place(at));
        return Err(Error::argument(what, as_what, format!("{} {how_many}", numbers[at] + 0.0)));
    }
    let largest = pairs().map(distance).fold(0.0, f64::max);
    let rounding = if largest > 0.0 { format!(", up to rounding ({largest:.1e})") } else { String::new() };
    let same =
        if numbers.len() == 1 { "number".to_owned() } else { format!("{} numbers", grouped(numbers.len())) };
    println!("{what}: the same {same}{rounding}");
    Ok(())
}

/// Says that something holds the numbers that it should, up to a rounding error; `why` helps whoever looks for the mistake.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
/// expect_numbers("the thirds", &vec![0.1 + 0.2], &vec![0.3], "divide by 3")?;
/// let error = expect_numbers("the half of 3", &vec![1.0], &vec![1.5], "do not round").unwrap_err();
/// assert_eq!(error.to_string(), "the half of 3: expected [1.5], found [1]; do not round");
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If it does not; the message has the numbers if they are few, and the first that differs if they are many.
pub fn expect_numbers(what: &str, found: &impl Numbers, expected: &impl Numbers, why: &str) -> Result<()> {
    const FEW: usize = 8;
    let (numbers, others) = (found.numbers()?, expected.numbers()?);
    let agree = |(a, b): (&f64, &f64)| (a - b).abs() <= ROUNDING * b.abs().max(1.0);
    let wrong = match numbers.len() == others.len() {
        true => numbers.iter().zip(&others).position(|pair| !agree(pair)),
        false => Some(0),
    };
    let Some(at) = wrong else { return Ok(()) };
    if numbers.len() <= FEW && others.len() <= FEW {
        return Err(Error::argument(what, list(&others), format!("{}; {why}", list(&numbers))));
    }
    if numbers.len() != others.len() {
        let lengths = (format!("{} numbers", others.len()), format!("{}; {why}", numbers.len()));
        return Err(Error::argument(what, lengths.0, lengths.1));
    }
    let as_what = format!("{} as {}", others[at] + 0.0, found.place(at));
    Err(Error::argument(what, as_what, format!("{}; {why}", numbers[at] + 0.0)))
}

/// The numbers as they are read: a zero has no sign, and what is not a digit of a 32-bit number is left out.
fn list(numbers: &[f64]) -> String {
    let texts: Vec<String> = numbers.iter().map(|&number| (number as f32 + 0.0).to_string()).collect();
    format!("[{}]", texts.join(", "))
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
    fn what_is_not_expected_is_told_with_its_reason() {
        let message = |found: Vec<f64>, expected: Vec<f64>| {
            expect_numbers("W", &found, &expected, "why").err().map(|error| error.to_string())
        };
        assert_eq!(message(vec![1.0 + 1e-9, -0.0], vec![1.0, 0.0]), None);
        assert_eq!(message(vec![f64::NAN], vec![1.0]).unwrap(), "W: expected [1], found [NaN]; why");
        assert_eq!(message(vec![], vec![1.0]).unwrap(), "W: expected [1], found []; why");
        assert_eq!(message(vec![0.0; 9], vec![0.0; 10]).unwrap(), "W: expected 10 numbers, found 9; why");
        let many = message(vec![0.0; 9], vec![0.5; 9]).unwrap();
        assert_eq!(many, "W: expected 0.5 as number 1, found 0; why");
    }

    #[test]
    fn what_differs_is_told() {
        let message = |found: Vec<f64>| same_numbers("W", &found, &vec![1.0, 2.0]).unwrap_err().to_string();
        assert_eq!(message(vec![1.0, 2.5]), "W: expected 2 as number 2, found 2.5 (1 of 2 numbers differs)");
        assert_eq!(message(vec![1.0]), "W: expected 2 numbers, found 1");
        assert_eq!(
            message(vec![f64::NAN, 2.0]),
            "W: expected 1 as number 1, found NaN (1 of 2 numbers differs)"
        );
    }

    #[test]
    fn networks_differ_by_a_single_tensor() {
        let build = || lenet(10).unwrap().build(0, &Device::Cpu).unwrap();
        let (one, other) = (build(), build());
        same_numbers("networks", &one, &other).unwrap();
        let (_, var) = &other.named_parameters()[0];
        var.set(&(var.as_tensor() + 1.0).unwrap()).unwrap();
        let message = same_numbers("networks", &one, &other).unwrap_err().to_string();
        assert!(message.contains("as number 1 of `conv1.weight`, found"), "{message}");
    }

    #[test]
    fn a_trajectory_tells_the_step() {
        let run = |w: f64| Trajectory { losses: vec![0.0; 2], weights: vec![vec![0.0; 2], vec![0.0, w]] };
        let message = same_numbers("projected", &run(0.5), &run(-0.5)).unwrap_err().to_string();
        assert_eq!(
            message,
            "projected: expected -0.5 as W₂ after step 1, found 0.5 (1 of 6 numbers differs)"
        );
        assert_eq!(run(0.5).place(1), "the loss after step 1");
    }
}
