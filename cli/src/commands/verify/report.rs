//! The report of `weir verify`, for people and for machines.

use anyhow::Result;
use serde::Serialize;
use weir_clickhouse::repairs::Repair;
use weir_clickhouse::verify::{Coverage, Report as Proof};
use weir_clickhouse::windows::Window;
use weir_common::time::rfc3339;

use super::difference::Shown;
use super::log::LogCheck;
use crate::output::{self, Rows, count};

/// Everything that was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether there is no difference.
    pub(super) clean: bool,
    partitions: Vec<Partition>,
    /// Records that wait to be processed, those of partitions without a ledger row included.
    waiting: u64,
    /// First and last UTC day whose rollups were compared.
    rollup_days: Option<(String, String)>,
    differences: Vec<Shown>,
    open_repairs: u64,
    mended_days: Vec<String>,
    /// Tables that remember too few parts to recognise a resend.
    small_windows: Vec<SmallWindow>,
}

#[derive(Debug, Serialize)]
struct SmallWindow {
    table: String,
    parts: u64,
}

#[derive(Debug, Serialize)]
struct Partition {
    topic: String,
    partition: i32,
    stream: u32,
    first_offset: i64,
    last_offset: i64,
    batches: u64,
    events: u64,
    failed: u64,
    lost: u64,
    absent: u64,
    /// Batches of months that were removed: their rows cannot be counted any more.
    resting_batches: u64,
    /// Records that waited to be processed; absent for streams that are over.
    lag: Option<i64>,
}

impl Report {
    /// Puts both halves of the proof together.
    pub(super) fn new(proof: Proof, log: &LogCheck) -> Self {
        let mut differences: Vec<Shown> = proof.differences.iter().map(Shown::of).collect();
        differences.extend(log.differences.iter().map(Shown::of_log));
        let partitions = proof.partitions.into_iter().map(|covered| {
            let place = (covered.source.topic.to_string(), covered.source.partition);
            let lag = log.lag.get(&place).copied();
            Partition::new(&covered, lag)
        });
        Self {
            clean: differences.is_empty(),
            partitions: mark_past_streams(partitions.collect()),
            waiting: log.lag.values().map(|lag| lag.unsigned_abs()).sum(),
            rollup_days: proof.days.map(|(first, last)| (day(first), day(last))),
            differences,
            open_repairs: open_repairs(&proof.open_repairs),
            mended_days: proof.mended_days.into_iter().map(day).collect(),
            small_windows: proof
                .small_windows
                .into_iter()
                .map(SmallWindow::from)
                .collect(),
        }
    }

    /// Prints the report as tables.
    ///
    /// # Errors
    /// Fails if stdout is closed.
    pub(super) fn print(&self) -> Result<()> {
        self.print_coverage()?;
        if !self.mended_days.is_empty() {
            output::line(&format!(
                "Mended the rollups of {}.",
                self.mended_days.join(", ")
            ))?;
        }
        if self.open_repairs > 0 {
            output::line(&format!(
                "Queued repairs of rollups: {}; `weir verify --repair` does them.",
                self.open_repairs
            ))?;
        }
        for window in &self.small_windows {
            output::line(&format!(
                "Warning: {} remembers the last {} parts only; a resend after a crash may be stored twice there. \
                 Remedy: ALTER TABLE {} MODIFY SETTING non_replicated_deduplication_window = 100000",
                window.table,
                count(window.parts),
                window.table
            ))?;
        }
        let lost: u64 = self.partitions.iter().map(|partition| partition.lost).sum();
        if lost > 0 {
            output::line(&format!(
                "Records that Kafka deleted before they were read, and which are lost: {}.",
                count(lost)
            ))?;
        }
        if let Some(resting) = self.resting() {
            output::line(&resting)?;
        }
        if self.waiting > 0 {
            output::line(&format!(
                "Records that wait to be processed, and are not covered: {}.",
                count(self.waiting)
            ))?;
        }
        if self.clean {
            output::line("Clean: every record has one verdict, every rollup equals its events.")?;
            return Ok(());
        }
        let plural = if self.differences.len() == 1 { "" } else { "s" };
        output::line(&format!(
            "\n{} difference{plural}:\n",
            self.differences.len()
        ))?;
        let mut rows = Rows::new(["difference", "where", "what"]);
        for difference in &self.differences {
            rows.add([
                difference.kind.to_owned(),
                difference.place.clone(),
                difference.detail.clone(),
            ]);
        }
        output::table(&rows)?;
        output::line("\nWhat to do:")?;
        let mut told = Vec::new();
        for difference in &self.differences {
            if !told.contains(&difference.kind) {
                told.push(difference.kind);
                output::line(&format!("  {}: {}", difference.kind, difference.advice))?;
            }
        }
        Ok(())
    }

    /// Says which batches could not be held against rows, if any.
    fn resting(&self) -> Option<String> {
        let places: Vec<String> = self
            .partitions
            .iter()
            .filter(|partition| partition.resting_batches > 0)
            .map(|partition| {
                format!(
                    "{} of {}/{} stream {}",
                    count(partition.resting_batches),
                    partition.topic,
                    partition.partition,
                    partition.stream
                )
            })
            .collect();
        (!places.is_empty()).then(|| {
            format!(
                "Batches whose month was removed, and which rest on the ledger alone: {}.",
                places.join(", ")
            )
        })
    }

