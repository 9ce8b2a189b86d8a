//! The core promise as plain values: every offset of a partition gets one verdict, every row is in its table once,
//! every view equals its rows.
//!
//! [`Machine`] says which step comes next and is told how it went; it knows no clock, no network, no async. The worker
//! executes the steps on Kafka and ClickHouse, the model test executes them on fakes that crash. The order of the steps,
//! and why a replay need not be deterministic, is told in `docs/exactly-once.md`.

mod intent;
mod machine;
mod position;
mod settle;

pub use intent::{Intent, IntentError, MAX_METADATA_BYTES, Mark};
pub use machine::{Command, Decided, Judgement, LedgerEntry, Machine, Outcome, Rules, Stored};
pub use position::{Found, Plan, StopReason, plan};
pub use settle::{Judge, Presence, settle};

use std::fmt;

/// A contiguous range of offsets of one partition, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OffsetRange {
    /// The first offset.
    pub first: u64,
    /// The last offset, never below `first`.
    pub last: u64,
}

impl OffsetRange {
    /// Returns the number of offsets in the range.
    #[must_use]
    pub fn count(self) -> u64 {
        self.last - self.first + 1
    }

    /// Returns whether `offset` lies in the range.
    #[must_use]
    pub fn contains(self, offset: u64) -> bool {
        (self.first..=self.last).contains(&offset)
    }

    /// Returns every offset of the range, in order.
    pub fn offsets(self) -> impl Iterator<Item = u64> {
        self.first..=self.last
    }
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// One partition of one life of a topic: what a row's coordinates name besides the offset.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamPartition {
    /// The topic's epoch, raised whenever its offsets start anew.
    pub stream: u32,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
}

impl StreamPartition {
    /// Returns the deduplication token of an insert of `range` into `table`: the same range gives the same token in every
    /// process and version.
    #[must_use]
    pub fn token(&self, range: OffsetRange, table: &str) -> String {
        format!(
            "{}:{}:{}:{range}:{table}",
            self.stream, self.topic, self.partition
        )
    }
}

impl fmt::Display for StreamPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{} (stream {})",
            self.topic, self.partition, self.stream
        )
    }
}
