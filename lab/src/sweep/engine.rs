//! What makes the runs of a sweep.

use super::{Row, Sweep, hyperqueue, local, slurm};
use crate::project::Project;
use anyhow::Result;
use clap::ValueEnum;
use std::path::PathBuf;

/// What makes runs. It need not tell how far it is: that is in the runs' records.
pub trait Engine {
    /// Goes on with runs that an earlier call of the command has left with the engine; returns whether there are any.
    fn resume(&mut self) -> Result<bool>;
    /// Takes runs over.
    fn start(&mut self, rows: &[&Row]) -> Result<()>;
    /// Whether any of them waits or runs.
    fn is_busy(&mut self) -> Result<bool>;
    /// How to end what goes on when this command is ended.
    fn farewell(&self) -> Option<String>;
}

/// The engines by their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// This machine, one run after the other, or as many at once as `threads` leaves room for.
    #[default]
    Local,
    /// HyperQueue, whose server and workers are running.
    #[value(name = "hyperqueue")]
    HyperQueue,
    /// Slurm, as an array of jobs.
    Slurm,
}

impl Kind {
    /// The engine, for this sweep.
    pub fn engine(
        self,
        project: &Project,
        sweep: &Sweep,
        server: Option<PathBuf>,
    ) -> Result<Box<dyn Engine>> {
        Ok(match self {
            Kind::Local => Box::new(local::Local::new(project, sweep)?),
            Kind::HyperQueue => Box::new(hyperqueue::HyperQueue::new(project, sweep, server)?),
            Kind::Slurm => Box::new(slurm::Slurm::new(project, sweep)?),
        })
    }
}
