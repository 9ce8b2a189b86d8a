//! `weir topics`: the declared topics in Kafka, and their epochs in ClickHouse.
//!
//! The order makes a crash harmless: the current stream is read before Kafka is asked what exists, and
//! a stream is raised before its topic is created. A run that dies in between has used up a number, and
//! nothing else; the other way round, a new topic's offsets would be taken for those of its predecessor.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde::Serialize;
use weir_clickhouse::streams::Reason;
use weir_clickhouse::{Db, position, streams};
use weir_common::kafka::{Admin, Committed, TopicLayout, TopicSpec};
use weir_processor::exactly_once::Mark;
use weir_schemas::{Topic, TopicKind};

use crate::cli::Output;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Format, Rows};
use crate::settings::Settings;

/// What to do with topics.
#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Creates missing topics and changes nothing else
    #[command(long_about = APPLY_ABOUT)]
    Apply(ApplyArgs),
}

const APPLY_ABOUT: &str = "\
Creates the topics that are declared and missing, and changes nothing that exists; where an existing topic \
differs from its declaration, the table says so.

A topic of raw events has an epoch, its stream, in ClickHouse: offsets of a topic that was created again are \
other offsets. The stream is raised when its topic is created, and, with an alarm and exit code 1, when the \
topic ends below what was read from it: then it was recreated or truncated behind Weir's back, records may be \
lost, and what the topic still holds is read again from its start (events that are remembered are dropped as \
duplicates).

Needs the tables: run `weir migrate up` first. One run at a time.";

/// Flags of `weir topics apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// Copies of each partition of a topic that is created; 3 where nothing may be lost with a broker
    #[arg(long, value_name = "N", default_value_t = 1, env = "WEIR_TOPICS_REPLICATION",
          value_parser = clap::value_parser!(i32).range(1..=32))]
    replication: i32,
    #[command(flatten)]
    output: Output,
}

/// What became of a topic.
#[derive(Debug, Serialize)]
struct Applied {
    topic: String,
    partitions: i32,
    replication: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<u32>,
    action: Action,
    notes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// It was missing.
    Created,
    /// It was there.
    Unchanged,
    /// It was there, below what was read from it.
    NewStream,
}

/// Runs the command.
///
/// # Errors
/// Those of Kafka and ClickHouse; what was done until then is done.
pub(crate) async fn run(settings: &Settings, command: TopicsCommand) -> Result<Outcome> {
    let TopicsCommand::Apply(args) = command;
    let db = settings.connect_clickhouse().await?;
    let admin = settings.kafka_admin()?;
    let group = settings.processor()?.group;
    let declared = weir_schemas::topics()?;

    // Before Kafka is asked: see the module's documentation.
    let mut seen = BTreeMap::new();
    for topic in raw(&declared) {
        let current = streams::current(&db, &topic.name).await;
        seen.insert(
            topic.name.clone(),
            current.context("cannot read streams of topics")?,
        );
    }
    let existing = admin
        .topics()
        .await
        .with_context(|| settings.about_kafka())?;

    let mut applied = Vec::new();
    for topic in &declared {
        let stream = seen.get(&topic.name).copied().flatten();
        let done = match existing.get(&topic.name) {
            Some(layout) => keep(&db, &admin, topic, *layout, stream, &group).await,
            None => create(&db, &admin, topic, stream, args.replication).await,
        };
        applied.push(done.with_context(|| format!("topic {}", topic.name))?);
    }
    match args.output.output {
        Format::Json => output::json(&applied)?,
        Format::Table => print(&applied)?,
    }
    let alarm = applied
        .iter()
        .any(|topic| topic.action == Action::NewStream);
    Ok(if alarm {
        Outcome::Findings
    } else {
        Outcome::Fine
    })
}

fn raw(topics: &[Topic]) -> impl Iterator<Item = &Topic> {
    topics.iter().filter(|topic| topic.kind == TopicKind::Raw)
}

