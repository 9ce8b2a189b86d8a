//! `cargo dev demo`: the whole pipeline with made-up traffic, from nothing to numbers.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use time::OffsetDateTime;
use weir_stack::{Description, Ports, Profile, StackOptions};

use self::report::Verdicts;
use self::send::{Goal, Progress};
use self::traffic::Traffic;
use crate::local::place::{self, Lock};
use crate::local::supervisor::{self, Supervisor};
use crate::local::up;
use crate::signals;

mod flaws;
pub(crate) mod random;
mod report;
mod scenery;
mod send;
pub(crate) mod traffic;

/// Longest time without a new verdict before the demo gives up.
const STALLED: Duration = Duration::from_secs(60);

/// Starts the stack, sends realistic traffic through it and prints the numbers; stays up until Ctrl-C and leaves nothing running.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// How many events to send
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Stop sending after this many seconds, even if fewer events were sent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Build with optimisations
    #[arg(long)]
    release: bool,
    /// Keep data and logs here [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// End after printing the numbers instead of staying up
    #[arg(long)]
    exit: bool,
}

impl Demo {
    /// Runs the command.
    ///
    /// # Errors
    /// Something does not build or start, or events get lost.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let signals = signals::channel_of_signals()?;
        let data = match &self.data {
            Some(data) => Some(place::data_directory(Some(data))?),
            None => None,
        };
        let _lock = match &data {
            Some(data) => {
                let Some(lock) = Lock::take(data)? else {
                    bail!("a stack is running in {} already", data.display());
                };
                supervisor::clean(data)?;
                Some(lock)
            }
            None => None,
        };
        let options = StackOptions {
            data,
            ports: Ports::Usual,
            profile: if self.release {
                Profile::Release
            } else {
                Profile::Dev
            },
            // Requests name made-up clients in X-Forwarded-For.
            environment: vec![(
                "WEIR_INGEST_TRUSTED_PROXIES".to_owned(),
                "127.0.0.1/32".to_owned(),
            )],
            ..StackOptions::default()
        };
        let Some(stack) = up::start(options, &signals)? else {
            return Ok(ExitCode::from(130));
        };
        let mut supervisor = Supervisor::new(stack);
        let shown = self.show(&mut supervisor, &signals);
        supervisor.stop()?;
        shown
    }

    fn show(&self, supervisor: &mut Supervisor, signals: &Receiver<()>) -> Result<ExitCode> {
        let found = supervisor.publish()?;
        let stack = supervisor.stack();
        let description = stack.describe()?;
        let before = Verdicts::count(&description)?;
        let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let traffic = Traffic::new(
            u64::try_from(seed & u128::from(u64::MAX))?,
            OffsetDateTime::now_utc(),
            self.events,
        );
        let goal = Goal {
            events: self.events,
            within: self.seconds.map(Duration::from_secs),
        };
        let Some(tally) = send::send(traffic, &description, goal, signals)? else {
            return Ok(ExitCode::from(130));
        };
        let expected = before.all() + tally.accepted;
        let Some(after) = stored(&description, before, expected, signals)? else {
            return Ok(ExitCode::from(130));
        };
        let new = Verdicts {
            stored: after.stored - before.stored,
            failed: after.failed - before.failed,
            duplicates: after.duplicates - before.duplicates,
        };
        report::print(stack, &description, &tally, new)?;
        if self.exit {
            return Ok(ExitCode::SUCCESS);
        }
        report::print_invitation(stack, &description, found)?;
        println!("Ctrl-C ends everything.");
        supervisor.watch(signals)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Waits until every accepted record has its verdict; `None` if a signal came.
fn stored(
    description: &Description,
    before: Verdicts,
    expected: u64,
    signals: &Receiver<()>,
) -> Result<Option<Verdicts>> {
    let bar = Progress::new("judged", expected - before.all());
    let mut last = (Instant::now(), before.all());
    loop {
        let verdicts = Verdicts::count(description).context("cannot count what is stored")?;
        bar.at(verdicts.all() - before.all());
        if verdicts.all() >= expected {
            bar.end();
            return Ok(Some(verdicts));
        }
        if verdicts.all() != last.1 {
            last = (Instant::now(), verdicts.all());
        }
        if last.0.elapsed() > STALLED {
            bail!(
                "{} of {expected} records have a verdict and none came for {STALLED:?}; logs are in {}",
                verdicts.all(),
                description.data.join("logs").display()
            );
        }
        if signals.recv_timeout(Duration::from_millis(200)).is_ok() {
            return Ok(None);
        }
    }
}
