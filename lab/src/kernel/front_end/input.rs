//! Asks the notebook's user when a cell reads standard input.
//!
//! A cell that reads waits in the system call. Linux tells of each thread which call it waits in, so the front end looks
//! there while a cell runs that may ask. Where the system does not tell, cells find their input empty.

use super::lock;
use super::session::Session;
use crate::kernel::pipes::Input;
use anyhow::Result;
use jupyter_protocol::{InputRequest, JupyterMessage, JupyterMessageContent as Content};
use std::fs;
use std::path::PathBuf;

/// The numbers of `read` and `readv`.
const READING: [&str; 2] = if cfg!(target_arch = "aarch64") { ["63", "65"] } else { ["0", "19"] };

/// The input of the cells, and the file that tells them whether there is some.
pub struct Asking {
    pipe: Input,
    allowed: PathBuf,
    /// Whether the cell was seen waiting the last time.
    waited: bool,
    /// Whether the user has been asked and has not answered.
    asked: bool,
}

impl Asking {
    pub fn new(pipe: Input, allowed: PathBuf) -> Self {
        Asking { pipe, allowed, waited: false, asked: false }
    }

    /// A cell begins, whose user may be asked or not.
    pub fn cell_starts(&mut self, may_ask: bool, session: &Session) {
        let process = session.process.get().map(|process| lock(process).id());
        let tells = process.is_some_and(|process| fs::read(format!("/proc/{process}/syscall")).is_ok());
        // Without the file, cells find their input empty; it may be absent already.
        let _ = if may_ask && tells { fs::write(&self.allowed, "") } else { fs::remove_file(&self.allowed) };
        (self.waited, self.asked) = (false, false);
    }

    /// Asks if the cell waits for input, and hands the answer on.
    pub fn look(&mut self, session: &Session, request: &JupyterMessage) -> Result<()> {
        if !self.allowed.exists() {
            return Ok(());
        }
        let came = lock(&session.inputs_that_came);
        if self.asked {
            let reply = came.try_iter().last().map(|reply| reply.content);
            if let Some(Content::InputReply(reply)) = reply {
                self.asked = false;
                return self.pipe.give(&reply.value);
            }
            if lock(&session.button).is_pressed() {
                // A read cannot be taken back; an empty line ends it.
                self.asked = false;
                return self.pipe.give("");
            }
            return Ok(());
        }
        let waits = self.pipe.is_empty()?
            && session.process.get().is_some_and(|process| reads_input(lock(process).id()));
        // A thread that is just about to leave the call is not taken for one that waits.
        if std::mem::replace(&mut self.waited, waits) && waits {
            // Answers to earlier cells.
            came.try_iter().for_each(drop);
            self.waited = false;
            self.asked = true;
            session.wire.ask(InputRequest { prompt: String::new(), password: false }, request);
        }
        Ok(())
    }
}

/// Whether one of a process's threads waits in a call that reads its standard input.
fn reads_input(process: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    threads.filter_map(|thread| fs::read_to_string(thread.path().join("syscall")).ok()).any(|call| {
        let mut words = call.split_whitespace();
        words.next().is_some_and(|number| READING.contains(&number)) && words.next() == Some("0x0")
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    #[test]
    fn a_process_that_reads_is_told_from_one_that_does_not() {
        let mut reads = Command::new("sh").args(["-c", "read line"]).stdin(Stdio::piped()).spawn().unwrap();
        let mut sleeps = Command::new("sleep").arg("10").stdin(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        assert!(reads_input(reads.id()));
        assert!(!reads_input(sleeps.id()));
        for process in [&mut reads, &mut sleeps] {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}
