//! What a run's configuration holds of its optimizer and its schedule.

use super::{AdamW, AdamWConfig, Optimizer, RateSchedule, Sgd, SgdConfig};
use candle_core::Var;
use std::fmt;
use std::sync::Arc;

/// Makes the optimizer of a run from the network's parameters and the configuration's rates. The default is [`Sgd`].
///
/// An [`AdamWConfig`] can be turned into one with `into`, and [`Self::new`] takes an optimizer of one's own.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let heavy = |parameters, rates| Sgd::new(parameters, SgdConfig { momentum: 0.99, ..rates });
/// let config = TrainConfig { optimizer: OptimizerChoice::new(heavy), ..Default::default() };
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// let optimizer = config.optimizer.make(net.named_parameters(), SgdConfig::default());
/// assert_eq!((optimizer.description(), optimizer.learning_rate()), ("SGD".to_owned(), 0.002));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Default)]
pub struct OptimizerChoice(Option<Arc<Make>>);

type Make = dyn Fn(Vec<(String, Var)>, SgdConfig) -> Box<dyn Optimizer> + Send + Sync;

impl OptimizerChoice {
    /// The optimizer that `make` makes. What it takes of the rates is its own affair, but a change of the learning rate
    /// has to reach it by [`Optimizer::set_learning_rate`].
    pub fn new<O: Optimizer + 'static>(
        make: impl Fn(Vec<(String, Var)>, SgdConfig) -> O + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(move |parameters, rates| Box::new(make(parameters, rates)))))
    }

    /// An optimizer of these parameters.
    pub fn make(&self, parameters: Vec<(String, Var)>, rates: SgdConfig) -> Box<dyn Optimizer> {
        match &self.0 {
            Some(make) => make(parameters, rates),
            None => Box::new(Sgd::new(parameters, rates)),
        }
    }

    /// The optimizer's description; `None` for the default.
    pub fn description(&self, parameters: Vec<(String, Var)>, rates: SgdConfig) -> Option<String> {
        self.0.as_ref().map(|make| make(parameters, rates).description())
    }
}

impl From<AdamWConfig> for OptimizerChoice {
    fn from(config: AdamWConfig) -> Self {
        Self::new(move |parameters, SgdConfig { learning_rate, weight_decay, .. }| {
            AdamW::new(parameters, config, learning_rate, weight_decay)
        })
    }
}

impl fmt::Debug for OptimizerChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rates = SgdConfig::default();
        write!(f, "OptimizerChoice({})", self.make(Vec::new(), rates).description())
    }
}

/// A [`RateSchedule`], or by default that of the procedure. Any schedule can be turned into one with `into`.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let config = TrainConfig { schedule: Cosine.into(), ..Default::default() };
/// assert_eq!(format!("{:?}", config.schedule), "ScheduleChoice(cosine)");
/// assert!(ScheduleChoice::default().schedule().is_none());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Default)]
pub struct ScheduleChoice(Option<Arc<dyn RateSchedule>>);

impl ScheduleChoice {
    /// The schedule; `None` for that of the procedure.
    pub fn schedule(&self) -> Option<&dyn RateSchedule> {
        self.0.as_deref()
    }
}

impl<S: RateSchedule + 'static> From<S> for ScheduleChoice {
    fn from(schedule: S) -> Self {
        Self(Some(Arc::new(schedule)))
    }
}

impl fmt::Debug for ScheduleChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let description = self.0.as_ref().map_or("that of the procedure".to_owned(), |one| one.description());
        write!(f, "ScheduleChoice({description})")
    }
}
