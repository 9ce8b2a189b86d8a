//! `cargo dev bench processor`: the processor beside a consumer that only reads, on the same topics.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use weir_stack::wait::{self, Check};
use weir_stack::{Role, RoleProcess, RoleSpec, Stack, StackOptions, balance, progress};

use super::client::{self, Load};
use super::figures::{mebibytes, median, micros_each, number, per_second, print_table, round};
use super::freshness::{self, Freshness};
use super::meter::{Meter, Usage};
use super::reference::{self, Flow};
use super::requests::{self, Addressee};
use super::{Common, Machine};

/// How long anything may take before the measurement gives up on it.
const PATIENCE: Duration = Duration::from_secs(180);
/// Events that are prepared at a time while the topics are filled.
const CHUNK: u64 = 20_000;
/// Connections that fill the topics.
const CONNECTIONS: usize = 32;

/// Events a second from Kafka to ClickHouse, beside a bare consumer, and how soon an event can be queried.
///
/// The topics are filled once, through the collector, with the demo's traffic: four platforms, several kinds of events,
/// repeats and failures. Each round then lets a bare consumer read them, and a processor with a group and a database of its
/// own work them off, from the moment it has its partitions until the ledger accounts for every record. The last one stays
/// for the freshness: a steady load, and the time from an event's arrival at the collector until a query sees it.
#[derive(Debug, clap::Args)]
pub(crate) struct Processor {
    #[command(flatten)]
    pub(super) common: Common,
    /// Events in the topics
    #[arg(long, default_value_t = 400_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Seconds of the steady load
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Events a second of the steady load
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
}

/// One round.
#[derive(Clone, Copy, Debug)]
struct Round {
    bare: Flow,
    startup: Duration,
    took: Duration,
    processor: Usage,
    clickhouse: Usage,
    kafka: Usage,
}

#[derive(Debug, Serialize)]
struct Report {
    bench: &'static str,
    machine: Machine,
    rounds: u32,
    records: u64,
    stored: u64,
    failed: u64,
    record_bytes: u64,
    events_per_second: f64,
    cpu_us_per_event: f64,
    ratio_to_bare_consumer: f64,
    rss_bytes: u64,
    clickhouse_cpu_us_per_event: f64,
    kafka_cpu_us_per_event: f64,
    startup_seconds: f64,
    bare_consumer: Consumer,
    freshness: Freshness,
}

#[derive(Debug, Serialize)]
struct Consumer {
    events_per_second: f64,
    cpu_us_per_event: f64,
}

