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
pub mod loading;
mod lookup;
mod outputs;
mod session;
mod text;
mod wire;

use super::BuildFolder;
use super::pipes::Pipes;
use anyhow::{Context, Result};
use executor::Executor;
use jupyter_protocol::ConnectionInfo;
use outputs::Outputs;
use session::Session;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wire::Ends;

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
    let history = Arc::new(Mutex::default());
    let outputs = Arc::new(Outputs::carry(output, error, wire.clone(), Arc::clone(&history))?);
    let session = Arc::new(Session::new(wire, Arc::clone(&outputs), history, &folder));
    // Clients are answered from here on; cells wait until evcxr is ready.
    ends.serve(connection, Arc::clone(&session) as _)?;
    session.starts();
    let loading = std::thread::spawn({
        let session = Arc::clone(&session);
        move || loading::load(&inherited, &session)
    });
    Executor::new(session, loading, outputs, events, input, folder).run()
}

/// Takes a lock, whatever happened to the thread that held it before: what it guards is replaced as a whole.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
