//! `cargo dev up`: the stack in the foreground, or in the background with `--detach`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use weir_stack::wait::{self, Check};
use weir_stack::{Description, Ports, Profile, Stack, StackOptions, progress};

use super::place::{self, Found, Lock};
use super::record::{Known, Record};
use super::supervisor::{self, Supervisor};
use crate::signals;

/// Builds and starts Kafka, ClickHouse, migrations, topics and all roles, and waits until they are ready.
///
/// A process that dies, also by kill -9, is started again on the same data and ports; one that was ended by SIGTERM stays ended.
/// Ports are 9092 (Kafka), 8123 (ClickHouse), 8080 (ingest) and 9101 upward (metrics), or free ones where these are taken.
/// WEIR_CLICKHOUSE_URL (with WEIR_CLICKHOUSE_USER and WEIR_CLICKHOUSE_PASSWORD) names a real server to use instead.
#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// Return when everything is ready; `cargo dev down` stops it
    #[arg(long)]
    detach: bool,
    /// Print one JSON object with addresses, keys and processes
    #[arg(long)]
    json: bool,
    /// Build with optimisations
    #[arg(long)]
    release: bool,
    /// Where data and logs are kept [default: .weir in the workspace]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// What `--detach` starts in the background
    #[arg(long, hide = true)]
    background: bool,
}

impl Up {
    /// Runs the command.
    ///
    /// # Errors
    /// Something does not build or start.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let data = place::data_directory(self.data.as_deref())?;
        let lock = Lock::take(&data)?;
        match (lock, self.detach) {
            (None, true) => {
                eprintln!("the stack in {} is running already", data.display());
                let description = running(&data)?;
                self.print(&description, Found::ByItself)?;
                Ok(ExitCode::SUCCESS)
            }
            (None, false) => bail!(
                "the stack in {} is running already: see `cargo dev status`, stop it with `cargo dev down`, or start another \
                 with --data",
                data.display()
            ),
            (Some(lock), true) => {
                drop(lock);
                self.detach(&data)
            }
            (Some(_lock), false) => self.foreground(&data),
        }
    }

    fn foreground(&self, data: &Path) -> Result<ExitCode> {
        if self.background {
            // The terminal may close.
            nix::unistd::setsid().context("cannot leave the terminal")?;
        }
        let signals = signals::channel_of_signals()?;
        supervisor::clean(data)?;
        Record::starting()?.write(data)?;
        let stack = match start(self.options(data), &signals) {
            Ok(Some(stack)) => stack,
            interrupted_or_failed => {
                supervisor::clean(data)?;
                return interrupted_or_failed.map(|_| ExitCode::from(130));
            }
        };
        let mut supervisor = Supervisor::new(stack);
        let found = supervisor.publish()?;
        if !self.background {
            self.print(&supervisor.stack().describe()?, found)?;
            eprintln!("Ctrl-C stops it.");
        }
        let watched = supervisor.watch(&signals);
        supervisor.stop()?;
        watched?;
        Ok(ExitCode::SUCCESS)
    }

    fn options(&self, data: &Path) -> StackOptions {
        StackOptions {
            data: Some(data.to_path_buf()),
            ports: Ports::Usual,
            profile: if self.release {
                Profile::Release
            } else {
                Profile::Dev
            },
            ..StackOptions::default()
        }
    }

    fn detach(&self, data: &Path) -> Result<ExitCode> {
        supervisor::clean(data)?;
        let signals = signals::channel_of_signals()?;
        let logs = data.join("logs");
        fs::create_dir_all(&logs)?;
        let log = logs.join("up.log");
        let output =
            File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["up", "--background", "--data"]).arg(data);
        if self.release {
            command.arg("--release");
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start the background process")?;
        if !follow(&mut child, &log, data, &signals)? {
            return Ok(ExitCode::from(130));
        }
        let found = place::announce(&running(data)?)?;
        self.print(&running(data)?, found)?;
        eprintln!("`cargo dev down` stops it.");
        Ok(ExitCode::SUCCESS)
    }

    fn print(&self, description: &Description, found: Found) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(description)?)?;
        } else {
            write!(out, "{}", summary(description, found))?;
        }
        out.flush()?;
        Ok(())
    }
}