async fn create(
    db: &Db,
    admin: &Admin,
    topic: &Topic,
    seen: Option<u32>,
    replication: i32,
) -> Result<Applied> {
    let mut notes = Vec::new();
    let stream = match topic.kind {
        TopicKind::Raw => {
            if let Some(stream) = seen {
                let partitions = ledger_partitions(db, &topic.name, stream).await?;
                let declared = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
                notes = close(db, &topic.name, stream, partitions.max(declared)).await?;
            }
            let reason = if seen.is_some() {
                Reason::Recreated
            } else {
                Reason::Created
            };
            Some(streams::raise(db, &topic.name, seen, reason).await?)
        }
        TopicKind::Output => None,
    };
    let spec = TopicSpec {
        name: topic.name.clone(),
        partitions: i32::try_from(topic.partitions).unwrap_or(i32::MAX),
        replication,
        config: topic.config.clone(),
    };
    if !admin.create_topic(&spec).await? {
        bail!(Failure::Declined(
            "was created by somebody else at the same moment: run this again".to_owned()
        ));
    }
    Ok(Applied {
        topic: spec.name,
        partitions: spec.partitions,
        replication,
        stream,
        action: Action::Created,
        notes,
    })
}

async fn keep(
    db: &Db,
    admin: &Admin,
    topic: &Topic,
    layout: TopicLayout,
    seen: Option<u32>,
    group: &str,
) -> Result<Applied> {
    let mut applied = Applied {
        topic: topic.name.clone(),
        partitions: layout.partitions,
        replication: layout.replication,
        stream: None,
        action: Action::Unchanged,
        notes: drift(admin, topic, layout).await?,
    };
    if topic.kind != TopicKind::Raw {
        return Ok(applied);
    }
    let Some(stream) = seen else {
        applied.stream = Some(streams::raise(db, &topic.name, None, Reason::Created).await?);
        return Ok(applied);
    };
    let behind = behind(db, admin, &topic.name, layout.partitions, stream, group).await?;
    applied.stream = Some(stream);
    if !behind.is_empty() {
        let partitions = ledger_partitions(db, &topic.name, stream).await?;
        let partitions = partitions.max(layout.partitions);
        applied
            .notes
            .extend(close(db, &topic.name, stream, partitions).await?);
        applied.stream =
            Some(streams::raise(db, &topic.name, Some(stream), Reason::Truncated).await?);
        applied.action = Action::NewStream;
        for note in &behind {
            tracing::error!("ALARM: topic {}: {note}", topic.name);
        }
        applied.notes.extend(behind);
    }
    Ok(applied)
}

/// Accounts for the rows of a stream that ends, and says which those were.
async fn close(db: &Db, topic: &str, stream: u32, partitions: i32) -> Result<Vec<String>> {
    let closed = streams::close(db, topic, stream, partitions).await?;
    let notes = closed.iter().map(|(source, range)| {
        format!(
            "stream {stream}, partition {}: offsets {range} were under way and are closed; run `weir verify --repair`",
            source.partition
        )
    });
    Ok(notes.collect())
}

/// Returns the number of partitions of a stream that the ledger knows.
async fn ledger_partitions(db: &Db, topic: &str, stream: u32) -> Result<i32> {
    let ends = position::ledger_ends(db).await?;
    let known = ends
        .iter()
        .filter(|end| end.source.stream == stream && *end.source.topic == *topic)
        .map(|end| end.source.partition + 1)
        .max();
    Ok(known.unwrap_or(0))
}

/// Says what of an existing topic is not as declared.
async fn drift(admin: &Admin, topic: &Topic, layout: TopicLayout) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    if i64::from(layout.partitions) != i64::from(topic.partitions) {
        notes.push(format!("partitions: declared {}", topic.partitions));
    }
    let mut configs = admin.topic_configs(&[&topic.name]).await?;
    let config = configs.remove(&topic.name).unwrap_or_default();
    for (key, declared) in &topic.config {
        let found = config.get(key).map_or("unset", String::as_str);
        if found != declared {
            notes.push(format!("{key} = {found}: declared {declared}"));
        }
    }
    Ok(notes)
}