impl Processor {
    /// Runs the command.
    ///
    /// # Errors
    /// The stack does not start, or the processor does not get through.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let stack = Stack::start(StackOptions {
            profile: self.common.profile(),
            roles: vec![RoleSpec::new(Role::Ingest)],
            ..StackOptions::default()
        })?;
        let machine = Machine::look()?;
        let record_bytes = self.fill(&stack)?;
        let records = balance::records_in_kafka(&stack)?;
        let mut rounds = Vec::new();
        let mut last = None;
        for number in 1..=self.common.rounds {
            let started = Instant::now();
            if let Some(lane) = last.take() {
                Lane::end(lane, &stack)?;
            }
            let (round, lane) = self.round(&stack, number, records)?;
            rounds.push(round);
            last = Some(lane);
            progress::step(
                &format!("round {number} of {}", self.common.rounds),
                started,
            );
        }
        let lane = last.context("no round was measured")?;
        let (stored, failed) = lane.stored(&stack)?;
        let seconds = Duration::from_secs(self.seconds);
        let freshness = freshness::measure(&stack, &lane.database, self.rate, seconds)?;
        lane.end(&stack)?;
        drop(stack);
        let each = |of: &dyn Fn(&Round) -> f64| median(rounds.iter().map(of));
        let cpu =
            |of: fn(&Round) -> Usage| round(each(&|one| micros_each(of(one).cpu, records)), 2);
        let report = Report {
            bench: "processor",
            machine,
            rounds: self.common.rounds,
            records,
            stored,
            failed,
            record_bytes,
            events_per_second: round(each(&|one| per_second(records, one.took)), 0),
            cpu_us_per_event: cpu(|one| one.processor),
            ratio_to_bare_consumer: round(
                each(&|one| per_second(records, one.took) / one.bare.per_second()),
                4,
            ),
            rss_bytes: rounds
                .iter()
                .map(|one| one.processor.rss_peak_bytes)
                .max()
                .unwrap_or(0),
            clickhouse_cpu_us_per_event: cpu(|one| one.clickhouse),
            kafka_cpu_us_per_event: cpu(|one| one.kafka),
            startup_seconds: round(each(&|one| one.startup.as_secs_f64()), 2),
            bare_consumer: Consumer {
                events_per_second: round(each(&|one| one.bare.per_second()), 0),
                cpu_us_per_event: round(each(&|one| one.bare.cpu_us()), 2),
            },
            freshness,
        };
        if self.common.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            report.print();
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Fills the topics; returns the mean size of an event as sent, in bytes.
    fn fill(&self, stack: &Stack) -> Result<u64> {
        let started = Instant::now();
        let url = stack.ingest_url()?;
        let authority = url.strip_prefix("http://").unwrap_or(&url);
        let description = stack.describe()?;
        let to = Addressee {
            authority,
            keys: &description.write_keys,
        };
        let (mut accepted, mut bytes, mut events, mut seed) = (0, 0, 0, 0);
        while accepted < self.events {
            let chunk = CHUNK.min(self.events - accepted);
            let requests = requests::visits(&to, seed, chunk)?;
            bytes += requests.iter().map(|one| one.bytes).sum::<u64>();
            events += requests.iter().map(|one| one.events).sum::<u64>();
            let tally = client::deliver(Load {
                authority: authority.to_owned(),
                requests: Arc::new(requests),
                connections: CONNECTIONS,
                rate: None,
            })?;
            if tally.events == 0 {
                bail!("the collector takes nothing: {:?}", tally.refused);
            }
            accepted += tally.events;
            seed += 1;
        }
        progress::step(&format!("{accepted} events are in Kafka"), started);
        Ok(bytes / events.max(1))
    }

    fn round(&self, stack: &Stack, number: u32, records: u64) -> Result<(Round, Lane)> {
        let topics = balance::RAW_TOPICS.join(",");
        let bare = reference::run(&[
            "consume",
            "--brokers",
            stack.kafka().bootstrap(),
            "--topics",
            &topics,
            "--measure-ms",
            "3000",
        ])?;
        let lane = Lane::begin(stack, number)?;
        let spec = RoleSpec::new(Role::Processor)
            .named(&lane.database)
            .env("WEIR_CLICKHOUSE_DATABASE", &lane.database)
            .env("WEIR_PROCESSOR_GROUP", &lane.database);
        let started = Instant::now();
        let processor = stack.spawn_role(&self.common.configure(spec))?;
        wait::until("the processor to have partitions", PATIENCE, || {
            assigned(&processor)
        })?;
        let startup = started.elapsed();
        let pid = |name: &str| {
            let pids = stack.describe()?.pids;
            pids.get(name)
                .copied()
                .with_context(|| format!("no process is called {name}"))
        };
        let meters = [
            Meter::start(pid(&lane.database)?)?,
            Meter::start(pid("clickhouse")?)?,
            Meter::start(pid("kafka")?)?,
        ];
        let started = Instant::now();
        wait::until("every record to be in the ledger", PATIENCE, || {
            if let Ok(Some(ended)) = processor.service().ended_text() {
                return Check::GiveUp(anyhow::anyhow!("the processor ended with {ended}"));
            }
            match lane.settled(stack) {
                Ok(settled) => Check::that(settled >= records, format!("{settled} of {records}")),
                Err(error) => Check::NotYet(format!("{error:#}")),
            }
        })
        .with_context(|| format!("its log ends:\n{}", processor.service().log_tail()))?;
        let took = started.elapsed();
        let [processor, clickhouse, kafka] = meters;
        Ok((
            Round {
                bare,
                startup,
                took,
                processor: processor.read()?,
                clickhouse: clickhouse.read()?,
                kafka: kafka.read()?,
            },
            lane,
        ))
    }
}

