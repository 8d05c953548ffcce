//! Learning from another network.

use base::{Error, Result};
use candle_core::{D, Tensor, TensorId};
use candle_nn::ops::log_softmax;
use nn::checkpoint::sha256_of_state;
use nn::{Network, ops, state_dict};
use std::fmt;
use std::sync::Arc;

type Teacher = dyn Fn(&Tensor) -> candle_core::Result<Tensor> + Send + Sync;

/// Knowledge distillation (Hinton, Vinyals and Dean, 2015): a network learns from the labels `y` and from what another
/// one, the teacher, says of the same images. With the logits `z` and those of the teacher `t`, both `[N, K]`, the loss
/// is `(1 - w) · CE(z, y) + w · T² · KL(softmax(t / T) ‖ softmax(z / T))`, the mean over the images.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// let graph = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?;
/// let teacher = graph.clone().build(0, &Device::Cpu)?;
/// let net = graph.build(1, &Device::Cpu)?.quantized(|_| Lsq { n_bits: 2, per_channel: true })?;
/// let distillation = Some(Distillation::from(teacher)?.with(2.0, 0.5));
/// let history = finetune(&net, &data, &TrainConfig { epochs: 2, distillation, ..Default::default() })?;
/// assert!(history.epochs[1].train_loss < history.epochs[0].train_loss);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Distillation {
    /// The temperature T; 4 unless it is changed.
    pub temperature: f64,
    /// The share w of the loss that the teacher has, from 0 to 1; 0.7 unless it is changed.
    pub weight: f64,
    teacher: Arc<Teacher>,
    /// The teacher's tensors, none of which may be the student's.
    tensors: Arc<[TensorId]>,
    /// What the teacher is: its description and the sum of its state.
    identity: Arc<str>,
}

impl Distillation {
    /// From this network as it is now, in evaluation mode.
    ///
    /// # Errors
    /// If the network's tensors cannot be copied.
    pub fn from<N: Network + Send + Sync + 'static>(teacher: N) -> Result<Self> {
        let described = teacher.description().unwrap_or_else(|| "a network".to_owned());
        let sum = sha256_of_state(&state_dict(&teacher)?);
        let named = teacher.named_parameters().into_iter().chain(teacher.named_buffers());
        Ok(Self {
            temperature: 4.0,
            weight: 0.7,
            tensors: named.map(|(_, var)| var.id()).collect(),
            identity: format!("{described} with the state {}", &sum[..16]).into(),
            teacher: Arc::new(move |images| teacher.forward_t(images, false)),
        })
    }

    /// The same with another temperature and another share of the loss.
    pub fn with(self, temperature: f64, weight: f64) -> Self {
        Self { temperature, weight, ..self }
    }

    /// Refuses settings that are no settings, and a teacher that would change with the student.
    pub(super) fn check<N: Network>(&self, student: &N) -> Result<()> {
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Err(Error::argument("temperature", "a number above 0", self.temperature));
        }
        if !(0.0..=1.0).contains(&self.weight) {
            return Err(Error::argument("weight", "0 to 1", self.weight));
        }
        match student.named_parameters().iter().find(|(_, var)| self.tensors.contains(&var.id())) {
            Some((name, _)) => {
                let expected = "a network with tensors of its own, such as one built anew from the same file";
                Err(Error::argument(
                    "the teacher",
                    expected,
                    format!("one that shares `{name}` with the student"),
                ))
            }
            None => Ok(()),
        }
    }

    /// The loss of logits `[N, K]` for images `[N, C, H, W]` with labels `[N]`.
    pub(super) fn loss(&self, images: &Tensor, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let log_probabilities = |logits: &Tensor| log_softmax(&(logits / self.temperature)?, D::Minus1);
        let taught = log_probabilities(&(self.teacher)(images)?.detach())?;
        let learned = log_probabilities(logits)?;
        let divergence = (taught.exp()? * (taught - learned)?)?.sum(D::Minus1)?.mean(0)?;
        let from_teacher = (divergence * (self.weight * self.temperature * self.temperature))?;
        Ok(((ops::cross_entropy(logits, labels)? * (1.0 - self.weight))? + from_teacher)?)
    }
}

impl fmt::Display for Distillation {
    /// In words, as a part of a run's identity.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "weight {}, temperature {}, from {}", self.weight, self.temperature, self.identity)
    }
}

impl fmt::Debug for Distillation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Distillation({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};
    use candle_nn::ModuleT;
    use nn::graph::Graph;

    fn net(seed: u64) -> nn::graph::Model {
        Graph::new("line", [1, 1, 4], |x| x.global_average_pool().linear(3))
            .unwrap()
            .build(seed, &Device::Cpu)
            .unwrap()
    }

    #[test]
    fn the_loss_and_its_gradient_are_the_papers() {
        let distillation =
            Distillation { temperature: 2.0, weight: 0.25, ..Distillation::from(net(3)).unwrap() };
        let images =
            Tensor::new(&[[[[1f32, 2.0, 3.0, 4.0]]], [[[0.5, -1.0, 2.0, 0.0]]]], &Device::Cpu).unwrap();
        let labels = Tensor::new(&[2u32, 0], &Device::Cpu).unwrap();
        let logits = Var::new(&[[0.5f32, -1.0, 2.0], [1.5, 0.25, -0.5]], &Device::Cpu).unwrap();
        let taught: Vec<Vec<f32>> = net(3).forward_t(&images, false).unwrap().to_vec2().unwrap();
        let softmax = |z: &[f32], t: f64| -> Vec<f64> {
            let powers: Vec<f64> = z.iter().map(|z| (f64::from(*z) / t).exp()).collect();
            powers.iter().map(|power| power / powers.iter().sum::<f64>()).collect()
        };
        let student: Vec<Vec<f32>> = logits.to_vec2().unwrap();
        let (mut expected, mut gradient) = (0.0, Vec::new());
        for ((z, t), label) in student.iter().zip(&taught).zip([2usize, 0]) {
            let (hard, soft, target) = (softmax(z, 1.0), softmax(z, 2.0), softmax(t, 2.0));
            let divergence: f64 = target.iter().zip(&soft).map(|(p, q)| p * (p / q).ln()).sum();
            expected += (0.75 * -hard[label].ln() + 0.25 * 4.0 * divergence) / 2.0;
            let at = |class: usize| {
                let hit = f64::from(u8::from(class == label));
                (0.75 * (hard[class] - hit) + 0.25 * 2.0 * (soft[class] - target[class])) / 2.0
            };
            gradient.extend((0..3).map(at));
        }
        let loss = distillation.loss(&images, &logits, &labels).unwrap();
        assert!((f64::from(loss.to_scalar::<f32>().unwrap()) - expected).abs() < 1e-6);
        let gradients = ops::backward(&loss).unwrap();
        let found: Vec<f32> = gradients.get(&logits).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert!(
            found.iter().zip(&gradient).all(|(found, expected)| (f64::from(*found) - expected).abs() < 1e-6)
        );
    }

    #[test]
    fn a_teacher_that_is_the_student_is_refused() {
        let student = net(1);
        let teacher = student.clone();
        let error = Distillation::from(teacher).unwrap().check(&student).unwrap_err().to_string();
        assert!(
            error.contains("found one that shares `") && error.ends_with("` with the student"),
            "{error}"
        );
        let distillation = Distillation::from(net(2)).unwrap();
        assert!(distillation.check(&student).is_ok());
        assert!(Distillation { temperature: 0.0, ..distillation.clone() }.check(&student).is_err());
        assert!(Distillation { weight: 1.5, ..distillation }.check(&student).is_err());
    }
}
