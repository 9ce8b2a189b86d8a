//! Where to go on: what a processor that is given a partition reads in Kafka and ClickHouse, and what follows from it.

use super::{Intent, Mark};
use weir_clickhouse::OffsetRange;

/// What was found at assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The topic's current epoch.
    pub stream: u32,
    /// Kafka's committed offset (the next to read), if any.
    pub committed: Option<i64>,
    /// What the committed offset's metadata says, if it is Weir's.
    pub mark: Option<Mark>,
    /// The highest `last` in the ledger, if it has rows of this partition.
    pub ledger_high: Option<i64>,
    /// The highest stored offset above the ledger's, in `events` or `failed_events`.
    pub highest_above: Option<i64>,
    /// Ledger rows of all partitions since the intent was declared: how far the deduplication windows moved.
    pub ledger_rows_since: u64,
    /// The first offset that Kafka still has.
    pub log_start: i64,
    /// The offset that Kafka will give to the next record.
    pub log_end: i64,
    /// The time, in Unix milliseconds.
    pub now_ms: i64,
}

/// What to do next with the partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Go on with fresh batches.
    Continue {
        /// The next offset to read.
        next_offset: i64,
    },
    /// A declared range has no ledger row yet: find out what was decided of it.
    Replay {
        /// The range as it was declared.
        intent: Intent,
    },
    /// Rows lie above the ledger and nothing declares them: they are decided, but not resent.
    Orphans {
        /// From the ledger's end to the highest stored offset.
        range: OffsetRange,
    },
    /// Kafka deleted records before they were read.
    Lost {
        /// The offsets that are gone.
        range: OffsetRange,
    },
    /// An operator is needed; nothing is read until it is mended.
    Stop(StopReason),
}

/// Why a partition stands still until somebody acts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// The committed offset lies beyond the ledger: somebody else committed, or ledger rows are gone.
    #[error(
        "kafka's committed offset {committed} lies beyond the ledger's next offset {expected}: if the ledger is right, stop the processors and delete or reset the group's offset to {expected}"
    )]
    CommittedBeyondLedger {
        /// Kafka's committed offset.
        committed: i64,
        /// The ledger's next offset.
        expected: i64,
    },
    /// The topic ends below what was read from it: it was recreated or truncated.
    #[error(
        "the topic ends at offset {log_end}, below the next offset {next_offset}: it was recreated or truncated; run `weir topics apply` to start a new stream"
    )]
    LogTruncated {
        /// The offset that Kafka will give to the next record.
        log_end: i64,
        /// The offset to go on at.
        next_offset: i64,
    },
}

