//! Sent = stored + failed + duplicates: whether everything that was acknowledged is somewhere, once.

use std::collections::BTreeSet;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::Stack;
use crate::wait::{self, Check};

/// The topics that the collector writes and the processor reads.
pub const RAW_TOPICS: [&str; 4] = [
    "events.web",
    "events.ios",
    "events.android",
    "events.server",
];

/// How long Kafka may take to say how much it holds.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What became of everything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Balance {
    /// Records in Kafka.
    pub records: u64,
    /// Rows of `events`.
    pub events: u64,
    /// Rows of `failed_events`, duplicates not among them.
    pub failed: u64,
    /// Rows of `failed_events` that repeat a stored event.
    pub duplicates: u64,
}

/// Returns how many records the raw topics hold, by asking the broker.
///
/// # Errors
/// The broker is away.
pub fn records_in_kafka(stack: &Stack) -> Result<u64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", stack.kafka().bootstrap())
        .create()?;
    let mut records = 0;
    for topic in RAW_TOPICS {
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
        for partition in metadata
            .topics()
            .iter()
            .flat_map(|found| found.partitions())
        {
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), TIMEOUT)?;
            records += u64::try_from(high - low)?;
        }
    }
    Ok(records)
}

/// Waits until the ledger accounts for so many offsets.
///
/// # Errors
/// It does not within the time.
pub fn await_records(stack: &Stack, records: u64, within: Duration) -> Result<()> {
    const SETTLED: &str = "SELECT sum(n_events + n_failed + n_lost + n_absent) FROM batches FINAL";
    wait::until(
        "every record to be in the ledger",
        within,
        || match number(stack, SETTLED) {
            Ok(settled) => Check::that(settled >= records, format!("{settled} of {records}")),
            Err(error) => Check::NotYet(format!("{error:#}")),
        },
    )
}

/// Waits until everything in Kafka is in the ledger, then lets `weir verify` have the last word.
///
/// # Errors
/// It takes longer, or `weir verify` finds a difference; the message holds what it prints.
pub fn settle(stack: &Stack, within: Duration) -> Result<()> {
    await_records(stack, records_in_kafka(stack)?, within)?;
    let output = verify(stack)?;
    ensure!(
        output.status.success(),
        "weir verify is red:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Runs `weir verify`, whatever it finds.
///
/// # Errors
/// It cannot be run.
pub fn verify(stack: &Stack) -> Result<Output> {
    Ok(stack.weir_command().arg("verify").output()?)
}

/// Settles, then makes sure that everything acknowledged is stored or failed, nothing is stored twice, and every record is
/// one row of one table. The ids all begin with `prefix`.
///
/// # Errors
/// Whatever differs.
pub fn check(
    stack: &Stack,
    prefix: &str,
    acknowledged: &BTreeSet<String>,
    within: Duration,
) -> Result<Balance> {
    settle(stack, within)?;
    nothing_is_twice(stack)?;
    let stored = ids(stack, prefix)?;
    let missing: Vec<&String> = acknowledged.difference(&stored).collect();
    ensure!(
        missing.is_empty(),
        "{} of {} acknowledged events are in no table, such as {:?}",
        missing.len(),
        acknowledged.len(),
        missing.first()
    );
    let failed = number(stack, "SELECT count() FROM failed_events")?;
    let duplicates = number(
        stack,
        "SELECT count() FROM failed_events WHERE reason = 'duplicate'",
    )?;
    let balance = Balance {
        records: records_in_kafka(stack)?,
        events: number(stack, "SELECT count() FROM events")?,
        failed: failed - duplicates,
        duplicates,
    };
    ensure!(
        balance.events + failed == balance.records,
        "{} records are not {} stored, {} failed and {} duplicates",
        balance.records,
        balance.events,
        balance.failed,
        balance.duplicates
    );
    Ok(balance)
}

/// Checks that no event is stored twice, by id and by coordinates.
///
/// # Errors
/// One is.
pub fn nothing_is_twice(stack: &Stack) -> Result<()> {
    let counts = stack.clickhouse().execute(
        "SELECT count(), uniqExact(source_id, event_id), uniqExact(stream, topic, partition, offset) FROM events",
    )?;
    let mut distinct: Vec<&str> = counts.trim_end().split('\t').collect();
    distinct.dedup();
    if distinct.len() != 1 {
        bail!(
            "rows, ids and coordinates of events differ: {}",
            counts.trim_end()
        );
    }
    Ok(())
}

/// Returns the ids with this beginning that the tables hold, those of failures too.
///
/// # Errors
/// ClickHouse is away.
pub fn ids(stack: &Stack, prefix: &str) -> Result<BTreeSet<String>> {
    let answer = stack.clickhouse().execute(&format!(
        "SELECT DISTINCT id FROM (SELECT client_event_id AS id FROM events UNION ALL SELECT event_id AS id FROM failed_events) \
         WHERE startsWith(id, '{prefix}')"
    ))?;
    Ok(answer.lines().map(str::to_owned).collect())
}

/// Runs a query that gives one number.
///
/// # Errors
/// ClickHouse is away, or it gives something else.
pub fn number(stack: &Stack, sql: &str) -> Result<u64> {
    let text = stack.clickhouse().execute(sql)?;
    text.trim_end()
        .parse()
        .with_context(|| format!("{sql} gave {text:?}"))
}
