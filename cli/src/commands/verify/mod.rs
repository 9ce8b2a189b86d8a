//! `weir verify`: the proof of delivery as a report, and what to do where it fails.
//!
//! The proof itself is `weir_clickhouse::verify`; what Kafka adds to it is in [`log`].

mod difference;
mod log;
mod report;

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use clap::Args;
use weir_clickhouse::streams;
use weir_clickhouse::verify::{self, Options};
use weir_common::config::HumanDuration;
use weir_common::kafka::Admin;
use weir_schemas::TopicKind;

use crate::cli::Output;
use crate::exit::Outcome;
use crate::output::{self, Format};
use crate::settings::Settings;
use log::PartitionLog;
use report::Report;

/// What the command proves, for its help.
pub(crate) const ABOUT: &str = "\
Proves, from Kafka's offsets and ClickHouse alone, that every record was stored exactly once and that every \
rollup equals its events. May run at any time, under load as well: the proof is up to the end of the ledger \
at its start, and the range it covers is printed.

  ledger   a partition's batches follow each other without gap or overlap, from
           Kafka's first record on, and their counts add up
  rows     events and failed_events hold as many rows of each batch as the ledger
           says, each offset once
  rollups  every bucket equals what its events give; a difference is looked at
           again until no batch landed in between
  Kafka    a topic does not end below what was read from it, and still holds what
           was not read yet

Records that Kafka deleted before they were read are lost and known to be: they are reported, and are no \
difference. Old months may be dropped from events and failed_events: their batches then rest on the ledger alone, \
which is reported too, and rollups are compared from the first day on that has all of its events.";

/// Flags of `weir verify`.
#[derive(Debug, Args)]
#[command(after_help = "Exit code 1 means differences; each names what to do about it.")]
pub(crate) struct VerifyArgs {
    /// Adds to rollups what they lack, then compares again
    #[arg(long)]
    repair: bool,
    /// How long something that is still changing is looked at again
    #[arg(long, value_name = "TIME", default_value = "40s")]
    patience: HumanDuration,
    /// Most differences of each kind and partition, or rollup and day, to list
    #[arg(long, value_name = "N", default_value_t = 100)]
    max_listed: u64,
    #[command(flatten)]
    output: Output,
}

/// Runs the command.
///
/// # Errors
/// Those of Kafka and ClickHouse.
pub(crate) async fn run(settings: &Settings, args: VerifyArgs) -> Result<Outcome> {
    let db = settings.connect_clickhouse().await?;
    let admin = settings.kafka_admin()?;
    let topics = admin
        .topics()
        .await
        .with_context(|| settings.about_kafka())?;
    let mut current = BTreeMap::new();
    for topic in weir_schemas::topics()? {
        if topic.kind == TopicKind::Raw
            && let Some(stream) = streams::current(&db, &topic.name).await?
        {
            current.insert(topic.name, stream);
        }
    }
    let options = Options {
        repair: args.repair,
        patience: args.patience.0,
        max_listed: args.max_listed,
    };
    let proof = verify::verify(&db, &options).await?;
    // After the ledger's ends: the log only grows in between.
    let mut logs = Vec::new();
    for (topic, stream) in &current {
        let partitions = topics.get(topic).map_or(0, |layout| layout.partitions);
        logs.extend(read_logs(&admin, topic, *stream, partitions).await?);
    }
    let log = log::check(&current, &logs, &proof.partitions);
    let report = Report::new(proof, &log);
    match args.output.output {
        Format::Json => output::json(&report)?,
        Format::Table => report.print()?,
    }
    Ok(if report.clean {
        Outcome::Fine
    } else {
        Outcome::Findings
    })
}

async fn read_logs(
    admin: &Admin,
    topic: &str,
    stream: u32,
    partitions: i32,
) -> Result<Vec<PartitionLog>> {
    let mut logs = Vec::new();
    for partition in 0..partitions {
        let marks = admin.watermarks(topic, partition).await?;
        logs.push(PartitionLog {
            stream,
            topic: topic.to_owned(),
            partition,
            start: marks.start,
            end: marks.end,
        });
    }
    Ok(logs)
}
