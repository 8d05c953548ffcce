//! `cargo lab sweep`: many runs from one description.

use super::{data, record_of};
use crate::project::Project;
use crate::sweep::engine::Kind;
use crate::sweep::{Sweep, last_words, watch};
use anyhow::{Context, Result};
use clap::Args;
use kernel_helpers::display::print_line;
use kernel_helpers::files::write_whole;
use kernel_helpers::paths::checkpoints_dir;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
/// What `cargo lab sweep` can be asked for.
pub struct Options {
    /// The description, such as `lab/sweeps/bits-and-zeros.toml`: a command with names in braces, and the values of each.
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    /// What makes the runs.
    #[arg(long, value_enum, default_value_t)]
    engine: Kind,
    /// The folder of HyperQueue's server, if not the usual one.
    #[arg(long, value_name = "FOLDER")]
    server: Option<PathBuf>,
    /// Only list the commands of the runs that are not finished, one a line, for an engine of your own.
    #[arg(long)]
    list: bool,
}

/// Makes the runs that are not finished, and shows and keeps what all have come to.
pub fn sweep(project: &Project, options: &Options) -> Result<ExitCode> {
    let sweep = Sweep::read(project, &options.file, record_of)?;
    if options.list {
        for row in sweep.unfinished() {
            print_line(row.command.join(" "));
        }
        return Ok(ExitCode::SUCCESS);
    }
    // Once for all, before they come for it at the same time.
    data::ensure(project)?;
    make(project, &sweep, options)?;
    let unfinished = sweep.unfinished();
    for row in &unfinished {
        eprintln!("{}: not finished: {}", row.name, last_words(project, &sweep, row)?);
    }
    if unfinished.len() < sweep.rows.len() {
        report(project, &sweep)?;
    }
    if unfinished.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("The same command makes what is not finished.");
    Ok(ExitCode::FAILURE)
}

fn make(project: &Project, sweep: &Sweep, options: &Options) -> Result<()> {
    if sweep.unfinished().is_empty() {
        return Ok(());
    }
    let mut engine = options.engine.engine(project, sweep, options.server.clone())?;
    if engine.resume()? {
        watch(project, sweep, &mut *engine)?;
    }
    let rows = sweep.unfinished();
    if rows.is_empty() {
        return Ok(());
    }
    engine.start(&rows)?;
    if let Some(how_to_end) = engine.farewell() {
        eprintln!("It goes on if this command is ended, and the same command shows it again; {how_to_end}.");
    }
    watch(project, sweep, &mut *engine)
}

/// Shows the results, and writes them and their plot to the checkpoints folder.
fn report(project: &Project, sweep: &Sweep) -> Result<()> {
    let results = sweep.results()?;
    let folder = checkpoints_dir()?.join("sweeps");
    std::fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    let file = folder.join(format!("{}.json", sweep.name));
    write_whole(&file, serde_json::to_string_pretty(&results)?.as_bytes())?;
    print_line(&results);
    let plot = file.with_extension("png");
    results.plot().draw()?.save(&plot)?;
    print_line(format_args!("{}\n{}", project.relative(&file), project.relative(&plot)));
    Ok(())
}
