//! What there is of processors, memory and disk, as far as the system tells.

use std::path::Path;
use std::process::Command;

/// Bytes of memory: all, and those that are free or can be made so.
pub struct Memory {
    pub all: u64,
    pub available: Option<u64>,
}

/// How many threads can compute at the same time.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The memory, where the system tells: Linux in a file, macOS by a command.
pub fn memory() -> Option<Memory> {
    if let Ok(text) = std::fs::read_to_string("/proc/meminfo") {
        return Some(Memory {
            all: in_meminfo(&text, "MemTotal")?,
            available: in_meminfo(&text, "MemAvailable"),
        });
    }
    let output = Command::new("sysctl").args(["-n", "hw.memsize"]).output().ok()?;
    let all = String::from_utf8_lossy(&output.stdout).trim().parse().ok()?;
    Some(Memory { all, available: None })
}

/// A line such as `MemTotal:       16384 kB`.
fn in_meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(1024 * line.split_whitespace().next()?.parse::<u64>().ok()?)
}

/// The bytes that are free on the disk of a folder.
pub fn free_disk(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail * disk.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_what_the_system_says() {
        let text = "MemTotal:       24651804 kB\nMemFree:  1 kB\nMemAvailable:   20000000 kB\n";
        assert_eq!(in_meminfo(text, "MemTotal"), Some(24_651_804 * 1024));
        assert_eq!(in_meminfo(text, "MemAvailable"), Some(20_000_000 * 1024));
        assert_eq!(in_meminfo(text, "Mem"), None);
        assert!(threads() > 0 && free_disk(Path::new("/")).unwrap() > 0);
        assert!(memory().is_none_or(|memory| memory.all > memory.available.unwrap_or(0)));
    }
}
