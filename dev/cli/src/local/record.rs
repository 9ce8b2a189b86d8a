//! What `up` started, by number and start time, so that `down` ends nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use weir_stack::{Description, start_time};

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Known {
    /// Its number.
    pub(crate) pid: u32,
    /// When it was started, in clock ticks since boot.
    pub(crate) started: u64,
}

impl Known {
    /// Returns the process of this number, if there is one now.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        start_time(pid).map(|started| Self { pid, started })
    }

    /// Tells whether it still runs.
    pub(crate) fn is_alive(self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Sends a signal unless the process ended.
    ///
    /// # Errors
    /// It belongs to somebody else.
    pub(crate) fn signal(self, signal: Signal) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        kill(Pid::from_raw(i32::try_from(self.pid)?), signal)
            .with_context(|| format!("cannot send {signal} to process {}", self.pid))
    }
}

/// The processes of one stack.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Record {
    /// The process that holds them together.
    pub(crate) supervisor: Known,
    /// Kafka, ClickHouse and the roles; empty while they are being started.
    pub(crate) children: BTreeMap<String, Known>,
    /// Whether all of them were ready once.
    pub(crate) ready: bool,
}

impl Record {
    /// Describes this process before it starts children.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(crate) fn starting() -> Result<Self> {
        Ok(Self {
            supervisor: Known::of(std::process::id())
                .context("/proc does not show this process")?,
            children: BTreeMap::new(),
            ready: false,
        })
    }

    /// Describes this process and the stack's present children.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(crate) fn running(description: &Description) -> Result<Self> {
        let children = description
            .pids
            .iter()
            .filter_map(|(name, pid)| Some((name.clone(), Known::of(*pid)?)))
            .collect();
        Ok(Self {
            children,
            ready: true,
            ..Self::starting()?
        })
    }

    /// Writes the record into the data directory.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, data: &Path) -> Result<()> {
        let path = path(data);
        let partial = path.with_extension("partial");
        fs::write(&partial, serde_json::to_string(self)?)
            .and_then(|()| fs::rename(&partial, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads the record; `None` if no stack was started there, or it was stopped.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn read(data: &Path) -> Result<Option<Self>> {
        let path = path(data);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .with_context(|| format!("{} is damaged", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Removes the record.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub(crate) fn remove(data: &Path) -> Result<()> {
        remove(&path(data))
    }
}

/// Removes a file, if it is there.
///
/// # Errors
/// It cannot be removed.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn path(data: &Path) -> PathBuf {
    data.join("processes.json")
}
