//! What the tests share: sending, counting, waiting, and the last word of `weir verify`.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
pub(crate) use weir_stack::balance::{nothing_is_twice, number, records_in_kafka, verify};
use weir_stack::http::{self, Answer};
pub(crate) use weir_stack::load::schemas_with_total_up_to;
use weir_stack::wait::{self, Check};
use weir_stack::{Role, RoleSpec, Stack, StackOptions};
use weir_stack::{balance, faults};

/// How long anything may take on a busy machine before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Starts a stack with one collector and one processor that notices a dead one within 6 s.
pub(crate) fn start() -> Result<Stack> {
    start_with(vec![RoleSpec::new(Role::Ingest), processor()])
}

/// Starts a stack with these roles.
pub(crate) fn start_with(roles: Vec<RoleSpec>) -> Result<Stack> {
    Stack::start(StackOptions {
        roles,
        ..StackOptions::default()
    })
}

/// Posts a batch of calls with a source's key.
pub(crate) fn post(stack: &Stack, source: &str, calls: &[Value]) -> Result<Answer> {
    post_text(stack, source, &json!({ "batch": calls }).to_string())
}

/// Posts a body to `/v1/batch` with a source's key.
pub(crate) fn post_text(stack: &Stack, source: &str, body: &str) -> Result<Answer> {
    let url = format!("{}/v1/batch", stack.ingest_url()?);
    let key = stack.write_key(source)?;
    let headers = [("content-type", "application/json"), ("x-write-key", key)];
    http::post(&url, &headers, body)
}

/// Posts a batch that has to be taken.
pub(crate) fn send(stack: &Stack, source: &str, calls: &[Value]) -> Result<()> {
    let answer = post(stack, source, calls)?;
    ensure!(
        answer.status == 200,
        "status {}: {}",
        answer.status,
        answer.body
    );
    Ok(())
}

/// A track call that is valid.
pub(crate) fn track(id: &str, visitor: &str) -> Value {
    json!({
        "type": "track", "event": "Button Clicked", "messageId": id, "anonymousId": visitor,
        "properties": { "label": "ü", "position": 3, "price": 9.99, "nested": { "a": [1, 2] } },
    })
}

/// Runs a query of the owner and returns its tab-separated answer, without the last line's end.
pub(crate) fn query(stack: &Stack, sql: &str) -> Result<String> {
    Ok(stack.clickhouse().execute(sql)?.trim_end().to_owned())
}

/// Waits until the ledger accounts for `records` offsets.
pub(crate) fn await_records(stack: &Stack, records: u64) -> Result<()> {
    balance::await_records(stack, records, PATIENCE)
}

/// Waits until the ledger has this many batches.
pub(crate) fn await_batches(stack: &Stack, batches: u64) -> Result<()> {
    wait::until("batches to be in the ledger", PATIENCE, || {
        match number(stack, "SELECT count() FROM batches FINAL") {
            Ok(seen) => Check::that(seen >= batches, format!("{seen} of {batches}")),
            Err(error) => Check::NotYet(format!("{error:#}")),
        }
    })
}

/// Waits until everything in Kafka is in the ledger, then lets `weir verify` have the last word.
pub(crate) fn settle_and_verify(stack: &Stack) -> Result<()> {
    balance::settle(stack, PATIENCE)
}

/// A processor as the tests want it: a static member, so that a restarted one is itself again at once, and short waits.
pub(crate) fn processor() -> RoleSpec {
    faults::member("processor")
}

/// Checks that every stored verdict is on its output topic too, at least once.
pub(crate) fn outputs_are_complete(stack: &Stack) -> Result<()> {
    for (topic, table) in [
        ("events.valid", "events"),
        ("events.failed", "failed_events"),
    ] {
        let sql = format!("SELECT topic, partition, offset FROM {table}");
        let stored: BTreeSet<String> = query(stack, &sql)?.lines().map(str::to_owned).collect();
        let produced: BTreeSet<String> = records(stack, topic)?.iter().map(coordinates).collect();
        let missing = stored.difference(&produced).count();
        ensure!(
            missing == 0,
            "{topic} lacks {missing} of {} verdicts",
            stored.len()
        );
    }
    Ok(())
}

/// Returns topic, partition and offset of an output's record as a query gives them.
pub(crate) fn coordinates(record: &Value) -> String {
    let topic = record["topic"].as_str().unwrap_or_default();
    format!("{topic}\t{}\t{}", record["partition"], record["offset"])
}

/// Waits until a process has stopped itself.
pub(crate) fn await_halt(pid: u32) -> Result<()> {
    faults::await_halt(pid, PATIENCE)
}

/// Returns how often a text occurs in a role's log.
pub(crate) fn log_count(stack: &Stack, role: &str, text: &str) -> Result<usize> {
    let process = stack.role(role)?;
    let log = fs::read(process.service().log())?;
    Ok(String::from_utf8_lossy(&log).matches(text).count())
}

/// Returns the ids that the tables hold, in order, those of failures too.
pub(crate) fn stored_ids(stack: &Stack) -> Result<Vec<String>> {
    let ids = query(
        stack,
        "SELECT DISTINCT id FROM (SELECT client_event_id AS id FROM events UNION ALL SELECT event_id AS id FROM failed_events) ORDER BY id",
    )?;
    Ok(ids.lines().map(str::to_owned).collect())
}

/// Reads the JSON records that an output topic holds.
pub(crate) fn records(stack: &Stack, topic: &str) -> Result<Vec<Value>> {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::{Message, Offset, TopicPartitionList};
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", stack.kafka().bootstrap())
        .set("group.id", "e2e-reader")
        .set("enable.auto.commit", "false")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let mut list = TopicPartitionList::new();
    let mut held = 0;
    for partition in metadata.topics()[0].partitions() {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), PATIENCE)?;
        held += usize::try_from(high - low)?;
        list.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let mut records = Vec::new();
    while records.len() < held {
        let message = consumer
            .poll(PATIENCE)
            .with_context(|| format!("{topic} gives no more than {} records", records.len()))??;
        records.push(serde_json::from_slice(
            message.payload().unwrap_or_default(),
        )?);
    }
    Ok(records)
}
