//! `cargo dev down`: ends what `up` started, and nothing else.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use weir_stack::wait::{self, Check};

use super::record::Record;
use super::{place, supervisor};

/// Longest time for an orderly end; each child has 45 s of it before it is killed.
const ORDERLY: Duration = Duration::from_secs(200);
const KILLED: Duration = Duration::from_secs(10);

/// Stops what `up` started. The data stays.
#[derive(Debug, clap::Args)]
pub(crate) struct Down {
    /// The data directory given to `up` [default: .weir in the workspace]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Down {
    /// Runs the command.
    ///
    /// # Errors
    /// A process does not end.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let data = place::data_directory(self.data.as_deref())?;
        let Some(record) = Record::read(&data)? else {
            eprintln!("no stack runs in {}", data.display());
            return Ok(ExitCode::SUCCESS);
        };
        record.supervisor.signal(Signal::SIGTERM)?;
        wait::until("the stack to end", ORDERLY, || {
            Check::that(
                !record.supervisor.is_alive(),
                "it is still ending its children",
            )
        })?;
        // Killed supervisors take their children along; this is for what even then stayed.
        for child in record.children.values() {
            child.signal(Signal::SIGKILL)?;
        }
        for (name, child) in &record.children {
            wait::until(&format!("{name} to end"), KILLED, || {
                Check::that(!child.is_alive(), "it runs after SIGKILL")
            })?;
        }
        supervisor::clean(&data)?;
        eprintln!("stopped the stack in {}", data.display());
        Ok(ExitCode::SUCCESS)
    }
}
