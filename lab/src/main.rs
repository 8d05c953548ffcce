//! The command `cargo lab`: sets up, fetches the data, opens JupyterLab, executes notebooks, makes PDFs. The same
//! executable is the notebook kernel.

mod assignment;
mod commands;
mod dataset;
mod executions;
mod grading;
mod json;
mod kernel;
mod locks;
mod machine;
#[cfg(test)]
mod made_up;
mod notebook;
mod parts;
mod progress;
mod project;
mod python;
mod stop;
mod sweep;

use anyhow::Result;
use clap::Parser;
use kernel_helpers::printable::lines;
use std::process::ExitCode;

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("error: {}", lines(format!("{error:#}")));
        ExitCode::FAILURE
    })
}

/// What this process was started for: a kernel's processes are this executable too.
fn run() -> Result<ExitCode> {
    if kernel::cells::is_needed() {
        return kernel::cells::serve().map(|()| ExitCode::SUCCESS);
    }
    if kernel::compile::is_compiler() {
        return kernel::compile::instead_of_rustc();
    }
    // Does not return in the process that runs evcxr's own kernel's cells.
    evcxr::runtime_hook();
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(flag), Some(connection_file)) if flag == "--control_file" => {
            kernel::launch::serve(connection_file.as_ref()).map(|()| ExitCode::SUCCESS)
        }
        _ => commands::run(commands::Cli::parse()),
    }
}