/// Says which partitions end below what was read from them in the current stream.
async fn behind(
    db: &Db,
    admin: &Admin,
    topic: &str,
    partitions: i32,
    stream: u32,
    group: &str,
) -> Result<Vec<String>> {
    let ledger: BTreeMap<i32, i64> = position::ledger_ends(db)
        .await?
        .into_iter()
        .filter(|end| end.source.stream == stream && *end.source.topic == *topic)
        .map(|end| (end.source.partition, end.last + 1))
        .collect();
    let committed = admin.committed(group, topic, partitions).await?;
    let mut notes = Vec::new();
    for (partition, committed) in (0..).zip(&committed) {
        let read = ledger
            .get(&partition)
            .copied()
            .max(declared_end(committed, stream));
        if let Some(next) = read {
            let end = admin.watermarks(topic, partition).await?.end;
            if end < next {
                notes.push(format!(
                    "partition {partition} ends at offset {end}, but everything below {next} was read already"
                ));
            }
        }
    }
    for (partition, next) in ledger.range(partitions..) {
        notes.push(format!(
            "partition {partition} is gone, but everything below {next} was read from it"
        ));
    }
    Ok(notes)
}

/// Returns the offset below which the group has read, by what it committed for this stream. What was
/// committed for another stream, or by somebody else, says nothing about this one.
fn declared_end(committed: &Committed, stream: u32) -> Option<i64> {
    let next_offset = committed.next_offset?;
    match Mark::from_metadata(next_offset, &committed.metadata) {
        Ok(Some(mark)) if mark.stream() == stream => match mark {
            Mark::Position { .. } => Some(next_offset),
            Mark::Intent(intent) => Some(intent.range.last + 1),
        },
        Ok(_) | Err(_) => None,
    }
}

fn print(applied: &[Applied]) -> Result<()> {
    let mut rows = Rows::new([
        "topic",
        "partitions",
        "replication",
        "stream",
        "action",
        "notes",
    ]);
    for topic in applied {
        let stream = topic.stream.map(|stream| stream.to_string());
        let action = match topic.action {
            Action::Created => "created",
            Action::Unchanged => "unchanged",
            Action::NewStream => "NEW STREAM",
        };
        rows.add_lines([
            vec![topic.topic.clone()],
            vec![topic.partitions.to_string()],
            vec![topic.replication.to_string()],
            vec![stream.unwrap_or_default()],
            vec![action.to_owned()],
            topic.notes.clone(),
        ]);
    }
    output::table(&rows)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use weir_clickhouse::OffsetRange;
    use weir_processor::exactly_once::Intent;

    use super::*;

    fn committed(next_offset: i64, mark: Option<Mark>) -> Committed {
        Committed {
            next_offset: Some(next_offset),
            metadata: mark.map_or_else(String::new, |mark| mark.to_metadata().unwrap()),
        }
    }

    #[test]
    fn only_what_was_committed_for_the_stream_counts() {
        let position = Mark::Position { stream: 2 };
        assert_eq!(
            declared_end(&committed(10, Some(position.clone())), 2),
            Some(10)
        );
        assert_eq!(declared_end(&committed(10, Some(position)), 3), None);
        assert_eq!(declared_end(&committed(10, None), 2), None);
        let nothing = Committed {
            next_offset: None,
            metadata: String::new(),
        };
        assert_eq!(declared_end(&nothing, 2), None);
        let foreign = Committed {
            next_offset: Some(10),
            metadata: "somebody else's".to_owned(),
        };
        assert_eq!(declared_end(&foreign, 2), None);
    }

    #[test]
    fn a_declared_range_was_read_to_its_end() {
        let intent = Mark::Intent(Intent {
            stream: 2,
            range: OffsetRange {
                first: 10,
                last: 19,
            },
            declared_at_ms: 0,
            resend: true,
            shard: String::new(),
        });
        assert_eq!(declared_end(&committed(10, Some(intent)), 2), Some(20));
    }
}
