//! Tells failed cells from good ones.
//!
//! When a cell ends early, by `?` or by a panic, evcxr prints the reason to standard error and reports success: nothing
//! that reaches Jupyter says that the cell failed. It does say so inside, by a line on the standard output of the process
//! that runs the cells. So that process gets a relay between itself and evcxr, which passes everything on and adds an
//! output of the type [`FAILURE`] where such a line comes. `execute.py` looks for it.

use anyhow::{Context, Result};
use rustix::process::getppid;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// The MIME type of the output that marks a failed cell; also in `execute.py`.
const FAILURE: &str = "application/x-lab-failure";

/// evcxr sets it for the process that runs the cells.
const IS_RUNTIME: &str = "EVCXR_IS_RUNTIME";
/// The relay sets it for the process behind it.
const IS_RELAYED: &str = "LAB_RELAYED";

/// evcxr's lines for a cell that ended by `?` and by a panic.
const FAILURE_LINES: [&[u8]; 2] = [b"EVCXR_ERROR_OCCURRED\n", b"EVCXR_PANIC_NOTIFICATION\n"];

/// Whether evcxr started this process to run cells, and the relay has still to come between them.
pub fn is_needed() -> bool {
    std::env::var_os(IS_RUNTIME).is_some() && std::env::var_os(IS_RELAYED).is_none()
}

/// Starts this executable again to run the cells, and relays its standard output until it ends.
pub fn relay() -> Result<ExitCode> {
    let mut cells = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(IS_RELAYED, "1")
        .stdout(Stdio::piped())
        .spawn()
        .context("could not start the process that runs the cells")?;
    pass_on(
        &mut BufReader::new(cells.stdout.take().expect("a piped stdout")),
        &mut std::io::stdout().lock(),
    )?;
    let status = cells.wait().context("could not wait for the process that runs the cells")?;
    match status.code() {
        Some(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        None => anyhow::bail!("the process that runs the cells ended with {status}"),
    }
}

/// Ends this process when the relay that started it is gone: that is how evcxr ends a cell that runs too long.
pub fn end_with_relay() {
    if std::env::var_os(IS_RELAYED).is_none() {
        return;
    }
    let relay = getppid();
    std::thread::spawn(move || {
        while getppid() == relay {
            std::thread::sleep(Duration::from_millis(100));
        }
        std::process::exit(1);
    });
}

fn pass_on(cells: &mut impl BufRead, evcxr: &mut impl Write) -> Result<()> {
    let mut line = Vec::new();
    while cells.read_until(b'\n', &mut line).context("could not read from the cells")? > 0 {
        if FAILURE_LINES.contains(&line.as_slice()) {
            write!(evcxr, "EVCXR_BEGIN_CONTENT {FAILURE}\nfailed\nEVCXR_END_CONTENT\n")?;
        }
        evcxr.write_all(&line).and_then(|()| evcxr.flush()).context("could not write to evcxr")?;
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_passed_on_and_failures_are_marked() {
        let cells = b"one\n\xff\xfe\nEVCXR_ERROR_OCCURRED\nEVCXR_EXECUTION_COMPLETE\nno line's end";
        let mut evcxr = Vec::new();
        pass_on(&mut &cells[..], &mut evcxr).unwrap();
        let marked =
            b"one\n\xff\xfe\nEVCXR_BEGIN_CONTENT application/x-lab-failure\nfailed\nEVCXR_END_CONTENT\n\
            EVCXR_ERROR_OCCURRED\nEVCXR_EXECUTION_COMPLETE\nno line's end";
        assert_eq!(evcxr, marked);
    }
}
