//! What the tests share: sending, counting, waiting, and the last word of `weir verify`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use weir_stack::http::{self, Answer};
use weir_stack::wait::{self, Check};
use weir_stack::{Role, RoleSpec, Stack, StackOptions};

/// How long anything may take on a busy machine before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

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

/// A processor as the tests want it: a static member, so that a restarted one is itself again at once, and short waits.
pub(crate) fn processor() -> RoleSpec {
    RoleSpec::new(Role::Processor)
        .env("WEIR_KAFKA_CLIENT_SESSION_TIMEOUT_MS", "6000")
        .env("WEIR_KAFKA_CLIENT_HEARTBEAT_INTERVAL_MS", "1000")
        .env("WEIR_KAFKA_CLIENT_GROUP_INSTANCE_ID", "processor-1")
        .env("WEIR_PROCESSOR_INSERT_START_LIMIT", "2s")
        .env("WEIR_PROCESSOR_BATCH_MAX_AGE", "200ms")
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

/// Runs a query that gives one number.
pub(crate) fn number(stack: &Stack, sql: &str) -> Result<u64> {
    let text = query(stack, sql)?;
    text.parse().with_context(|| format!("{sql} gave {text:?}"))
}

/// Waits until the ledger accounts for `records` offsets.
pub(crate) fn await_records(stack: &Stack, records: u64) -> Result<()> {
    const SETTLED: &str = "SELECT sum(n_events + n_failed + n_lost + n_absent) FROM batches FINAL";
    wait::until(
        "every record to be in the ledger",
        PATIENCE,
        || match number(stack, SETTLED) {
            Ok(settled) => Check::that(settled >= records, format!("{settled} of {records}")),
            Err(error) => Check::NotYet(format!("{error:#}")),
        },
    )
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

/// Returns how many records the raw topics hold, by asking the broker.
pub(crate) fn records_in_kafka(stack: &Stack) -> Result<u64> {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", stack.kafka().bootstrap())
        .create()?;
    let mut records = 0;
    for topic in [
        "events.web",
        "events.ios",
        "events.android",
        "events.server",
    ] {
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
        for partition in metadata.topics()[0].partitions() {
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), PATIENCE)?;
            records += u64::try_from(high - low)?;
        }
    }
    Ok(records)
}

/// Waits until everything in Kafka is in the ledger, then lets `weir verify` have the last word.
pub(crate) fn settle_and_verify(stack: &Stack) -> Result<()> {
    await_records(stack, records_in_kafka(stack)?)?;
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
pub(crate) fn verify(stack: &Stack) -> Result<Output> {
    Ok(stack.weir_command().arg("verify").output()?)
}

/// Copies the schemas of the workspace into `dir`, with order_completed's total bounded by `maximum`: two such sets judge
/// the same order differently.
pub(crate) fn schemas_with_total_up_to(dir: &Path, maximum: u32) -> Result<PathBuf> {
    let set = dir.join(format!("schemas-{maximum}"));
    copy(&weir_stack::binaries::workspace().join("schemas"), &set)?;
    let file = set.join("events/order_completed/1-0-0.json");
    let mut schema: Value = serde_json::from_slice(&fs::read(&file)?)?;
    schema["properties"]["properties"]["properties"]["total"]["maximum"] = json!(maximum);
    fs::write(&file, schema.to_string())?;
    Ok(set)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
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

/// Waits until a process has stopped itself (state `T` of the kernel).
pub(crate) fn await_halt(pid: u32) -> Result<()> {
    wait::until(
        "the process to halt",
        PATIENCE,
        || match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => match stat
                .rsplit(") ")
                .next()
                .and_then(|rest| rest.chars().next())
            {
                Some('T') => Check::Done(()),
                Some('Z') | None => Check::GiveUp(anyhow::anyhow!("it ended: {stat}")),
                Some(state) => Check::NotYet(format!("state {state}")),
            },
            Err(error) => Check::GiveUp(error.into()),
        },
    )
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

/// Checks that no event is stored twice, by id and by coordinates.
pub(crate) fn nothing_is_twice(stack: &Stack) -> Result<()> {
    let counts = query(
        stack,
        "SELECT count(), uniqExact(source_id, event_id), uniqExact(stream, topic, partition, offset) FROM events",
    )?;
    let mut distinct: Vec<&str> = counts.split('\t').collect();
    distinct.dedup();
    if distinct.len() != 1 {
        bail!("rows, ids and coordinates of events differ: {counts}");
    }
    Ok(())
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
