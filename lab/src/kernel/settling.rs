//! Waits until evcxr has nothing left to tell Jupyter.
//!
//! What a cell prints to standard output, what it prints to standard error, and that it has ended reach Jupyter through
//! different threads of evcxr, and Jupyter drops what comes after the end. evcxr cannot be asked how far it is. But while it
//! has a line left to pass on, one of its threads runs or waits for a processor, and Linux tells which do.

use rustix::process::Pid;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(1);
/// How many looks in a row have to find all threads asleep, as one thread may wake the next behind the back of a look.
const LOOKS: u32 = 4;
/// evcxr may be busy with something else, such as a completion.
const LONGEST: Duration = Duration::from_secs(1);
/// The wait where nothing tells what threads do. Some lines are lost then on a busy machine.
const BLIND: Duration = Duration::from_millis(20);

/// Returns when all threads of a process have been asleep for some milliseconds.
pub fn wait_until_asleep(process: Pid) {
    let started = Instant::now();
    let mut asleep = 0;
    while asleep < LOOKS && started.elapsed() < LONGEST {
        sleep(PAUSE);
        match is_asleep(process) {
            Ok(true) => asleep += 1,
            Ok(false) => asleep = 0,
            Err(_) => return sleep(BLIND),
        }
    }
}

/// Whether no thread of a process runs or could.
fn is_asleep(process: Pid) -> io::Result<bool> {
    let threads = PathBuf::from(format!("/proc/{}/task", process.as_raw_nonzero()));
    for thread in fs::read_dir(threads)? {
        // One that has ended in the meantime is as good as asleep.
        let status = fs::read_to_string(thread?.path().join("stat")).unwrap_or_default();
        // `7 (name) S 1 …`, where the name may contain anything.
        let state = status.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        if matches!(state, Some('R' | 'D')) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_that_waits_is_told_from_one_that_works() {
        let start = |script| {
            let mut command = Command::new("sh");
            command.args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap()
        };
        let (mut waits, mut works) = (start("read line"), start("while :; do :; done"));
        let (waiting, working) = (Pid::from_child(&waits), Pid::from_child(&works));
        // Both may still be starting.
        sleep(Duration::from_millis(500));
        assert!(is_asleep(waiting).unwrap());
        assert!(!is_asleep(working).unwrap());
        let started = Instant::now();
        wait_until_asleep(working);
        assert!(started.elapsed() >= LONGEST);
        for process in [&mut waits, &mut works] {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        assert!(is_asleep(working).is_err());
    }
}
