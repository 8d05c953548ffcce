//! A program of others that fetches something, and that is ended when it hangs or never ends.

use crate::stop::Stop;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often it is looked after.
const INTERVAL: Duration = Duration::from_millis(50);
/// Of what it says, so many characters are told.
const LONGEST: usize = 1000;

/// Runs a program that keeps all that it writes in `folder`. It is killed, with all that it has started, when nothing has come
/// into the folder for as long as `patience`, and when there is more than `most` bytes in it.
pub fn run(command: &mut Command, folder: &Path, patience: Duration, most: u64) -> Result<()> {
    let name = command.get_program().display().to_string();
    let says = folder.join("says.txt");
    let said = File::create(&says).with_context(|| format!("could not write {}", says.display()))?;
    let mut child = command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(said.try_clone()?)
        .stderr(said)
        .process_group(0)
        .spawn()
        .with_context(|| format!("`{name}` did not start"))?;
    let stop = Stop::of_group(&child)?;
    let end = watch(&mut child, folder, patience, most);
    stop.end_group(&child);
    child.wait().with_context(|| format!("could not wait for `{name}`"))?;
    match end? {
        End::Hung => bail!("`{name}` was ended: for {} s nothing came", patience.as_secs()),
        End::TooMuch => bail!("`{name}` was ended: it wrote more than {} MB", most / 1_000_000),
        End::Exit(status) if !status.success() => {
            bail!("`{name}` failed ({status}): {}", shortened(&fs::read(&says).unwrap_or_default()))
        }
        End::Exit(_) => Ok(()),
    }
}

enum End {
    Exit(ExitStatus),
    Hung,
    TooMuch,
}

fn watch(child: &mut Child, folder: &Path, patience: Duration, most: u64) -> Result<End> {
    let (mut size, mut since) = (0, Instant::now());
    loop {
        if let Some(status) = child.try_wait().context("could not look after the program")? {
            return Ok(if size_of(folder) > most { End::TooMuch } else { End::Exit(status) });
        }
        let now = size_of(folder);
        if now != size {
            (size, since) = (now, Instant::now());
        }
        if size > most {
            return Ok(End::TooMuch);
        }
        if since.elapsed() > patience {
            return Ok(End::Hung);
        }
        std::thread::sleep(INTERVAL);
    }
}

/// How many bytes are in a folder. What comes and goes meanwhile may be counted or not.
fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => size_of(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// The end of what a program has said, where the reason is.
fn shortened(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(&said[said.len().saturating_sub(LONGEST)..]);
    said.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (tempfile::TempDir, Result<()>) {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("/bin/sh");
        let result =
            run(command.args(["-c", script]), folder.path(), Duration::from_millis(500), 1_000_000_000);
        (folder, result)
    }

    #[test]
    fn who_hangs_is_ended_with_all_that_it_started() {
        let started = Instant::now();
        let (folder, result) = shell("sleep 600 & echo $! > child; wait");
        assert!(result.unwrap_err().to_string().contains("nothing came"));
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        let child: i32 = fs::read_to_string(folder.path().join("child")).unwrap().trim().parse().unwrap();
        let child = rustix::process::Pid::from_raw(child).unwrap();
        // Who has just been killed may not be collected yet.
        let gone = || {
            let line = fs::read_to_string(format!("/proc/{}/stat", child.as_raw_nonzero()));
            line.map_or(true, |line| line.contains(") Z "))
        };
        while !gone() {
            assert!(started.elapsed() < Duration::from_secs(10), "it lives on");
            std::thread::sleep(INTERVAL);
        }
    }

    #[test]
    fn who_goes_on_is_left_alone() {
        let (_, result) = shell("for i in 1 2 3 4 5; do echo $i; sleep 0.2; done");
        result.unwrap();
    }

    #[test]
    fn who_never_ends_is_ended() {
        // A file with a hole, so that nothing of the size is on the disk.
        let (_, result) = shell("mkdir deep; truncate -s 2G deep/file; sleep 600");
        assert!(result.unwrap_err().to_string().contains("more than 1000 MB"));
    }

    #[test]
    fn who_fails_has_the_last_word() {
        let (_, result) = shell("yes | head -c 100000; echo the reason >&2; exit 3");
        let message = result.unwrap_err().to_string();
        assert!(message.ends_with("the reason") && message.len() < 2 * LONGEST, "{message}");
    }
}
