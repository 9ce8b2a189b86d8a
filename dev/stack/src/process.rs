//! One child process: started under the watchdog, with a log file, in a process group of its own.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::wait::{self, Check};
use crate::watchdog;

/// Waits for a line on its standard input before it becomes the program: by then the watchdog knows its number, so that no
/// moment exists in which a killed parent leaves the program behind.
const LAUNCH: &str = r#"read -r _ && exec "$@" </dev/null"#;

/// How many lines of a dead child's log go into the error message.
const TAIL_LINES: usize = 25;

/// What to run: program, arguments and environment (added to this process's own).
#[derive(Clone, Debug)]
pub struct Program {
    path: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Program {
    /// Names the executable, by path or to be found in `PATH`.
    pub fn new(path: impl AsRef<OsStr>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Appends arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(
            arguments
                .into_iter()
                .map(|argument| argument.as_ref().to_owned()),
        );
        self
    }

    /// Appends a flag and its value.
    #[must_use]
    pub fn arg(self, flag: &str, value: impl AsRef<OsStr>) -> Self {
        self.args([OsStr::new(flag), value.as_ref()])
    }

    /// Sets a variable; a later one of the same name wins.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets several variables.
    #[must_use]
    pub fn envs<N: AsRef<OsStr>, V: AsRef<OsStr>>(
        self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        variables
            .into_iter()
            .fold(self, |program, (name, value)| program.env(name, value))
    }
}

/// A running (or just ended) child. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    log_start: u64,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts the program with both outputs appended to `log`.
    pub(crate) fn spawn(name: &str, program: &Program, log: &Path) -> Result<Self> {
        if let Some(directory) = log.parent() {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let log_start = output.metadata()?.len();
        let child = Command::new("/bin/sh")
            .args(["-c", LAUNCH, "weir-stack"])
            .arg(&program.path)
            .args(&program.arguments)
            .envs(
                program
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut process = Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
            log_start,
            ended: None,
        };
        watchdog::guard(process.pid())?;
        let mut go = process.child.stdin.take().context("no pipe to the child")?;
        go.write_all(b"go\n")?;
        Ok(process)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns how the process ended, if it did.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
            if self.ended.is_some() {
                watchdog::release(self.pid())?;
            }
        }
        Ok(self.ended)
    }

    /// Sends a signal to the process and whatever it started.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!(
                "{} is not running: it ended with {}",
                self.name,
                describe(status)
            );
        }
        killpg(Pid::from_raw(i32::try_from(self.pid())?), signal)
            .with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    /// Asks the process to end and waits for it.
    ///
    /// # Errors
    /// It did not end in time; it is killed then.
    pub(crate) fn stop(&mut self, within: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        self.signal(Signal::SIGTERM)?;
        // A frozen process would hear of it only when it goes on.
        self.signal(Signal::SIGCONT)?;
        let what = format!("{} to end after SIGTERM", self.name);
        let waited = wait::until(&what, within, || match self.ended() {
            Ok(Some(status)) => Check::Done(status),
            Ok(None) => Check::NotYet("still running".to_owned()),
            Err(error) => Check::GiveUp(error),
        });
        if waited.is_err() {
            let tail = self.tail();
            self.kill()?;
            return waited.with_context(|| format!("the end of its log:\n{tail}"));
        }
        waited
    }

    /// Ends the process by SIGKILL and waits for it.
    pub(crate) fn kill(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        self.signal(Signal::SIGKILL)?;
        let status = self.child.wait()?;
        self.ended = Some(status);
        watchdog::release(self.pid())?;
        Ok(status)
    }

    /// # Errors
    /// The process ended; the message holds the end of its log.
    pub(crate) fn check_running(&mut self) -> Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => bail!(
                "{} ended with {}; the end of {}:\n{}",
                self.name,
                describe(status),
                self.log.display(),
                self.tail()
            ),
        }
    }

    /// Returns the last lines the process wrote.
    pub(crate) fn tail(&self) -> String {
        tail(&self.log, self.log_start).unwrap_or_else(|error| format!("(no log: {error})"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure, and the watchdog tries again at the end of this process.
        drop(self.kill());
    }
}

/// Runs a command to its end, which comes at the latest with this process's. Its standard output is captured.
///
/// # Errors
/// It cannot be started.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let pid = child.id();
    watchdog::guard(pid)?;
    let output = child.wait_with_output();
    watchdog::release(pid)?;
    Ok(output?)
}

/// Returns when a process was started, in clock ticks since boot; `None` if it ended.
///
/// Numbers of processes are used again: number and start time together name one for good.
pub fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses and may hold anything; the third is the state, the 22nd the start time.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    match fields.first() {
        None | Some(&"Z" | &"X") => None,
        Some(_) => fields.get(19)?.parse().ok(),
    }
}

/// Names an exit status as a person would.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => Signal::try_from(signal)
            .map_or_else(|_| format!("signal {signal}"), |signal| signal.to_string()),
        (None, None) => status.to_string(),
    }
}

fn tail(log: &Path, from: u64) -> Result<String> {
    /// Bytes at the end of the log that are looked at.
    const WINDOW: u64 = 64 << 10;
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(WINDOW))))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
}
