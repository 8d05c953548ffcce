//! The progress of a sweep, as its records and logs tell it.

use super::engine::Engine;
use super::{Row, Sweep, folder, local};
use crate::project::Project;
use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime};

const INTERVAL: Duration = Duration::from_millis(200);
/// Of a log, so many bytes at its end are read for its last line.
const TAIL: u64 = 4096;

/// Waits until the engine has done what it can, showing how many runs are finished, what one of them says, and the time left.
pub fn watch(project: &Project, sweep: &Sweep, engine: &mut dyn Engine) -> Result<()> {
    let folder = folder(project, sweep)?;
    let style = "{bar:24} {pos} of {len} runs, {elapsed}, {eta} left  {wide_msg:.dim}";
    let bar = ProgressBar::new(sweep.rows.len() as u64)
        .with_style(ProgressStyle::with_template(style).expect("a valid template"));
    let finished = || sweep.rows.iter().filter(|row| row.is_finished()).count() as u64;
    // The time left is told by the runs that end from now on.
    bar.set_position(finished());
    bar.reset_eta();
    while engine.is_busy()? {
        bar.set_position(finished());
        bar.set_message(newest_line(&folder, &sweep.unfinished()).unwrap_or_default());
        bar.tick();
        std::thread::sleep(INTERVAL);
    }
    bar.finish_and_clear();
    Ok(())
}

/// The last line of the log that was last written to.
fn newest_line(folder: &Path, rows: &[&Row]) -> Option<String> {
    let changed =
        |row: &&&Row| Some((local::log(folder, row).metadata().ok()?.modified().ok()?, row.name.clone()));
    let newest = rows.iter().filter_map(|row| Some((changed(&row)?, row)));
    let (_, row) = newest.max_by_key(|((time, _), _): &((SystemTime, String), _)| *time)?;
    Some(format!("{}: {}", row.name, last_line(&local::log(folder, row))?))
}

/// The last line that is not empty.
pub fn last_line(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut end = Vec::new();
    file.read_to_end(&mut end).ok()?;
    let end = String::from_utf8_lossy(&end);
    let last = end.split(['\n', '\r']).map(str::trim).rfind(|line| !line.is_empty())?;
    Some(last.to_owned())
}