    fn print_coverage(&self) -> Result<()> {
        if self.partitions.is_empty() {
            output::line("Nothing was stored yet: the ledger is empty.")?;
            return Ok(());
        }
        let mut rows = Rows::new([
            "partition",
            "stream",
            "offsets",
            "batches",
            "events",
            "failed",
            "lost",
            "absent",
            "lag",
        ]);
        for partition in &self.partitions {
            rows.add([
                format!("{}/{}", partition.topic, partition.partition),
                partition.stream.to_string(),
                format!("{} to {}", partition.first_offset, partition.last_offset),
                count(partition.batches),
                count(partition.events),
                count(partition.failed),
                count(partition.lost),
                count(partition.absent),
                partition
                    .lag
                    .map_or_else(String::new, |lag| count(lag.unsigned_abs())),
            ]);
        }
        output::table(&rows)?;
        match &self.rollup_days {
            Some((first, last)) if first == last => {
                output::line(&format!("Rollups of {first} (UTC) were compared."))?;
            }
            Some((first, last)) => {
                output::line(&format!(
                    "Rollups from {first} to {last} (UTC) were compared."
                ))?;
            }
            None => output::line("There are no rollups to compare.")?,
        }
        Ok(())
    }
}

/// The lag is that of the current stream, the last one of a partition.
fn mark_past_streams(mut partitions: Vec<Partition>) -> Vec<Partition> {
    let latest = |partitions: &[Partition], at: &Partition| {
        let same = partitions
            .iter()
            .filter(|p| p.topic == at.topic && p.partition == at.partition);
        same.map(|p| p.stream).max()
    };
    let keep: Vec<bool> = partitions
        .iter()
        .map(|partition| latest(&partitions, partition) == Some(partition.stream))
        .collect();
    for (partition, keep) in partitions.iter_mut().zip(keep) {
        if !keep {
            partition.lag = None;
        }
    }
    partitions
}

fn open_repairs(open: &[Repair]) -> u64 {
    open.len() as u64
}

fn day(seconds: i64) -> String {
    let mut day = rfc3339(seconds * 1000);
    day.truncate("2026-01-31".len());
    day
}

impl From<Window> for SmallWindow {
    fn from(window: Window) -> Self {
        Self {
            table: window.table,
            parts: window.parts,
        }
    }
}

impl Partition {
    fn new(covered: &Coverage, lag: Option<i64>) -> Self {
        Self {
            topic: covered.source.topic.to_string(),
            partition: covered.source.partition,
            stream: covered.source.stream,
            first_offset: covered.range.first,
            last_offset: covered.range.last,
            batches: covered.batches,
            events: covered.n_events,
            failed: covered.n_failed,
            lost: covered.n_lost,
            absent: covered.n_absent,
            resting_batches: covered.resting_batches,
            lag,
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_clickhouse::verify::Difference;
    use weir_clickhouse::{OffsetRange, SourcePartition};

    use super::*;

    #[test]
    fn a_difference_of_either_half_makes_the_report_red() {
        assert!(Report::new(Proof::default(), &LogCheck::default()).clean);
        let proof = Proof {
            differences: vec![Difference::Gap {
                source: SourcePartition::new(1, "events.web", 0),
                range: OffsetRange { first: 0, last: 9 },
            }],
            ..Proof::default()
        };
        let report = Report::new(proof, &LogCheck::default());
        assert!(!report.clean);
        assert_eq!(
            report.differences[0].detail,
            "no ledger row for offsets 0-9"
        );
        assert_eq!(report.differences[0].place, "events.web/0 stream 1");
    }

    #[test]
    fn batches_of_removed_months_are_told_and_are_no_difference() {
        let covered = |partition, resting_batches| Coverage {
            source: SourcePartition::new(1, "events.web", partition),
            resting_batches,
            ..covered(1)
        };
        let report = |partitions| {
            let proof = Proof {
                partitions,
                ..Proof::default()
            };
            Report::new(proof, &LogCheck::default())
        };
        let resting = report(vec![covered(0, 0), covered(1, 3)]);
        assert!(resting.clean);
        assert_eq!(
            resting.resting().unwrap(),
            "Batches whose month was removed, and which rest on the ledger alone: 3 of events.web/1 stream 1."
        );
        assert_eq!(report(vec![covered(0, 0)]).resting(), None);
    }

    fn covered(stream: u32) -> Coverage {
        Coverage {
            source: SourcePartition::new(stream, "events.web", 0),
            range: OffsetRange { first: 0, last: 9 },
            batches: 1,
            n_events: 10,
            n_failed: 0,
            n_lost: 0,
            n_absent: 0,
            resting_batches: 0,
        }
    }

    #[test]
    fn only_the_current_stream_has_a_lag() {
        let proof = Proof {
            partitions: vec![covered(1), covered(2)],
            ..Proof::default()
        };
        let mut log = LogCheck::default();
        log.lag.insert(("events.web".to_owned(), 0), 5);
        let report = Report::new(proof, &log);
        let lags: Vec<_> = report.partitions.iter().map(|p| p.lag).collect();
        assert_eq!(lags, [None, Some(5)]);
    }
}
