//! Kafka's log against the ledger. Pure: offsets in, lag and differences out.

use std::collections::BTreeMap;

use weir_clickhouse::verify::Coverage;

/// What Kafka holds of a partition, in the topic's current stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartitionLog {
    /// Current stream of the topic.
    pub(super) stream: u32,
    /// The topic.
    pub(super) topic: String,
    /// The partition.
    pub(super) partition: i32,
    /// First offset that is still there.
    pub(super) start: i64,
    /// Offset that the next record will have.
    pub(super) end: i64,
}

/// What the comparison gives.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LogCheck {
    /// Records that wait to be processed, by topic and partition.
    pub(super) lag: BTreeMap<(String, i32), i64>,
    /// What is wrong.
    pub(super) differences: Vec<LogDifference>,
}

/// Something about a partition that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogDifference {
    /// The topic.
    pub(super) topic: String,
    /// The partition.
    pub(super) partition: i32,
    /// What is wrong.
    pub(super) kind: LogDifferenceKind,
}

/// Kinds of differences, with the first and last offset concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogDifferenceKind {
    /// Kafka still holds records below the ledger's first row.
    MissingBegin(i64, i64),
    /// The log ends below what the ledger accounts for.
    Truncated(i64, i64),
    /// The topic or partition is gone.
    Missing(i64, i64),
    /// Kafka deleted records that were not read.
    DeletedUnread(i64, i64),
}

impl LogDifference {
    /// Returns the name for tables and JSON.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            LogDifferenceKind::MissingBegin(..) => "ledger begins late",
            LogDifferenceKind::Truncated(..) => "log truncated",
            LogDifferenceKind::Missing(..) => "partition missing",
            LogDifferenceKind::DeletedUnread(..) => "deleted unread",
        }
    }

    /// Returns the first and last offset concerned.
    pub(super) fn range(&self) -> (i64, i64) {
        match self.kind {
            LogDifferenceKind::MissingBegin(first, last)
            | LogDifferenceKind::Truncated(first, last)
            | LogDifferenceKind::Missing(first, last)
            | LogDifferenceKind::DeletedUnread(first, last) => (first, last),
        }
    }

    /// Returns what is wrong, in words.
    pub(super) fn detail(&self) -> String {
        let (first, last) = self.range();
        match self.kind {
            LogDifferenceKind::MissingBegin(..) => {
                format!("Kafka holds offsets {first} to {last}, which no ledger row accounts for")
            }
            LogDifferenceKind::Truncated(..) => {
                format!("Kafka's log ends before offset {first}, the ledger only at {last}")
            }
            LogDifferenceKind::Missing(..) => {
                format!(
                    "the ledger has offsets {first} to {last} of a partition that Kafka does not have"
                )
            }
            LogDifferenceKind::DeletedUnread(..) => {
                format!("Kafka deleted offsets {first} to {last} before they were read")
            }
        }
    }

    /// Returns what somebody should do about it.
    pub(super) fn advice(&self) -> &'static str {
        match self.kind {
            LogDifferenceKind::MissingBegin(..) => {
                "the ledger lost its first rows: restore the table batches from a backup"
            }
            LogDifferenceKind::Truncated(..) | LogDifferenceKind::Missing(..) => {
                "the topic was recreated or truncated: run `weir topics apply`, which begins a new stream"
            }
            LogDifferenceKind::DeletedUnread(..) => {
                "start the processor, which records the loss; give the topic a longer retention"
            }
        }
    }
}

