//! How the learning rate changes from epoch to epoch.

/// Tells how the learning rate changes from epoch to epoch.
///
/// ```
/// use kernel_helpers::prelude::*;
/// struct Warmup(usize);
///
/// impl RateSchedule for Warmup {
///     fn factor(&self, epoch: usize, _epochs: usize) -> f64 {
///         ((epoch + 1) as f64 / self.0 as f64).min(1.0)
///     }
///     fn description(&self) -> String {
///         format!("linear warm-up of {} epochs", self.0)
///     }
/// }
///
/// let config = TrainConfig { schedule: Warmup(5).into(), ..Default::default() };
/// assert_eq!(config.schedule.schedule().map(|schedule| schedule.factor(1, 20)), Some(0.4));
/// ```
pub trait RateSchedule: Send + Sync {
    /// The factor on the learning rate in an epoch, counted from 0, of so many.
    fn factor(&self, epoch: usize, epochs: usize) -> f64;

    /// The schedule and its settings in words. It is a part of a run's identity.
    fn description(&self) -> String;
}

/// The same learning rate in all epochs.
///
/// ```
/// use kernel_helpers::prelude::*;
/// assert_eq!([0, 9].map(|epoch| Constant.factor(epoch, 10)), [1.0, 1.0]);
/// ```
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

/// The course's schedule for training from scratch: the whole learning rate, a tenth of it from half of the epochs on,
/// and a hundredth from three quarters on; PyTorch's `MultiStepLR`.
///
/// ```
/// use kernel_helpers::prelude::*;
/// assert_eq!([9, 10, 15].map(|epoch| StepDecay.factor(epoch, 20)), [1.0, 0.1, 0.01]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepDecay;

impl RateSchedule for StepDecay {
    fn factor(&self, epoch: usize, epochs: usize) -> f64 {
        match epoch {
            epoch if epoch < epochs / 2 => 1.0,
            epoch if epoch < epochs * 3 / 4 => 0.1,
            _ => 0.01,
        }
    }

    fn description(&self) -> String {
        "a tenth at half and at three quarters".to_owned()
    }
}

/// Times `factor` every so many epochs; PyTorch's `StepLR`.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let halved = StepEvery { epochs: 30, factor: 0.5 };
/// assert_eq!([29, 30, 60].map(|epoch| halved.factor(epoch, 90)), [1.0, 0.5, 0.25]);
/// ```
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
///
/// ```
/// use kernel_helpers::prelude::*;
/// assert_eq!(Cosine.factor(0, 100), 1.0);
/// assert!((Cosine.factor(50, 100) - 0.5).abs() < 1e-12);
/// ```
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
