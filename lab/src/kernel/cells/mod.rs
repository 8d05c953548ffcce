//! The process that runs the cells.
//!
//! evcxr starts it and tells it, line by line, which library to load and which function in it to call; the answers are
//! evcxr's own too. What cells print and read has pipes of its own, which the kernel makes ([`Pipes`](super::pipes::Pipes)):
//! so nothing of the one can be taken for the other.

mod loaded;

use super::ignore_stop_button;
use super::pipes::{INHERITED, Inherited};
use anyhow::{Context, Result, bail};
use kernel_helpers::cell::{COMPLETE, Event, PIPES, tell};
use loaded::{Cells, keep_from_children};
use rustix::process::getppid;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// evcxr sets it for the process that runs the cells.
const IS_RUNTIME: &str = "EVCXR_IS_RUNTIME";
/// The numbers of evcxr's two pipes, once the standard streams are the cells'.
const EVCXR_PIPES: &str = "LAB_CELLS_EVCXR_PIPES";

/// Whether evcxr started this process to run cells for our front end.
pub fn is_needed() -> bool {
    std::env::var_os(IS_RUNTIME).is_some() && std::env::var_os(INHERITED).is_some()
}

/// Runs cells until evcxr closes its pipe.
pub fn serve() -> Result<()> {
    match std::env::var(EVCXR_PIPES) {
        Ok(numbers) => serve_with(&numbers),
        Err(_) => become_with_streams(),
    }
}

/// Becomes the same program again, whose standard streams are the cells' and which has evcxr's pipes besides.
fn become_with_streams() -> Result<()> {
    let inherited = Inherited::of_this_process()?;
    let commands = rustix::io::dup(std::io::stdin()).context("could not keep evcxr's pipe")?;
    let answers = rustix::io::dup(std::io::stdout()).context("could not keep evcxr's pipe")?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(std::env::args_os().skip(1))
        .stdin(open(inherited.input, false)?)
        .stdout(open(inherited.output, true)?)
        .stderr(open(inherited.error, true)?)
        .env(EVCXR_PIPES, format!("{},{}", commands.as_raw_fd(), answers.as_raw_fd()))
        .env(PIPES, format!("{},{}", answers.as_raw_fd(), inherited.events))
        .env("LAB_KERNEL", "1")
        // evcxr asks for backtraces, candle's errors included: they name no line of a cell, and bury the message.
        .env("RUST_BACKTRACE", "0");
    Err(command.exec()).context("could not become the process that runs the cells")
}

fn open(number: i32, writes: bool) -> Result<File> {
    let path = format!("/dev/fd/{number}");
    let file = File::options().read(!writes).write(writes).open(&path);
    file.with_context(|| format!("could not open {path}"))
}

fn serve_with(numbers: &str) -> Result<()> {
    ignore_stop_button();
    end_with_parent();
    let (commands, answers) = numbers.split_once(',').context("two pipes")?;
    let (commands, answers) = (commands.parse()?, answers.parse()?);
    let inherited = Inherited::of_this_process()?;
    let Inherited { input, output, error, events } = inherited;
    for number in [commands, answers, input, output, error, events] {
        keep_from_children(number)?;
    }
    let mut evcxr = open(answers, true)?;
    let input = StandardInput::new()?;
    let mut cells = Cells::default();
    for line in BufReader::new(open(commands, false)?).lines() {
        let line = line.context("could not read evcxr's commands")?;
        // The path may have spaces, the function's name has none.
        let run = line.strip_prefix("LOAD_AND_RUN ").and_then(|rest| rest.rsplit_once(' '));
        let Some((library, function)) = run else { bail!("evcxr sent {line:?}") };
        input.prepare()?;
        let has_answered = cells.run(Path::new(library), function)?;
        if !has_answered {
            writeln!(evcxr, "{COMPLETE}").context("evcxr is gone")?;
        }
        tell(&Event::Ended);
    }
    Ok(())
}

/// What cells read: the kernel's pipe where the notebook can be asked for input, and otherwise nothing.
struct StandardInput {
    pipe: OwnedFd,
    allowed: PathBuf,
}

impl StandardInput {
    fn new() -> Result<Self> {
        let pipe =
            rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3).context("could not keep the input")?;
        Ok(StandardInput { pipe, allowed: super::BuildFolder::of_this_kernel()?.input_file() })
    }

    fn prepare(&self) -> Result<()> {
        let done = if self.allowed.exists() {
            rustix::stdio::dup2_stdin(&self.pipe)
        } else {
            rustix::stdio::dup2_stdin(File::open("/dev/null")?)
        };
        done.context("could not set the standard input")
    }
}

/// Ends this process when the one that started it is gone, whatever a cell does.
fn end_with_parent() {
    let parent = getppid();
    std::thread::spawn(move || {
        while getppid() == parent {
            std::thread::sleep(Duration::from_millis(100));
        }
        std::process::exit(1);
    });
}
