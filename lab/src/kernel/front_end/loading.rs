//! Gets evcxr ready while clients are answered already.

use super::errors::CellError;
use super::lock;
use super::lookup;
use super::session::Session;
use crate::kernel::pipes::{INHERITED, Inherited};
use anyhow::{Context, Result};
use evcxr::{CommandContext, EvalContext};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Loads the helpers and the prelude.
pub const LOAD: &str = ":load_config --quiet";

/// evcxr, for the threads that ask it.
pub type Evcxr = Arc<Mutex<CommandContext>>;

/// By this, rust-analyzer learns the helpers' types, which takes it half a second, before a cell needs them. It leaves a
/// variable with nothing in it, as to drop the tensor would take evcxr one more attempt at compiling.
pub const LEARN: &str = "let _learned = Tensor::zeros(1, DType::F32, &Device::Cpu)?; let _learned = ();";

/// Gets evcxr ready, and answers lookups from then on.
pub fn load(pipes: &Inherited, session: &Arc<Session>) -> Result<Evcxr> {
    let evcxr = start_evcxr(pipes)?;
    session.process.set(lock(&evcxr).process_handle()).ok().context("there is one process at a time")?;
    lookup::answer(Arc::clone(session), Arc::clone(&evcxr));
    if session.is_idle() && !session.has_learned.swap(true, Ordering::Relaxed) {
        // Of no use if it fails.
        let _ = lock(&evcxr).execute(LEARN);
    }
    Ok(evcxr)
}

/// evcxr with the helpers and the prelude loaded, whose cells have these pipes.
pub fn start_evcxr(pipes: &Inherited) -> Result<Evcxr> {
    let mut cells = Command::new(std::env::current_exe()?);
    cells.env(INHERITED, pipes.to_variable());
    // What cells print does not come through evcxr, and it prints nothing itself.
    let (context, _) = EvalContext::with_subprocess_command(cells)?;
    let mut context = CommandContext::with_eval_context(context);
    context.execute(LOAD)?;
    Ok(Arc::new(Mutex::new(context)))
}

/// evcxr on its way.
pub enum Loading {
    /// A thread loads it.
    Begun(Option<JoinHandle<Result<Evcxr>>>),
    /// It is there.
    Done(Evcxr),
    /// It could not be loaded.
    Failed(CellError),
}

impl Loading {
    /// The end of a thread's [`load`].
    pub fn by(thread: JoinHandle<Result<Evcxr>>) -> Self {
        Loading::Begun(Some(thread))
    }

    /// evcxr, after [`Self::wait`].
    ///
    /// # Panics
    /// If it was not waited for, or in vain.
    pub fn done(&self) -> &Evcxr {
        match self {
            Loading::Done(evcxr) => evcxr,
            _ => panic!("a cell waits until evcxr is loaded"),
        }
    }

    /// Returns when evcxr is there, or the reason why it is not.
    pub fn wait(&mut self) -> Result<(), CellError> {
        if let Loading::Begun(thread) = self {
            let loaded = thread.take().map(JoinHandle::join);
            *self = match loaded {
                Some(Ok(Ok(evcxr))) => Loading::Done(evcxr),
                Some(Ok(Err(error))) => {
                    Loading::Failed(CellError::new("KernelNotReady", format!("{error:#}")))
                }
                _ => Loading::Failed(CellError::new(
                    "KernelNotReady",
                    "evcxr panicked while it was loaded".to_owned(),
                )),
            };
        }
        match self {
            Loading::Failed(error) => Err(error.clone()),
            _ => Ok(()),
        }
    }
}
