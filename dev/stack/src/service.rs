//! A part of the stack that can be started, stopped, killed, frozen and started again on the same data and ports.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::process::{Process, Program, describe};
use crate::wait::{self, Check};

/// Decides whether a service answers.
pub(crate) type Probe = Box<dyn Fn() -> Check<()> + Send + Sync>;

/// One child process and the way to start it again. All methods take `&self` and may be called from several threads.
pub struct Service {
    name: String,
    program: Program,
    log: PathBuf,
    probe: Probe,
    ready_within: Duration,
    stop_within: Duration,
    process: Mutex<Option<Process>>,
}

impl Service {
    /// Describes a service without starting it.
    pub(crate) fn new(name: &str, program: Program, log: PathBuf, probe: Probe) -> Self {
        Self {
            name: name.to_owned(),
            program,
            log,
            probe,
            ready_within: Duration::from_secs(60),
            stop_within: Duration::from_secs(45),
            process: Mutex::new(None),
        }
    }

    /// Returns the name it is known by, such as `processor`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the file both of its outputs are appended to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Starts the process and waits until it answers.
    ///
    /// # Errors
    /// It runs already, ended (the message holds the end of its log), or does not answer in time.
    pub fn start(&self) -> Result<()> {
        self.spawn()?;
        self.wait_ready()
    }

    /// Starts the process without waiting until it answers.
    ///
    /// # Errors
    /// It runs already or cannot be started.
    pub fn spawn(&self) -> Result<()> {
        let mut process = self.process();
        if let Some(process) = process.as_mut()
            && process.ended()?.is_none()
        {
            bail!("{} runs already, as process {}", self.name, process.pid());
        }
        *process = Some(Process::spawn(&self.name, &self.program, &self.log)?);
        Ok(())
    }

    /// Waits until the running process answers.
    ///
    /// # Errors
    /// It ended (the message holds the end of its log), or does not answer in time.
    pub fn wait_ready(&self) -> Result<()> {
        let what = format!("{} to be ready", self.name);
        wait::until(&what, self.ready_within, || {
            if let Err(error) = self.check_running() {
                return Check::GiveUp(error);
            }
            (self.probe)()
        })
        .with_context(|| format!("its log is {}", self.log.display()))
    }

    /// Looks once whether the service answers.
    ///
    /// # Errors
    /// It does not; the message says what was seen.
    pub fn check_ready(&self) -> Result<()> {
        self.check_running()?;
        match (self.probe)() {
            Check::Done(()) => Ok(()),
            Check::NotYet(seen) => bail!("{} is not ready: {seen}", self.name),
            Check::GiveUp(error) => Err(error),
        }
    }

    /// Sends SIGTERM and waits for the end. A process that ended before is fine.
    ///
    /// # Errors
    /// It does not end within 45 s and is killed.
    pub fn stop(&self) -> Result<()> {
        match self.process().as_mut() {
            Some(process) => process.stop(self.stop_within).map(drop),
            None => Ok(()),
        }
    }

    /// Sends SIGKILL and waits for the end.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn kill9(&self) -> Result<()> {
        match self.process().as_mut() {
            Some(process) => process.kill().map(drop),
            None => Ok(()),
        }
    }

    /// Freezes the process.
    ///
    /// # Errors
    /// It is not running.
    pub fn sigstop(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets a frozen process go on.
    ///
    /// # Errors
    /// It is not running.
    pub fn sigcont(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Stops the process by SIGTERM and starts it again, with the same data and ports.
    ///
    /// # Errors
    /// As [`Self::stop`] and [`Self::start`].
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        self.start()
    }

    /// Returns the number of the process, also of one that ended; `None` before the first start.
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Process::pid)
    }

    /// Returns how the process ended; `None` while it runs or before the first start.
    ///
    /// # Errors
    /// The state of the process cannot be read.
    pub fn ended(&self) -> Result<Option<ExitStatus>> {
        self.process().as_mut().map_or(Ok(None), Process::ended)
    }

    /// Says how the process ended, as in `SIGKILL` or `exit code 1`; `None` while it runs.
    ///
    /// # Errors
    /// As [`Self::ended`].
    pub fn ended_text(&self) -> Result<Option<String>> {
        Ok(self.ended()?.map(describe))
    }

    /// Returns the last lines the present process wrote.
    pub fn log_tail(&self) -> String {
        self.process()
            .as_ref()
            .map_or_else(String::new, Process::tail)
    }

    fn check_running(&self) -> Result<()> {
        match self.process().as_mut() {
            Some(process) => process.check_running(),
            None => bail!("{} was not started", self.name),
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        match self.process().as_mut() {
            Some(process) => process.signal(signal),
            None => bail!("{} was not started", self.name),
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Service")
            .field("name", &self.name)
            .field("pid", &self.pid())
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}
