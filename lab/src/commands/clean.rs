//! `cargo lab clean`: what takes how much of the disk, and its removal.

use crate::kernel::copy;
use crate::parts::{Part, parts};
use crate::project::Project;
use anyhow::{Result, bail, ensure};
use clap::Args;
use kernel_helpers::base::units::bytes;
use kernel_helpers::display::print_line;
use kernel_helpers::table::Table;

#[derive(Args)]
/// What `cargo lab clean` can be asked for.
pub struct Options {
    /// The parts to remove, by their names in the list.
    #[arg(value_name = "PART")]
    parts: Vec<String>,
}

/// Lists the parts, or removes those that are asked for.
pub fn clean(project: &Project, options: &Options) -> Result<()> {
    let parts = parts(project)?;
    if options.parts.is_empty() {
        print_line(table(&parts));
        print_line(
            "`cargo lab clean PART` removes a part. Notebooks, recorded runs and course/ are never touched.",
        );
        return Ok(());
    }
    let find = |name: &String| parts.iter().find(|part| part.name == name);
    if let Some(unknown) = options.parts.iter().find(|name| find(name).is_none()) {
        let names: Vec<&str> = parts.iter().map(|part| part.name).collect();
        bail!("there is no part `{unknown}`; there are {}", names.join(", "));
    }
    for part in options.parts.iter().filter_map(find) {
        if ["kernel", "compiled", "packages"].contains(&part.name) {
            let running = copy::count_running(project)?;
            ensure!(
                running == 0,
                "{running} notebooks are open, which need `{}`: shut their kernels down",
                part.name
            );
        }
        let size = part.bytes();
        part.remove()?;
        print_line(format_args!("Removed {}, {}: {}.", part.name, bytes(size as usize), part.again));
    }
    Ok(())
}

fn table(parts: &[Part]) -> Table {
    let rows = parts.iter().map(|part| {
        [part.name.to_owned(), bytes(part.bytes() as usize), part.what.to_owned(), part.again.to_owned()]
    });
    Table::new(["part", "size", "what it is", "what brings it back"]).rows(rows)
}
