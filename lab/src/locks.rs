//! Locks between processes of this command, which the operating system lets go of however a process ends.

use crate::progress::say;
use std::fs::{File, TryLockError};
use std::io;
use std::time::{Duration, Instant};

/// For so long nobody wonders why nothing happens.
const SILENT: Duration = Duration::from_secs(3);

/// Takes the lock on an open file or folder, and after some seconds of waiting says what for.
pub fn lock(file: &File, what: &str) -> io::Result<()> {
    lock_or_say(file, SILENT, || say(format_args!("Waiting for {what}.")))
}

fn lock_or_say(file: &File, silent: Duration, say: impl FnOnce()) -> io::Result<()> {
    let started = Instant::now();
    while started.elapsed() < silent {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    say();
    file.lock()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn who_waits_long_says_so_and_gets_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let held = File::open(folder.path()).unwrap();
        lock_or_say(&held, SILENT, || panic!("it is free")).unwrap();
        let (said, saying) = mpsc::channel();
        let other = File::open(folder.path()).unwrap();
        let waiting = std::thread::spawn(move || {
            lock_or_say(&other, Duration::from_millis(50), || said.send(()).unwrap()).unwrap();
        });
        saying.recv_timeout(Duration::from_secs(10)).unwrap();
        drop(held);
        waiting.join().unwrap();
    }
}
