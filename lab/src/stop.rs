//! How Ctrl-C, and whatever else tells this command to end, ends what it has started.

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::process::{Child, ChildStdin};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

/// The signals that end this command. While Python executes a notebook, the first of them tells it to save what there is
/// and to end, and a further one kills it; its kernel ends with it. Other processes are killed with all that they have started.
#[derive(Clone, Default)]
pub struct Stop(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The Python that executes a notebook.
    python: Option<Pid>,
    /// The pipe whose end Python waits for. It also comes when this process is killed.
    lifeline: Option<ChildStdin>,
    /// The signal that closed it.
    signal: Option<i32>,
    /// The leaders of groups of processes that are killed.
    leaders: Vec<Pid>,
}

impl Stop {
    /// Takes the signals over, the first time for the rest of the process.
    fn listen() -> Result<Self> {
        static LISTENING: OnceLock<Stop> = OnceLock::new();
        if let Some(stop) = LISTENING.get() {
            return Ok(stop.clone());
        }
        let mut signals = Signals::new([SIGINT, SIGTERM]).context("could not handle signals")?;
        let stop = LISTENING.get_or_init(Stop::default).clone();
        std::thread::spawn({
            let stop = stop.clone();
            move || signals.forever().for_each(|signal| stop.receive(signal))
        });
        Ok(stop)
    }

    /// Lets the signals end this Python, whose standard input is a pipe.
    pub fn of(python: &mut Child) -> Result<Self> {
        let stop = Stop::listen()?;
        *stop.state() = State {
            python: Some(Pid::from_child(python)),
            lifeline: python.stdin.take(),
            ..State::default()
        };
        Ok(stop)
    }

    /// Lets the signals kill the group that this process leads.
    pub fn of_group(leader: &Child) -> Result<Self> {
        let stop = Stop::listen()?;
        stop.state().leaders.push(Pid::from_child(leader));
        Ok(stop)
    }

    fn receive(&self, signal: i32) {
        let mut state = self.state();
        state.leaders.drain(..).for_each(kill_group);
        let Some(python) = state.python else { return end_by(signal) };
        if state.lifeline.take().is_some() {
            state.signal = Some(signal);
        } else {
            // It may have just ended, which is as good.
            let _ = kill_process(python, Signal::KILL);
        }
    }

    /// Says that Python has ended. Whoever told this command to end now gets their will.
    pub fn python_has_ended(&self) {
        let signal = std::mem::take(&mut *self.state()).signal;
        signal.into_iter().for_each(end_by);
    }

    /// Kills what is left of the group that this process leads.
    pub fn end_group(&self, leader: &Child) {
        let leader = Pid::from_child(leader);
        self.state().leaders.retain(|other| *other != leader);
        kill_group(leader);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }
}

fn kill_group(leader: Pid) {
    // It may have just ended, which is as good.
    let _ = kill_process_group(leader, Signal::KILL);
}

/// Ends this process as the signal does by itself, so that a shell's loop ends with it.
fn end_by(signal: i32) {
    // Neither of the two is ignored by default, so this does not return.
    let _ = emulate_default_handler(signal);
}