/// Compares every partition of the current streams with the ledger. Partitions without a ledger row
/// have not been read yet: all they hold is lag.
pub(super) fn check(
    current: &BTreeMap<String, u32>,
    logs: &[PartitionLog],
    ledger: &[Coverage],
) -> LogCheck {
    let mut check = LogCheck::default();
    for log in logs {
        let place = (log.topic.clone(), log.partition);
        let covered = ledger.iter().find(|covered| {
            covered.source.stream == log.stream
                && *covered.source.topic == *log.topic
                && covered.source.partition == log.partition
        });
        let Some(covered) = covered else {
            check.lag.insert(place, log.end - log.start);
            continue;
        };
        let (first, next) = (covered.range.first, covered.range.last + 1);
        let mut add = |kind| {
            check.differences.push(LogDifference {
                topic: log.topic.clone(),
                partition: log.partition,
                kind,
            });
        };
        if first > log.start {
            add(LogDifferenceKind::MissingBegin(log.start, first - 1));
        }
        if next > log.end {
            add(LogDifferenceKind::Truncated(log.end, next - 1));
        } else if next < log.start {
            add(LogDifferenceKind::DeletedUnread(next, log.start - 1));
        }
        check
            .lag
            .insert(place, (log.end - next.max(log.start)).max(0));
    }
    for covered in ledger {
        let source = &covered.source;
        let is_current = current.get(&*source.topic) == Some(&source.stream);
        let is_there = logs
            .iter()
            .any(|log| *log.topic == *source.topic && log.partition == source.partition);
        if is_current && !is_there {
            check.differences.push(LogDifference {
                topic: source.topic.to_string(),
                partition: source.partition,
                kind: LogDifferenceKind::Missing(covered.range.first, covered.range.last),
            });
        }
    }
    check
}

#[cfg(test)]
mod tests {
    use weir_clickhouse::{OffsetRange, SourcePartition};

    use super::*;

    fn log(start: i64, end: i64) -> PartitionLog {
        PartitionLog {
            stream: 2,
            topic: "events.web".to_owned(),
            partition: 0,
            start,
            end,
        }
    }

    fn covered(stream: u32, first: i64, last: i64) -> Coverage {
        Coverage {
            source: SourcePartition::new(stream, "events.web", 0),
            range: OffsetRange { first, last },
            batches: 1,
            n_events: 0,
            n_failed: 0,
            n_lost: 0,
            n_absent: 0,
            resting_batches: 0,
        }
    }

    fn compare(
        logs: &[PartitionLog],
        ledger: &[Coverage],
    ) -> (Vec<LogDifferenceKind>, Option<i64>) {
        let current = BTreeMap::from([("events.web".to_owned(), 2)]);
        let check = check(&current, logs, ledger);
        let lag = check.lag.get(&("events.web".to_owned(), 0)).copied();
        (check.differences.iter().map(|d| d.kind).collect(), lag)
    }

    #[test]
    fn what_is_read_is_clean_and_the_rest_is_lag() {
        assert_eq!(
            compare(&[log(0, 100)], &[covered(2, 0, 89)]),
            (vec![], Some(10))
        );
        assert_eq!(
            compare(&[log(0, 100)], &[covered(2, 0, 99)]),
            (vec![], Some(0))
        );
        // Retention took what was read.
        assert_eq!(
            compare(&[log(50, 100)], &[covered(2, 0, 99)]),
            (vec![], Some(0))
        );
        assert_eq!(
            compare(&[log(100, 100)], &[covered(2, 0, 99)]),
            (vec![], Some(0))
        );
    }

    #[test]
    fn an_unread_partition_is_all_lag() {
        assert_eq!(compare(&[log(5, 100)], &[]), (vec![], Some(95)));
        assert_eq!(
            compare(&[log(0, 3)], &[covered(1, 0, 99)]),
            (vec![], Some(3))
        );
    }

    #[test]
    fn a_ledger_that_begins_after_the_log_lost_rows() {
        let expected = vec![LogDifferenceKind::MissingBegin(0, 9)];
        assert_eq!(
            compare(&[log(0, 100)], &[covered(2, 10, 99)]),
            (expected, Some(0))
        );
    }

    #[test]
    fn a_log_that_ends_below_the_ledger_was_truncated() {
        let expected = vec![LogDifferenceKind::Truncated(40, 99)];
        assert_eq!(
            compare(&[log(0, 40)], &[covered(2, 0, 99)]),
            (expected, Some(0))
        );
    }

    #[test]
    fn unread_records_that_are_gone_are_told() {
        let expected = vec![LogDifferenceKind::DeletedUnread(100, 149)];
        assert_eq!(
            compare(&[log(150, 200)], &[covered(2, 0, 99)]),
            (expected, Some(50))
        );
    }

    #[test]
    fn a_partition_that_is_gone_is_told_unless_its_stream_is_over() {
        let expected = vec![LogDifferenceKind::Missing(0, 99)];
        assert_eq!(compare(&[], &[covered(2, 0, 99)]), (expected, None));
        assert_eq!(compare(&[], &[covered(1, 0, 99)]), (vec![], None));
    }
}
