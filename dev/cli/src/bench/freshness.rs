//! How soon an event can be queried: from its arrival at the collector until a query sees its row.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use weir_stack::Stack;
use weir_stack::wait::{self, Check};

use super::client::{self, Load};
use super::figures::{Quantiles, per_second, round};
use super::requests::{self, Addressee};

/// What was sent in the first seconds is not counted.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long the last events may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks: by so much, and by what a look takes, the times are too long.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Connections of the load.
const CONNECTIONS: usize = 16;
/// Different from the seeds that filled the topics: those ids are stored already.
const SEED: u64 = 1 << 40;

/// Times from arrival to visibility under a steady load.
#[derive(Debug, Serialize)]
pub(crate) struct Freshness {
    /// Events sent per second.
    pub(crate) events_per_second: f64,
    /// Events counted.
    pub(crate) events: u64,
    /// The times.
    #[serde(flatten)]
    pub(crate) latency: Quantiles,
}

/// Offsets that were visible at a moment, in Unix microseconds.
#[derive(Debug, Default)]
struct Sightings(HashMap<(String, u32), Vec<(u64, u64)>>);

/// Sends `rate` events a second for so long, and looks all the time for what is visible in `database`.
///
/// # Errors
/// The collector refuses events, or they do not become visible.
pub(crate) fn measure(
    stack: &Stack,
    database: &str,
    rate: f64,
    seconds: Duration,
) -> Result<Freshness> {
    let url = stack.ingest_url()?;
    let authority = url.strip_prefix("http://").unwrap_or(&url);
    let description = stack.describe()?;
    let to = Addressee {
        authority,
        keys: &description.write_keys,
    };
    let wanted = rate * (WARM_UP + seconds).as_secs_f64();
    let requests = requests::visits(&to, SEED, wanted as u64)?;
    let events: u64 = requests.iter().map(|one| one.events).sum();
    let load = Load {
        authority: authority.to_owned(),
        rate: Some(rate * requests.len() as f64 / events as f64),
        connections: CONNECTIONS,
        requests: Arc::new(requests),
    };
    let begun = now_us()?;
    let counted_from = begun + u64::try_from(WARM_UP.as_micros())?;
    let ended = AtomicBool::new(false);
    let (sent, sightings) = std::thread::scope(|scope| {
        let looking = scope.spawn(|| look(stack, database, begun, &ended));
        let sent = client::deliver(load).and_then(|tally| {
            let took = now_us()? - begun;
            await_quiet(stack, database)?;
            Ok((tally, Duration::from_micros(took)))
        });
        ended.store(true, Ordering::Relaxed);
        let sightings = looking
            .join()
            .unwrap_or_else(|_| Err(anyhow!("the thread that looks panicked")));
        (sent, sightings)
    });
    let ((tally, took), sightings) = (sent?, sightings?);
    let micros = sightings.ages(stack, database, counted_from)?;
    if micros.is_empty() {
        bail!("no event became visible");
    }
    Ok(Freshness {
        events_per_second: round(per_second(tally.events, took), 0),
        events: micros.len() as u64,
        latency: Quantiles::median(&[Quantiles::of(micros)]),
    })
}

/// Asks again and again up to which offset each partition is visible: a batch is visible as a whole, and in order.
fn look(stack: &Stack, database: &str, from: u64, ended: &AtomicBool) -> Result<Sightings> {
    // The condition keeps it from reading what filled the topics.
    let newest = format!(
        "SELECT topic, partition, max(offset) FROM {database}.events \
         WHERE received_at >= fromUnixTimestamp64Milli(toInt64({})) GROUP BY topic, partition",
        from / 1000
    );
    let mut sightings = Sightings::default();
    loop {
        let last = ended.load(Ordering::Relaxed);
        let answer = stack.clickhouse().execute(&newest)?;
        let at = now_us()?;
        for line in answer.lines() {
            let [topic, partition, offset] = fields(line)?;
            let seen = sightings
                .0
                .entry((topic.to_owned(), partition.parse()?))
                .or_default();
            let offset = offset.parse()?;
            if seen.last().is_none_or(|(last, _)| *last < offset) {
                seen.push((offset, at));
            }
        }
        if last {
            return Ok(sightings);
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// Waits until the ledger has all that Kafka has.
fn await_quiet(stack: &Stack, database: &str) -> Result<()> {
    let records = weir_stack::balance::records_in_kafka(stack)?;
    let settled = format!(
        "SELECT sum(n_events + n_failed + n_lost + n_absent) FROM {database}.batches FINAL"
    );
    wait::until("the steady load to be stored", PATIENCE, || {
        match stack.clickhouse().execute(&settled) {
            Ok(answer) => Check::that(
                answer
                    .trim()
                    .parse::<u64>()
                    .is_ok_and(|settled| settled >= records),
                format!("{} of {records}", answer.trim()),
            ),
            Err(error) => Check::NotYet(format!("{error:#}")),
        }
    })
}

impl Sightings {
    /// Returns how long each event that arrived since `from` was invisible, in microseconds.
    fn ages(&self, stack: &Stack, database: &str, from: u64) -> Result<Vec<u32>> {
        let answer = stack.clickhouse().execute(&format!(
            "SELECT topic, partition, offset, toUnixTimestamp64Milli(received_at) FROM {database}.events \
             WHERE received_at >= fromUnixTimestamp64Milli(toInt64({}))",
            from / 1000
        ))?;
        let mut ages = Vec::new();
        for line in answer.lines() {
            let [topic, partition, offset, received] = fields(line)?;
            let seen = self
                .0
                .get(&(topic.to_owned(), partition.parse()?))
                .with_context(|| format!("{topic} was never seen"))?;
            let offset: u64 = offset.parse()?;
            let first = seen.partition_point(|(newest, _)| *newest < offset);
            let (_, at) = seen
                .get(first)
                .context("an event was stored after the last look")?;
            let received: u64 = received.parse()?;
            ages.push(u32::try_from(at.saturating_sub(received * 1000)).unwrap_or(u32::MAX));
        }
        Ok(ages)
    }
}

fn fields<const N: usize>(line: &str) -> Result<[&str; N]> {
    let fields: Vec<&str> = line.split('\t').collect();
    fields
        .try_into()
        .map_err(|_| anyhow!("ClickHouse answered {line:?}, which has not {N} columns"))
}

fn now_us() -> Result<u64> {
    Ok(u64::try_from(
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros(),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_as_many_fields_as_asked_for() {
        assert_eq!(fields::<2>("a\tb").unwrap(), ["a", "b"]);
        assert!(fields::<3>("a\tb").is_err());
    }
}
