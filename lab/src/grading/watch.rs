//! A process that may do only so much, with all that it starts.

use crate::stop::Stop;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a submission may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Time of a cell.
    pub cell: Duration,
    /// Time of a notebook.
    pub notebook: Duration,
    /// Bytes of memory of one process. All together may hold twice as much.
    pub memory: u64,
    /// Processes.
    pub processes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Limits { cell: minute, notebook: 15 * minute, memory: 4 << 30, processes: 200 }
    }
}

/// How a process has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, and well.
    Done,
    /// By itself, with an error.
    Failed,
    /// It was killed for one of these reasons.
    Time(Duration),
    /// It held more than so many bytes.
    Memory(u64),
    /// It had started more than so many.
    Processes(usize),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Done => write!(f, "was done"),
            End::Failed => write!(f, "failed"),
            End::Time(limit) => write!(f, "was stopped after {} s", limit.as_secs()),
            End::Memory(limit) => write!(f, "was stopped, as it held more than {} MB", limit >> 20),
            End::Processes(limit) => write!(f, "was stopped, as it had started more than {limit} processes"),
        }
    }
}

/// Runs it until it ends or does too much, and leaves nothing of what it has started.
pub fn watch(command: &mut Command, limits: &Limits) -> Result<End> {
    const INTERVAL: Duration = Duration::from_millis(100);
    adopt_orphans();
    let mut child =
        command.stdin(Stdio::null()).process_group(0).spawn().context("could not start Python")?;
    let stop = Stop::of_group(&child)?;
    let started = Instant::now();
    let end = loop {
        if let Some(status) = child.try_wait().context("could not wait for Python")? {
            break if status.success() { End::Done } else { End::Failed };
        }
        if let Some(end) = excess(limits, started.elapsed()) {
            break end;
        }
        std::thread::sleep(INTERVAL);
    };
    stop.end_group(&child);
    let _ = child.wait();
    end_descendants();
    Ok(end)
}

fn excess(limits: &Limits, elapsed: Duration) -> Option<End> {
    let processes = descendants();
    let held: u64 = processes.iter().map(|process| process.held).sum();
    if elapsed > limits.notebook {
        return Some(End::Time(limits.notebook));
    }
    if held > 2 * limits.memory {
        return Some(End::Memory(2 * limits.memory));
    }
    (processes.len() > limits.processes).then_some(End::Processes(limits.processes))
}

/// Lets processes whose parent has ended become children of this one, where it finds them.
fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    // Where it does not work, what has left its parents is not found.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// Kills all that this process has started, and what that has.
fn end_descendants() {
    // One that is being started while others are killed is found in the next turn.
    for _ in 0..100 {
        let left = descendants();
        if left.is_empty() {
            return;
        }
        for process in left {
            if let Some(pid) = Pid::from_raw(process.id) {
                // It may have just ended, which is as good.
                let _ = kill_process(pid, Signal::KILL);
                let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

struct Process {
    id: i32,
    parent: i32,
    /// Bytes of memory.
    held: u64,
}

/// All that this process has started, and what that has; only Linux can tell.
fn descendants() -> Vec<Process> {
    let mut by_parent: HashMap<i32, Vec<Process>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(process) = entry.file_name().to_str().and_then(|id| read(id.parse().ok()?)) {
            by_parent.entry(process.parent).or_default().push(process);
        }
    }
    let (mut found, mut waiting) = (Vec::new(), vec![std::process::id() as i32]);
    while let Some(parent) = waiting.pop() {
        for process in by_parent.remove(&parent).unwrap_or_default() {
            waiting.push(process.id);
            found.push(process);
        }
    }
    found
}

fn read(id: i32) -> Option<Process> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    // One that has ended holds nothing.
    let held = number("VmRSS:").unwrap_or_default() * 1024;
    Some(Process { id, parent: i32::try_from(number("PPid:")?).ok()?, held })
}
