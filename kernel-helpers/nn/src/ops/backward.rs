//! Gradients by variables that do not pass through candle's graph.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};
use std::cell::RefCell;

/// Variables with gradients.
type Handed = Vec<(Tensor, Tensor)>;

thread_local! {
    /// What the [`backward`] that this thread is in has been handed; none outside of one.
    static HANDED: RefCell<Option<Handed>> = const { RefCell::new(None) };
}

/// The gradients of a loss, as [`Tensor::backward`] gives them, in less time: for each gradient that an operation of a
/// graph gives, candle fills a tensor with zeros and adds the gradient to it. Networks hand the gradients by their
/// variables over instead.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let net = mlp(10)?.build(0, &Device::Cpu)?;
/// let images = randn(0f32, 1., (4, 1, 28, 28), &mut ChaCha8Rng::seed_from_u64(0), &Device::Cpu)?;
/// let loss = net.forward_t(&images, true)?.sqr()?.mean_all()?;
/// let (_, weight) = &net.named_parameters()[0];
/// let by_weight = ops::backward(&loss)?.get(weight).unwrap().flatten_all()?.to_vec1::<f32>()?;
/// assert_eq!(by_weight, loss.backward()?.get(weight).unwrap().flatten_all()?.to_vec1::<f32>()?);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If a tensor operation fails.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let outer = Outer(HANDED.replace(Some(Vec::new())));
    let gradients = loss.backward();
    let handed = HANDED.take().unwrap_or_default();
    drop(outer);
    let mut gradients = gradients?;
    for (variable, gradient) in handed {
        let sum = match gradients.remove(&variable) {
            Some(others) => (others + gradient)?,
            None => gradient,
        };
        gradients.insert(&variable, sum);
    }
    Ok(gradients)
}

/// What an outer [`backward`] on this thread has been handed, which it has again when this is dropped.
struct Outer(Option<Handed>);

impl Drop for Outer {
    fn drop(&mut self) {
        HANDED.set(self.0.take());
    }
}

/// Adds a gradient to those of the [`backward`] that this thread is in. It comes back if there is none, or the tensor is not a
/// variable: then it has to go through the graph.
pub(crate) fn hand_over(variable: &Tensor, gradient: Tensor) -> Option<Tensor> {
    HANDED.with_borrow_mut(|handed| match handed {
        Some(handed) if variable.is_variable() => {
            handed.push((variable.clone(), gradient));
            None
        }
        _ => Some(gradient),
    })
}
