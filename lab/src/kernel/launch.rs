//! Starts one kernel and leaves nothing behind when it ends.

use super::copy::Copy;
use super::{compile, front_end, ignore_stop_button, warm};
use crate::project::Project;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, getpgrp, getpid, getppid, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

/// Runs the kernel that Jupyter's `connection_file` asks for, until it ends.
///
/// The kernel is this executable again, in a process group of its own and with its environment set before it starts.
/// When this launcher is told to end, it ends the whole group; when it is killed outright, the kernel's standard input
/// closes and the kernel ends its group itself. It also ends with the Jupyter that asked for it.
///
/// With `plain`, it is evcxr's own kernel, `evcxr_jupyter`, in the same kind of folder.
pub fn launch(project: &Project, connection_file: &Path, plain: bool) -> Result<ExitCode> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("could not handle signals")?;
    // The helper crate may have been edited since the last command.
    warm::build(project)?;
    let copy = Copy::of_warm(project)?;
    let mut command = copy.folder().command(project, copy.executable())?;
    if plain {
        // It writes into the kernels that Jupyter has in this folder, and there are none.
        command.env("JUPYTER_PATH", copy.folder().path().join("no-jupyter")).env(compile::AS_IT_IS, "1");
    }
    let mut kernel = command
        .arg("--control_file")
        .arg(connection_file)
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("could not start the kernel")?;
    let group = Pid::from_child(&kernel);
    end_with_jupyter(group);
    let handle = signals.handle();
    let forwarding = std::thread::spawn(move || {
        for signal in signals.forever() {
            // The stop button is a message; SIGINT comes from a terminal, whose program sends that message.
            if signal != SIGINT {
                // The group may have just ended, which is as good.
                let _ = kill_process_group(group, Signal::KILL);
            }
        }
    });
    // `wait` would close the kernel's standard input first.
    let input = kernel.stdin.take();
    let status = kernel.wait().context("could not wait for the kernel")?;
    drop(input);
    handle.close();
    let _ = forwarding.join();
    let _ = kill_process_group(group, Signal::KILL);
    drop(copy);
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Ends the kernel when the Jupyter server that started it is gone, as Jupyter expects of a kernel.
fn end_with_jupyter(group: Pid) {
    let Some(jupyter) =
        std::env::var("JPY_PARENT_PID").ok().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw)
    else {
        return;
    };
    std::thread::spawn(move || {
        while getppid() == Some(jupyter) {
            std::thread::sleep(Duration::from_secs(1));
        }
        let _ = kill_process_group(group, Signal::KILL);
    });
}

/// The kernel itself, in the process that [`launch`] started with `--control_file`.
pub fn serve(connection_file: &Path) -> Result<()> {
    ignore_stop_button();
    if getpgrp() == getpid() {
        std::thread::spawn(|| {
            // Returns when the launcher is dead: it writes nothing.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            let _ = kill_process_group(getpgrp(), Signal::KILL);
        });
    }
    if compile::takes_cells_as_they_are() {
        return evcxr_jupyter::main();
    }
    front_end::serve(connection_file)
}
