//! The stack under fault: one collector, one processor (now and then two), and loads that never stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use weir_stack::balance::{self, Balance};
use weir_stack::faults::{self, Mood, Witness};
use weir_stack::load::{Load, Sent, schemas_with_total_up_to};
use weir_stack::wait::{self, Check};
use weir_stack::{RoleProcess, RoleSpec, Stack, progress};

use super::plan::{Fault, Step};

/// How long anything may take on a busy machine before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(240);
/// Source and pause of each load.
const LOADS: [(&str, Duration); 3] = [
    ("web", Duration::from_millis(80)),
    ("ios", Duration::from_millis(120)),
    ("server", Duration::from_millis(160)),
];
/// Names of the processors that take turns.
const NAMES: [&str; 2] = ["processor-1", "processor-2"];

/// What was seen besides the faults themselves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Times a view lacked rows of its table after a fault.
    pub(crate) views_behind: u64,
    /// Times a processor had ended by itself and was started again, as a supervisor would.
    pub(crate) ended: u64,
}

/// The stack and who is who in it.
pub(crate) struct World<'a> {
    stack: &'a Stack,
    interrupted: &'a AtomicBool,
    witness: Witness,
    sets: [PathBuf; 2],
    schemas: usize,
    current: usize,
    processor: Arc<RoleProcess>,
    pub(crate) seen: Seen,
}

impl<'a> World<'a> {
    /// Takes over a stack that runs a collector and no processor.
    ///
    /// # Errors
    /// The processor does not start.
    pub(crate) fn new(stack: &'a Stack, interrupted: &'a AtomicBool) -> Result<Self> {
        let sets = [
            schemas_with_total_up_to(stack.data(), 1_000)?,
            schemas_with_total_up_to(stack.data(), 40)?,
        ];
        let witness = Witness::create(stack)?;
        let spec = spec(NAMES[0], &sets[0]);
        Ok(Self {
            stack,
            interrupted,
            witness,
            sets,
            schemas: 0,
            current: 0,
            processor: stack.start_role(&spec)?,
            seen: Seen::default(),
        })
    }

    /// Starts the loads of one leg; their ids begin with `prefix`.
    ///
    /// # Errors
    /// The stack has no collector.
    pub(crate) fn loads(&self, prefix: &str) -> Result<Vec<Load>> {
        LOADS
            .iter()
            .map(|(source, pause)| {
                Load::start(self.stack, &format!("{prefix}{source}"), source, *pause)
            })
            .collect()
    }

    /// Applies a fault and mends it, and makes sure that every load gets through again.
    ///
    /// # Errors
    /// Something does not come back.
    pub(crate) fn apply(&mut self, step: &Step, loads: &[Load]) -> Result<()> {
        self.schemas = step.schemas;
        match step.fault {
            Fault::KillProcessor => {
                self.kill()?;
                self.start()?;
            }
            Fault::KillProcessorAt { point, nth } => {
                self.kill()?;
                self.start_halting(point, nth)?;
                self.kill()?;
                self.start()?;
            }
            Fault::KillProcessorInsideInsert => {
                self.start_with_view(Mood::Slow)?;
                faults::await_insert(self.stack, &self.processor, PATIENCE)?;
                self.start_with_view(Mood::Willing)?;
            }
            Fault::ThrowingView => {
                self.start_with_view(Mood::Throwing)?;
                self.await_throw()?;
                self.start_with_view(Mood::Willing)?;
            }
            Fault::StopProcessor => {
                self.processor.service().stop()?;
                self.start()?;
            }
            Fault::Zombie {
                point,
                both,
                sleeper_stays,
            } => self.zombie(point, both, sleeper_stays)?,
            Fault::KillIngest { away } => {
                let ingest = self.stack.role("ingest")?;
                ingest.service().kill9()?;
                self.park(away);
                ingest.service().start()?;
            }
            Fault::KillKafka { away } => {
                self.stack.kafka().kill()?;
                self.park(away);
                self.stack.kafka().restart()?;
            }
            Fault::FreezeKafka { away } => {
                let service = self.stack.kafka().service();
                service.sigstop()?;
                self.park(away);
                service.sigcont()?;
            }
            Fault::KillClickHouse { away } => {
                self.stack.clickhouse().kill()?;
                self.park(away);
                self.stack.clickhouse().restart()?;
            }
            Fault::KillClickHouseInsideInsert { away } => {
                self.start_with_view(Mood::Slow)?;
                faults::await_insert(self.stack, &self.processor, PATIENCE)?;
                self.stack.clickhouse().kill()?;
                self.park(away);
                self.stack.clickhouse().restart()?;
                self.start_with_view(Mood::Willing)?;
            }
            Fault::FreezeClickHouse { away } => {
                let service = self.stack.clickhouse().service()?;
                service.sigstop()?;
                self.park(away);
                service.sigcont()?;
            }
        }
        self.revive()?;
        for load in loads {
            load.await_more(1, PATIENCE)?;
        }
        Ok(())
    }

