//! `cargo dev chaos`: seeded faults on the real stack under load, and a proof after every few of them.
//!
//! The same seed gives the same faults in the same order; what each meets differs from run to run, as it would anywhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use weir_stack::balance::{self, Balance};
use weir_stack::{Profile, Role, RoleSpec, Stack, StackOptions, progress};

use self::plan::{Plan, Step};
use self::world::World;
use crate::local::place;
use crate::signals;

mod plan;
mod world;

/// Breaks a stack under load by a seed, and proves after every few faults that nothing was lost or doubled.
///
/// Processors are killed at any moment, at exact steps and inside inserts, and started again with other schemas; frozen past
/// their session timeout while a second one takes over; collector, broker and ClickHouse are killed or frozen; a view throws.
/// After every few faults everything is worked off: `weir verify` has to be clean, and everything acknowledged stored once,
/// failed with a reason, or a duplicate. Debug builds, because only they can be stopped at an exact step. Exit code 1: something
/// differed; data and logs are kept then.
#[derive(Debug, clap::Args)]
pub(crate) struct Chaos {
    /// How many faults
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    kills: u64,
    /// What the faults and their order follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds between two faults, on average
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds_between: f64,
    /// After how many faults everything is worked off and checked
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    settle_every: u64,
    /// Keep data and logs here [default: a temporary directory, removed at the end if all is well]
    #[arg(long, value_name = "DIR")]
    data: Option<std::path::PathBuf>,
}

/// What the whole run came to.
#[derive(Debug, Default)]
struct Account {
    faults: BTreeMap<&'static str, u64>,
    acknowledged: usize,
    repeated: u64,
    balance: Option<Balance>,
}

impl Chaos {
    /// Runs the command.
    ///
    /// # Errors
    /// The stack does not start.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let interrupted = interruption()?;
        let temporary = match &self.data {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("weir-chaos-").tempdir()?),
        };
        let data = match &temporary {
            Some(temporary) => temporary.path().to_path_buf(),
            None => place::data_directory(self.data.as_deref())?,
        };
        let outcome = self.break_things(&data, &interrupted);
        match outcome {
            Ok(()) if interrupted.load(Ordering::Relaxed) => Ok(ExitCode::from(130)),
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => {
                let kept = temporary.map_or(data, tempfile::TempDir::keep);
                eprintln!(
                    "\nFAILED: {error:#}\n\ndata and logs are kept in {}\nagain: cargo dev chaos --kills {} --seed {} \
                     --seconds-between {} --settle-every {}",
                    kept.display(),
                    self.kills,
                    self.seed,
                    self.seconds_between,
                    self.settle_every
                );
                Ok(ExitCode::FAILURE)
            }
        }
    }

    fn break_things(&self, data: &Path, interrupted: &AtomicBool) -> Result<()> {
        let stack = Stack::start(StackOptions {
            data: Some(data.to_path_buf()),
            profile: Profile::Dev,
            roles: vec![RoleSpec::new(Role::Ingest)],
            ..StackOptions::default()
        })?;
        let mut world = World::new(&stack, interrupted)?;
        let mut account = Account::default();
        let pause = Duration::try_from_secs_f64(self.seconds_between)
            .context("--seconds-between is no time")?;
        let mut plan = Plan::new(self.seed, pause);
        let started = Instant::now();
        let mut done = 0;
        while done < self.kills && !interrupted.load(Ordering::Relaxed) {
            let prefix = format!("s{}-f{done}-", self.seed);
            let loads = world.loads(&prefix)?;
            let leg = self.settle_every.min(self.kills - done);
            for step in plan.by_ref().take(usize::try_from(leg)?) {
                if interrupted.load(Ordering::Relaxed) {
                    break;
                }
                done += 1;
                world.park(step.pause);
                self.announce(done, started, &step);
                world
                    .apply(&step, &loads)
                    .with_context(|| format!("fault {done} ({})", step.fault))?;
                *account.faults.entry(step.fault.kind()).or_default() += 1;
            }
            let (sent, balance) = world
                .settle(&prefix, loads)
                .with_context(|| format!("after fault {done}"))?;
            account.acknowledged += sent.acknowledged.len();
            account.repeated += sent.repeated;
            account.balance = Some(balance);
            println!(
                "{:>8.1} s  clean: {} records = {} stored + {} failed + {} duplicates",
                started.elapsed().as_secs_f64(),
                balance.records,
                balance.events,
                balance.failed,
                balance.duplicates
            );
        }
        account.print(&stack, &world)?;
        stack.stop()
    }

    fn announce(&self, number: u64, started: Instant, step: &Step) {
        println!(
            "{:>8.1} s  {number}/{}  {} (schemas {})",
            started.elapsed().as_secs_f64(),
            self.kills,
            step.fault,
            step.schemas
        );
    }
}

impl Account {
    fn print(&self, stack: &Stack, world: &World<'_>) -> Result<()> {
        println!("\nfaults:");
        for (kind, count) in &self.faults {
            println!("{count:>6}  {kind}");
        }
        let superseded = balance::number(
            stack,
            "SELECT count() FROM failed_events WHERE reason = 'superseded'",
        )?;
        println!(
            "\n{} events acknowledged, {} batches repeated\n\
             {} declared batches replayed, {} stored ones sent again, {superseded} events superseded by other schemas\n\
             views were behind their table {} times; processors ended by themselves {} times",
            self.acknowledged,
            self.repeated,
            world.log_count("replaying a declared batch"),
            world.log_count("stored rows were sent again"),
            world.seen.views_behind,
            world.seen.ended,
        );
        if let Some(balance) = self.balance {
            println!(
                "sent = stored + failed + duplicates: {} = {} + {} + {}",
                balance.records, balance.events, balance.failed, balance.duplicates
            );
        }
        Ok(())
    }
}

/// Becomes true on the first signal; the second ends this process, and with it the stack.
fn interruption() -> Result<Arc<AtomicBool>> {
    let signals = signals::channel_of_signals()?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    std::thread::spawn(move || {
        while signals.recv().is_ok() {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            progress::line("ending after a last check; a second signal ends at once");
        }
    });
    Ok(interrupted)
}