/// A processor's own database; its group and its name are the same.
#[derive(Debug)]
struct Lane {
    database: String,
}

impl Lane {
    fn begin(stack: &Stack, number: u32) -> Result<Self> {
        let database = format!("bench_{number}");
        stack
            .clickhouse()
            .execute(&format!("CREATE DATABASE {database}"))?;
        for command in [["migrate", "up"], ["topics", "apply"]] {
            let output = stack
                .weir_command()
                .env("WEIR_CLICKHOUSE_DATABASE", &database)
                .args(command)
                .output()?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                bail!("`weir {}` failed: {said}", command.join(" "));
            }
        }
        Ok(Self { database })
    }

    fn settled(&self, stack: &Stack) -> Result<u64> {
        let database = &self.database;
        let answer = stack.clickhouse().execute(&format!(
            "SELECT sum(n_events + n_failed + n_lost + n_absent) FROM {database}.batches FINAL"
        ))?;
        Ok(answer.trim().parse()?)
    }

    fn stored(&self, stack: &Stack) -> Result<(u64, u64)> {
        let database = &self.database;
        let answer = stack.clickhouse().execute(&format!(
            "SELECT sum(n_events), sum(n_failed) FROM {database}.batches FINAL"
        ))?;
        let (events, failed) = answer.trim().split_once('\t').context("not two columns")?;
        Ok((events.parse()?, failed.parse()?))
    }

    /// Ends the processor and drops the database, so that nothing is merged while the next round is measured.
    fn end(self, stack: &Stack) -> Result<()> {
        stack.role(&self.database)?.service().stop()?;
        stack
            .clickhouse()
            .execute(&format!("DROP DATABASE {} SYNC", self.database))?;
        Ok(())
    }
}

fn assigned(processor: &RoleProcess) -> Check<()> {
    if let Ok(Some(ended)) = processor.service().ended_text() {
        let log = processor.service().log_tail();
        return Check::GiveUp(anyhow::anyhow!("it ended with {ended}:\n{log}"));
    }
    match processor.metric("weir_processor_rebalances_total") {
        Ok(Some(count)) => Check::that(count > 0.0, "none yet"),
        Ok(None) => Check::NotYet("no rebalance yet".to_owned()),
        Err(error) => Check::NotYet(format!("{error:#}")),
    }
}

impl Report {
    fn print(&self) {
        print_table(
            &format!(
                "processor: medians of {} rounds, {} records ({} stored, {} failed) of {} bytes, {} cores, {}",
                self.rounds,
                number(self.records as f64),
                number(self.stored as f64),
                number(self.failed as f64),
                self.record_bytes,
                self.machine.cores,
                self.machine.cpu
            ),
            &["", "events/s", "CPU µs/event", "RSS peak"],
            &[
                vec![
                    "bare consumer".to_owned(),
                    number(self.bare_consumer.events_per_second),
                    number(self.bare_consumer.cpu_us_per_event),
                    String::new(),
                ],
                vec![
                    "processor".to_owned(),
                    number(self.events_per_second),
                    number(self.cpu_us_per_event),
                    mebibytes(self.rss_bytes),
                ],
                vec![
                    "  ClickHouse meanwhile".to_owned(),
                    String::new(),
                    number(self.clickhouse_cpu_us_per_event),
                    String::new(),
                ],
                vec![
                    "  Kafka meanwhile".to_owned(),
                    String::new(),
                    number(self.kafka_cpu_us_per_event),
                    String::new(),
                ],
            ],
        );
        println!(
            "\n{} of a bare consumer's events/s; partitions {} s after the start\n\
             freshness at {} events/s, from arrival to visible in ClickHouse: p50 {} ms, p99 {} ms ({} events)",
            number(self.ratio_to_bare_consumer),
            number(self.startup_seconds),
            number(self.freshness.events_per_second),
            number(self.freshness.latency.p50_ms),
            number(self.freshness.latency.p99_ms),
            number(self.freshness.events as f64),
        );
    }
}