    /// Ends the loads and proves that nothing is lost or doubled.
    ///
    /// # Errors
    /// Whatever differs.
    pub(crate) fn settle(&mut self, prefix: &str, loads: Vec<Load>) -> Result<(Sent, Balance)> {
        let mut sent = Sent::default();
        for load in loads {
            sent.merge(load.finish()?);
        }
        self.revive()?;
        let checked = balance::check(self.stack, prefix, &sent.acknowledged, PATIENCE);
        let balance = checked.with_context(|| {
            format!(
                "the processor's log ends:\n{}",
                self.processor.service().log_tail()
            )
        })?;
        self.witness.check(self.stack)?;
        Ok((sent, balance))
    }

    /// Returns how often a text occurs in the processors' logs.
    pub(crate) fn log_count(&self, text: &str) -> usize {
        NAMES
            .iter()
            .filter_map(|name| {
                let log = self.stack.data().join("logs").join(format!("{name}.log"));
                std::fs::read(log).ok()
            })
            .map(|log| String::from_utf8_lossy(&log).matches(text).count())
            .sum()
    }

    /// Lets some time pass, less when the run is interrupted.
    pub(crate) fn park(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.interrupted.load(Ordering::Relaxed) {
            let left = until.saturating_duration_since(Instant::now());
            std::thread::park_timeout(left.min(Duration::from_millis(100)));
        }
    }

    fn kill(&self) -> Result<()> {
        self.processor.service().kill9()
    }

    fn spec(&self, who: usize) -> RoleSpec {
        spec(NAMES[who], &self.sets[self.schemas])
    }

    /// Starts the current processor anew, without waiting: it may have nothing to be ready with.
    fn start(&mut self) -> Result<()> {
        self.processor = self.stack.spawn_role(&self.spec(self.current))?;
        Ok(())
    }

    fn start_halting(&mut self, point: &str, nth: u64) -> Result<()> {
        let spec = faults::halt_at(self.spec(self.current), point, nth);
        self.processor = self.stack.spawn_role(&spec)?;
        let pid = self.processor.service().pid().context("it does not run")?;
        faults::await_halt(pid, PATIENCE).with_context(|| format!("at {point}"))
    }

    /// Kills the processor, changes the view while nobody inserts, and starts the processor again.
    fn start_with_view(&mut self, mood: Mood) -> Result<()> {
        self.kill()?;
        faults::await_no_insert(self.stack, PATIENCE)?;
        self.seen.views_behind += u64::from(self.witness.lacking(self.stack)? > 0);
        self.witness.set(self.stack, mood)?;
        self.start()
    }

    fn await_throw(&self) -> Result<()> {
        wait::until("the view to throw", PATIENCE, || {
            if let Ok(Some(ended)) = self.processor.service().ended_text() {
                return Check::GiveUp(anyhow!("the processor ended with {ended}"));
            }
            match self.witness.lacking(self.stack) {
                Ok(lacking) => Check::that(lacking > 0, "it lacks no rows"),
                Err(error) => Check::NotYet(format!("{error:#}")),
            }
        })
    }

    fn zombie(
        &mut self,
        point: Option<&'static str>,
        both: Duration,
        sleeper_stays: bool,
    ) -> Result<()> {
        match point {
            Some(point) => {
                self.kill()?;
                self.start_halting(point, 1)?;
            }
            None => self.processor.service().sigstop()?,
        }
        let sleeper = Arc::clone(&self.processor);
        self.current = 1 - self.current;
        self.start()?;
        let successor = Arc::clone(&self.processor);
        wait::until("the successor to take over", PATIENCE, || {
            if let Ok(Some(ended)) = successor.service().ended_text() {
                return Check::GiveUp(anyhow!("it ended with {ended}"));
            }
            match successor.metric("weir_processor_rebalances_total") {
                Ok(Some(count)) => Check::that(count > 0.0, "no partitions"),
                Ok(None) => Check::NotYet("no partitions yet".to_owned()),
                Err(error) => Check::NotYet(format!("{error:#}")),
            }
        })?;
        self.park(both);
        sleeper.service().sigcont()?;
        self.park(both);
        if sleeper_stays {
            successor.service().kill9()?;
            self.processor = sleeper;
            self.current = 1 - self.current;
            return Ok(());
        }
        sleeper.service().kill9()
    }

    /// Starts a processor again that ended by itself.
    fn revive(&mut self) -> Result<()> {
        if let Some(ended) = self.processor.service().ended_text()? {
            progress::line(&format!(
                "{} ended by itself with {ended} and is started again; its log ends:\n{}",
                NAMES[self.current],
                self.processor.service().log_tail()
            ));
            self.seen.ended += 1;
            self.start()?;
        }
        Ok(())
    }
}

fn spec(name: &str, schemas: &std::path::Path) -> RoleSpec {
    faults::member(name).env("WEIR_PROCESSOR_SCHEMAS", &schemas.display().to_string())
}
