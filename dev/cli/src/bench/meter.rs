//! CPU time and memory of a process.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// What a process used since its meter was started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time of all its threads.
    pub(crate) cpu: Duration,
    /// The most memory it held at one time, in bytes.
    pub(crate) rss_peak_bytes: u64,
}

/// A running measurement of one process.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    pid: u32,
    clock: ClockId,
    begun: Duration,
}

impl Meter {
    /// Starts to measure a process.
    ///
    /// # Errors
    /// The process ended, or belongs to somebody else.
    pub(crate) fn start(pid: u32) -> Result<Self> {
        let what = || format!("cannot measure process {pid}");
        // The peak counts from here on.
        fs::write(format!("/proc/{pid}/clear_refs"), "5").with_context(what)?;
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid)?)).with_context(what)?;
        Ok(Self {
            pid,
            clock,
            begun: read(clock).with_context(what)?,
        })
    }

    /// Returns what the process used so far.
    ///
    /// # Errors
    /// The process ended.
    pub(crate) fn read(&self) -> Result<Usage> {
        let what = || format!("process {} ended during the measurement", self.pid);
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).with_context(what)?;
        Ok(Usage {
            cpu: read(self.clock)
                .with_context(what)?
                .saturating_sub(self.begun),
            rss_peak_bytes: peak(&status).with_context(what)?,
        })
    }
}

/// Returns the CPU time of the calling thread.
///
/// # Errors
/// The system has no such clock.
pub(crate) fn thread_cpu() -> Result<Duration> {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn read(clock: ClockId) -> Result<Duration> {
    Ok(Duration::from(clock_gettime(clock)?))
}

fn peak(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_memory_of_a_process_are_seen() {
        let meter = Meter::start(std::process::id()).unwrap();
        let held = vec![1_u8; 64 << 20];
        let sum: u64 = held.iter().map(|byte| u64::from(*byte)).sum();
        let usage = meter.read().unwrap();
        assert_eq!(sum, 64 << 20);
        assert!(usage.rss_peak_bytes > 64 << 20, "{usage:?}");
        assert!(usage.cpu > Duration::ZERO, "{usage:?}");
    }

    #[test]
    fn a_peak_is_read_in_bytes() {
        assert_eq!(peak("Name:\tx\nVmHWM:\t   2048 kB\n"), Some(2 << 20));
        assert_eq!(peak("Name:\tx\n"), None);
    }
}