/// Starts a stack; `None` if a signal came meanwhile. The children then die with this process.
///
/// # Errors
/// Something does not build or start.
pub(crate) fn start(options: StackOptions, signals: &Receiver<()>) -> Result<Option<Stack>> {
    let started = Instant::now();
    let starting = thread::spawn(move || Stack::start(options));
    while !starting.is_finished() {
        if signals.recv_timeout(Duration::from_millis(100)).is_ok() {
            progress::line("interrupted");
            return Ok(None);
        }
    }
    match starting.join() {
        Ok(stack) => {
            let stack = stack?;
            progress::step("everything is ready", started);
            Ok(Some(stack))
        }
        Err(_) => bail!("the thread that started the stack panicked"),
    }
}

/// Copies the background process's log to standard error until it is ready; false if a signal came first.
fn follow(child: &mut Child, log: &Path, data: &Path, signals: &Receiver<()>) -> Result<bool> {
    let mut log = File::open(log)?;
    loop {
        let interrupted = signals.recv_timeout(Duration::from_millis(100)).is_ok();
        let ended = child.try_wait()?;
        let ready = Record::read(data)?
            .is_some_and(|record| record.ready && record.supervisor.pid == child.id());
        let mut text = String::new();
        log.read_to_string(&mut text)?;
        eprint!("{text}");
        if interrupted && let Some(known) = Known::of(child.id()) {
            known.signal(Signal::SIGTERM)?;
            wait::until(
                "the background process to end",
                Duration::from_secs(120),
                || Check::that(!known.is_alive(), "it runs"),
            )?;
            return Ok(false);
        }
        if let Some(status) = ended {
            bail!("the stack did not start ({status}); what it said is above");
        }
        if ready {
            return Ok(true);
        }
    }
}

/// Reads the description of the stack that runs in the data directory, waiting for it if it is being started.
fn running(data: &Path) -> Result<Description> {
    let what = format!("the stack in {} to be ready", data.display());
    wait::until(&what, Duration::from_secs(300), || {
        if !place::is_running(data) {
            return Check::GiveUp(anyhow::anyhow!("it ended"));
        }
        match Record::read(data) {
            Ok(Some(record)) if record.ready => match Description::read(&data.join("stack.json")) {
                Ok(Some(description)) => Check::Done(description),
                Ok(None) => Check::NotYet("no stack file".to_owned()),
                Err(error) => Check::GiveUp(error),
            },
            Ok(_) => Check::NotYet("it is starting".to_owned()),
            Err(error) => Check::GiveUp(error),
        }
    })
}

/// Says where everything is and how to use it.
fn summary(description: &Description, found: Found) -> String {
    let key = |source: &str| {
        description
            .write_keys
            .get(source)
            .map_or("", String::as_str)
    };
    let metrics: Vec<String> = description
        .metrics
        .iter()
        .map(|(name, url)| format!("{name} {url}/metrics"))
        .collect();
    let clickhouse = &description.clickhouse;
    let variable = match found {
        Found::ByItself => String::new(),
        Found::ByVariable => format!(
            "another stack runs: for commands on this one set WEIR_STACK={}/stack.json\n",
            description.data.display()
        ),
    };
    format!(
        "\ncollector   {}  (write keys: web {}, server {})\n\
         ClickHouse  {}  (user {}, password {}, database {})\n\
         Kafka       {}\n\
         metrics     {}\n\
         data, logs  {}\n{variable}",
        description.ingest,
        key("web"),
        key("server"),
        clickhouse.url,
        clickhouse.reader,
        clickhouse.reader_password,
        clickhouse.database,
        description.kafka,
        metrics.join(", "),
        description.data.display(),
    )
}
