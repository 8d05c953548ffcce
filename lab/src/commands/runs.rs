//! `cargo lab runs`: what training has left in the checkpoints folder.

use crate::project::Project;
use anyhow::{Result, bail};
use clap::Args;
use kernel_helpers::display::print_line;
use kernel_helpers::paths::checkpoints_dir;
use kernel_helpers::prelude::*;
use std::path::PathBuf;

#[derive(Args)]
/// What `cargo lab runs` can be asked for.
pub struct Options {
    /// The folder to look in, with all folders in it; the checkpoints folder if not given.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Remove this run, by its name in the list; several can be given.
    #[arg(long, value_name = "RUN", num_args = 1..)]
    remove: Vec<PathBuf>,
}

/// Lists the runs, or removes those that are asked for.
pub fn runs(project: &Project, options: &Options) -> Result<()> {
    let folder = options.folder.clone().map_or_else(checkpoints_dir, Ok)?;
    let runs = kept_runs(&folder)?;
    if options.remove.is_empty() {
        let size: u64 = runs.iter().map(|kept| kept.bytes).sum();
        print_line(table_of_runs(&runs, &folder));
        print_line(format_args!(
            "{} runs in {}, {} KB",
            runs.len(),
            project.relative(&folder),
            size.div_ceil(1000)
        ));
        return Ok(());
    }
    let find = |name: &PathBuf| runs.iter().find(|kept| kept.name == folder.join(name));
    if let Some(unknown) = options.remove.iter().find(|name| find(name).is_none()) {
        bail!("there is no run `{}`: `cargo lab runs` lists them", unknown.display());
    }
    for name in &options.remove {
        find(name).expect("found before").remove()?;
        print_line(format_args!("Removed {}", name.display()));
    }
    Ok(())
}
