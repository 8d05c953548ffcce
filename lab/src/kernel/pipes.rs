//! The pipes between the front end and the process that runs the cells.
//!
//! evcxr starts that process, with pipes of its own; these are inherited besides. The front end keeps both ends of each, as
//! a process that died is followed by another.

use anyhow::{Context, Result};
use kernel_helpers::cell::Event;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionread};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

/// The environment variable with the numbers of the pipes' ends for the cells.
pub const INHERITED: &str = "LAB_CELLS_PIPES";

/// The cells' ends, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// What they read.
    pub input: i32,
    /// What they print.
    pub output: i32,
    /// What they print as errors.
    pub error: i32,
    /// What the front end is told of them, see [`Event`].
    pub events: i32,
}

impl Inherited {
    /// The numbers that the front end gave this process.
    pub fn of_this_process() -> Result<Self> {
        let text = std::env::var(INHERITED).context("the kernel's pipes are not known")?;
        let numbers: Vec<i32> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let [input, output, error, events] = numbers[..] else { anyhow::bail!("four pipes, not {text}") };
        Ok(Inherited { input, output, error, events })
    }
}

/// The four pipes.
pub struct Pipes {
    /// What cells print.
    pub output: Reader,
    /// What cells print as errors.
    pub error: Reader,
    /// What is told of them.
    pub events: Events,
    /// What cells read.
    pub input: Input,
    /// The cells' ends.
    pub inherited: Inherited,
    /// Open for as long as processes are started that inherit them.
    pub cells_ends: [OwnedFd; 3],
}

impl Pipes {
    /// Makes the pipes; what this process starts from now on inherits the cells' ends.
    pub fn new() -> Result<Self> {
        let [(input_read, input), (output, output_write), (error, error_write), (events, events_write)] =
            [pipe()?, pipe()?, pipe()?, pipe()?];
        fcntl_setfd(&input, FdFlags::CLOEXEC)?;
        let inherited = Inherited {
            input: input_read.as_raw_fd(),
            output: output_write.as_raw_fd(),
            error: error_write.as_raw_fd(),
            events: events_write.as_raw_fd(),
        };
        Ok(Pipes {
            output: Reader::new(output)?,
            error: Reader::new(error)?,
            events: Events { pipe: Reader::new(events)?, begun: Vec::new() },
            input: Input { write: File::from(input), read: input_read },
            inherited,
            cells_ends: [output_write, error_write, events_write],
        })
    }
}

impl Inherited {
    /// The value of [`INHERITED`].
    pub fn to_variable(self) -> String {
        format!("{},{},{},{}", self.input, self.output, self.error, self.events)
    }
}

/// The end of a pipe that is read without waiting.
pub struct Reader {
    file: File,
}

impl Reader {
    fn new(end: OwnedFd) -> Result<Self> {
        fcntl_setfd(&end, FdFlags::CLOEXEC)?;
        fcntl_setfl(&end, fcntl_getfl(&end)? | OFlags::NONBLOCK)?;
        Ok(Reader { file: File::from(end) })
    }

    /// Reads what is there; 0 if nothing is.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self.file.read(buffer) {
            Ok(count) => Ok(count),
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&error.kind()) => Ok(0),
            Err(error) => Err(error).context("could not read from the cells"),
        }
    }
}

/// A pipe by which a thread that waits for pipes is told to look.
pub fn waking() -> Result<(File, Reader)> {
    let (read, write) = pipe()?;
    fcntl_setfd(&write, FdFlags::CLOEXEC)?;
    Ok((File::from(write), Reader::new(read)?))
}

/// Waits until one of the pipes has something to read, at most so long.
pub fn wait_for(pipes: &[&Reader], longest: Duration) -> Result<()> {
    let mut waiting: Vec<_> = pipes.iter().map(|pipe| PollFd::new(&pipe.file, PollFlags::IN)).collect();
    let longest = Timespec::try_from(longest).context("a time to wait")?;
    match poll(&mut waiting, Some(&longest)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("could not wait for the cells"),
    }
}

/// What the front end is told of a cell.
pub struct Events {
    pipe: Reader,
    /// The beginning of a line.
    begun: Vec<u8>,
}

impl Events {
    /// Forgets what has come, and half a line of a process that was killed.
    pub fn forget(&mut self) {
        let _ = self.wait(Duration::ZERO);
        self.begun.clear();
    }

    /// The events that have come, waiting for the first at most so long.
    pub fn wait(&mut self, longest: Duration) -> Result<Vec<Event>> {
        wait_for(&[&self.pipe], longest)?;
        let mut buffer = [0; 4096];
        loop {
            let count = self.pipe.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            self.begun.extend_from_slice(&buffer[..count]);
        }
        let whole = self.begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.begun.drain(..whole).collect();
        // A process that was killed may have left half a line.
        Ok(lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }
}

/// What cells read.
pub struct Input {
    write: File,
    read: OwnedFd,
}

impl Input {
    /// Gives the cell a line.
    pub fn give(&mut self, line: &str) -> Result<()> {
        writeln!(self.write, "{line}").context("could not hand the input on")
    }

    /// Whether the cell has read all that it was given.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(ioctl_fionread(&self.read)? == 0)
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe().context("could not make a pipe")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole() {
        let mut pipes = Pipes::new().unwrap();
        let mut cells =
            File::options().write(true).open(format!("/dev/fd/{}", pipes.inherited.events)).unwrap();
        let mut come = || pipes.events.wait(Duration::ZERO).unwrap();
        assert_eq!(come(), []);
        cells.write_all(b"{\"event\":\"accepted\"}\n{\"event\":\"en").unwrap();
        assert_eq!(come(), [Event::Accepted]);
        cells.write_all(b"ded\"}\n").unwrap();
        assert_eq!(come(), [Event::Ended]);
    }

    #[test]
    fn numbers_go_through_the_environment() {
        let inherited = Inherited { input: 3, output: 4, error: 5, events: 6 };
        assert_eq!(inherited.to_variable(), "3,4,5,6");
    }
}
