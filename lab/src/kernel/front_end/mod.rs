//! The kernel as Jupyter meets it.
//!
//! Four threads share the work. [`wire`] holds the sockets. [`executor`] has the cells compiled by evcxr, one after the
//! other, and waits for each to end. [`outputs`] carries what cells print. [`lookup`] answers completions and inspections, also
//! while a cell runs: evcxr believes that a cell has ended as soon as it runs, and is free then.

mod blocks;
mod button;
mod completeness;
mod errors;
mod executor;
mod history;
mod input;
mod lookup;
mod outputs;
mod session;
mod text;
mod wire;

use super::BuildFolder;
use super::pipes::{INHERITED, Inherited, Pipes};
use anyhow::{Context, Result};
use evcxr::{CommandContext, EvalContext};
use executor::Executor;
use jupyter_protocol::ConnectionInfo;
use outputs::Outputs;
use session::Session;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wire::Ends;

/// Loads the helpers and the prelude.
const LOAD: &str = ":load_config --quiet";

/// evcxr, for the threads that ask it.
type Evcxr = Arc<Mutex<CommandContext>>;

/// Serves the clients of a connection file until one of them ends the kernel.
pub fn serve(connection_file: &Path) -> Result<()> {
    let connection = std::fs::read(connection_file)
        .with_context(|| format!("could not read {}", connection_file.display()))?;
    let connection: ConnectionInfo = serde_json::from_slice(&connection)
        .with_context(|| format!("{} is not a connection file of Jupyter's", connection_file.display()))?;
    let folder = BuildFolder::of_this_kernel()?;
    let Pipes { output, error, events, input, inherited, cells_ends: _open } = Pipes::new()?;
    let ends = Ends::new();
    let wire = ends.wire.clone();
    let outputs = Arc::new(Outputs::carry(output, error, wire.clone())?);
    let session = Arc::new(Session::new(wire, Arc::clone(&outputs), &folder));
    // Clients are answered from here on; cells wait until evcxr is ready.
    ends.serve(connection, Arc::clone(&session) as _)?;
    session.starts();
    let evcxr = match start_evcxr(&inherited) {
        Ok(evcxr) => evcxr,
        Err(error) => return session.explain_to_all(&error),
    };
    lookup::answer(Arc::clone(&session), Arc::clone(&evcxr));
    Executor::new(session, evcxr, outputs, events, input, folder)?.run()
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

/// Takes a lock, whatever happened to the thread that held it before: what it guards is replaced as a whole.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
