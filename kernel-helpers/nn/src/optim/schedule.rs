//! How the learning rate changes from epoch to epoch.

/// Tells how the learning rate changes from epoch to epoch.
pub trait RateSchedule: Send + Sync {
    /// The factor on the learning rate in an epoch, counted from 0, of so many.
    fn factor(&self, epoch: usize, epochs: usize) -> f64;

    /// The schedule and its settings in words. It is a part of a run's identity.
    fn description(&self) -> String;
}

/// The same learning rate in all epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Constant;

impl RateSchedule for Constant {
    fn factor(&self, _epoch: usize, _epochs: usize) -> f64 {
        1.0
    }

    fn description(&self) -> String {
        "constant".to_owned()
    }
}

/// The course's schedule for training from scratch: a tenth from half of the epochs on, a hundredth from three quarters on,
/// see [`step_decay`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepDecay;

impl RateSchedule for StepDecay {
    fn factor(&self, epoch: usize, epochs: usize) -> f64 {
        step_decay(epoch, epochs)
    }

    fn description(&self) -> String {
        "a tenth at half and at three quarters".to_owned()
    }
}

/// The factor on the learning rate in an epoch counted from 0: 1, 0.1 from half of the epochs on, 0.01 from three
/// quarters on; PyTorch's `MultiStepLR`.
pub fn step_decay(epoch: usize, epochs: usize) -> f64 {
    match epoch {
        epoch if epoch < epochs / 2 => 1.0,
        epoch if epoch < epochs * 3 / 4 => 0.1,
        _ => 0.01,
    }
}

/// Times `factor` every so many epochs; PyTorch's `StepLR`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepEvery {
    /// After how many epochs; 0 counts as 1.
    pub epochs: usize,
    /// The factor, PyTorch's `gamma`.
    pub factor: f64,
}

impl RateSchedule for StepEvery {
    fn factor(&self, epoch: usize, _epochs: usize) -> f64 {
        self.factor.powf((epoch / self.epochs.max(1)) as f64)
    }

    fn description(&self) -> String {
        format!("times {} every {} epochs", self.factor, self.epochs)
    }
}

/// Along half a cosine from the whole learning rate towards zero (Loshchilov and Hutter, 2017); PyTorch's
/// `CosineAnnealingLR` over all epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cosine;

impl RateSchedule for Cosine {
    fn factor(&self, epoch: usize, epochs: usize) -> f64 {
        (1.0 + (std::f64::consts::PI * epoch as f64 / epochs.max(1) as f64).cos()) / 2.0
    }

    fn description(&self) -> String {
        "cosine".to_owned()
    }
}
