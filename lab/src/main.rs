//! The command `cargo lab`: sets up, fetches the data, opens JupyterLab, executes notebooks, makes PDFs. The same
//! executable is the notebook kernel.

mod commands;
mod dataset;
mod executions;
mod kernel;
mod notebook;
mod project;
mod python;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let relay = kernel::relay::is_needed();
    if !relay {
        kernel::relay::serve_relay();
        // Does not return in the processes that evcxr starts from this executable.
        evcxr::runtime_hook();
    }
    let result = if relay {
        kernel::relay::relay()
    } else if std::env::args().nth(1).as_deref() == Some("--control_file") {
        kernel::launch::serve().map(|()| ExitCode::SUCCESS)
    } else {
        commands::run(commands::Cli::parse())
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