/// Decides where to go on. Called again after every replay until it says [`Plan::Continue`].
#[must_use]
pub fn plan(found: &Found) -> Plan {
    // A committed offset that is marked with another stream belongs to that stream's offsets.
    let (committed, intent) = match &found.mark {
        None => (found.committed, None),
        Some(mark) if mark.stream() != found.stream => (None, None),
        Some(Mark::Position { .. }) => (found.committed, None),
        Some(Mark::Intent(intent)) => (found.committed, Some(intent)),
    };
    let next_offset = match (found.ledger_high, intent) {
        (Some(high), _) => high + 1,
        (None, Some(intent)) => intent.range.first,
        (None, None) => found.log_start,
    };

    // What was read before must still be there, or the topic is not the one it was.
    let read_to = [
        Some(next_offset - 1),
        intent.map(|intent| intent.range.last),
        found.highest_above,
    ];
    if let Some(last) = read_to.into_iter().flatten().max()
        && last >= found.log_end
    {
        return Plan::Stop(StopReason::LogTruncated {
            log_end: found.log_end,
            next_offset: last + 1,
        });
    }
    if let Some(intent) = intent
        && intent.range.first == next_offset
    {
        return Plan::Replay {
            intent: intent.clone(),
        };
    }
    if let Some(committed) = committed
        && committed > next_offset
    {
        return Plan::Stop(StopReason::CommittedBeyondLedger {
            committed,
            expected: next_offset,
        });
    }
    if let Some(last) = found.highest_above {
        return Plan::Orphans {
            range: OffsetRange {
                first: next_offset.min(last),
                last,
            },
        };
    }
    if found.log_start > next_offset {
        return Plan::Lost {
            range: OffsetRange {
                first: next_offset,
                last: found.log_start - 1,
            },
        };
    }
    Plan::Continue { next_offset }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        Found {
            stream: 1,
            committed: Some(10),
            mark: None,
            ledger_high: Some(9),
            highest_above: None,
            ledger_rows_since: 0,
            log_start: 0,
            log_end: 100,
            now_ms: 1_000,
        }
    }

    fn intent(stream: u32, first: i64, last: i64) -> Mark {
        Mark::Intent(Intent {
            stream,
            range: OffsetRange { first, last },
            declared_at_ms: 0,
            resend: true,
            shard: String::new(),
        })
    }

    #[test]
    fn a_settled_partition_goes_on_after_the_ledger() {
        assert_eq!(plan(&found()), Plan::Continue { next_offset: 10 });
    }

    #[test]
    fn a_new_stream_starts_at_the_log_start() {
        let new = Found {
            committed: None,
            ledger_high: None,
            log_start: 5,
            ..found()
        };
        assert_eq!(plan(&new), Plan::Continue { next_offset: 5 });
    }

    #[test]
    fn an_absent_commit_does_not_move_the_position() {
        let none = Found {
            committed: None,
            ..found()
        };
        assert_eq!(plan(&none), Plan::Continue { next_offset: 10 });
    }

    #[test]
    fn an_intent_at_the_ledgers_end_is_replayed() {
        let open = Found {
            mark: Some(intent(1, 10, 19)),
            ..found()
        };
        assert!(
            matches!(plan(&open), Plan::Replay { intent } if intent.range == OffsetRange { first: 10, last: 19 })
        );
    }

    #[test]
    fn an_intent_that_the_ledger_covers_is_done() {
        let done = Found {
            committed: Some(5),
            mark: Some(intent(1, 5, 9)),
            ..found()
        };
        assert_eq!(plan(&done), Plan::Continue { next_offset: 10 });
    }

    #[test]
    fn rows_above_the_ledger_without_an_intent_are_orphans() {
        let orphans = Found {
            highest_above: Some(14),
            ..found()
        };
        assert_eq!(
            plan(&orphans),
            Plan::Orphans {
                range: OffsetRange {
                    first: 10,
                    last: 14
                }
            }
        );
    }

    #[test]
    fn a_commit_beyond_the_ledger_stops_the_partition() {
        let beyond = Found {
            committed: Some(12),
            ..found()
        };
        assert!(matches!(
            plan(&beyond),
            Plan::Stop(StopReason::CommittedBeyondLedger {
                committed: 12,
                expected: 10
            })
        ));
    }

    #[test]
    fn a_ledger_that_lost_rows_stops_the_partition() {
        let restored = Found {
            committed: Some(5_000_000),
            mark: Some(Mark::Position { stream: 1 }),
            highest_above: Some(4_999_999),
            log_end: 5_000_000,
            ..found()
        };
        assert!(matches!(
            plan(&restored),
            Plan::Stop(StopReason::CommittedBeyondLedger { expected: 10, .. })
        ));
    }

    #[test]
    fn a_truncated_log_stops_the_partition() {
        let truncated = Found {
            log_end: 3,
            ..found()
        };
        assert!(matches!(
            plan(&truncated),
            Plan::Stop(StopReason::LogTruncated { log_end: 3, .. })
        ));
        let within_the_intent = Found {
            mark: Some(intent(1, 10, 19)),
            log_end: 15,
            ..found()
        };
        assert!(matches!(
            plan(&within_the_intent),
            Plan::Stop(StopReason::LogTruncated {
                next_offset: 20,
                ..
            })
        ));
    }

    #[test]
    fn expired_records_are_lost_only_when_nothing_was_stored_of_them() {
        let expired = Found {
            log_start: 30,
            ..found()
        };
        assert_eq!(
            plan(&expired),
            Plan::Lost {
                range: OffsetRange {
                    first: 10,
                    last: 29
                }
            }
        );
        let declared = Found {
            mark: Some(intent(1, 10, 19)),
            ..expired
        };
        assert!(matches!(plan(&declared), Plan::Replay { .. }));
    }

    #[test]
    fn another_streams_intent_and_offset_are_ignored() {
        let recreated = Found {
            stream: 2,
            committed: Some(10),
            mark: Some(intent(1, 10, 19)),
            ledger_high: None,
            log_end: 4,
            ..found()
        };
        assert_eq!(plan(&recreated), Plan::Continue { next_offset: 0 });
        let truncated = Found {
            mark: Some(Mark::Position { stream: 1 }),
            ..recreated
        };
        assert_eq!(plan(&truncated), Plan::Continue { next_offset: 0 });
    }
}
