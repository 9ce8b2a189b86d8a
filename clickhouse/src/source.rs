//! Source coordinates, and the names that are derived from them: deduplication tokens and query ids.

use std::fmt;
use std::sync::Arc;

/// One partition of one life (`stream`) of a Kafka topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourcePartition {
    /// Epoch of the topic, from 1; see [`crate::streams`].
    pub stream: u32,
    /// Kafka topic.
    pub topic: Arc<str>,
    /// Kafka partition, never negative.
    pub partition: i32,
}

/// Contiguous Kafka offsets, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OffsetRange {
    /// First offset.
    pub first: i64,
    /// Last offset, at least `first`.
    pub last: i64,
}

impl OffsetRange {
    /// Returns how many offsets the range covers.
    pub fn offsets(self) -> u64 {
        (self.last - self.first).unsigned_abs() + 1
    }
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl SourcePartition {
    /// Creates the coordinates of a partition.
    pub fn new(stream: u32, topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self {
            stream,
            topic: topic.into(),
            partition,
        }
    }

    /// Returns the deduplication token of a batch's insert into `table`. The same range and table give the same token
    /// for ever: this is what makes a resend recognisable.
    pub fn token(&self, range: OffsetRange, table: &str) -> String {
        format!("{self}:{range}:{table}")
    }

    /// Returns what the ids of all inserts of this partition begin with, and those of no other partition.
    pub fn query_id_prefix(&self) -> String {
        format!("weir:{self}:")
    }

    /// Returns the query id of one attempt to insert a batch; `attempt` must differ between attempts.
    pub fn query_id(&self, range: OffsetRange, table: &str, attempt: impl fmt::Display) -> String {
        format!("weir:{self}:{range}:{table}:{attempt}")
    }
}

impl fmt::Display for SourcePartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.stream, self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_name_stream_topic_partition_range_and_table() {
        let source = SourcePartition::new(3, "events.web", 1);
        let range = OffsetRange {
            first: 10,
            last: 19,
        };
        assert_eq!(source.token(range, "events"), "3:events.web:1:10-19:events");
        assert_eq!(range.offsets(), 10);
    }

    #[test]
    fn a_query_id_prefix_belongs_to_one_partition() {
        let one = SourcePartition::new(1, "events.web", 1);
        let eleven = SourcePartition::new(1, "events.web", 11);
        let range = OffsetRange { first: 0, last: 0 };
        assert!(
            one.query_id(range, "events", 1)
                .starts_with(&one.query_id_prefix())
        );
        assert!(
            !eleven
                .query_id(range, "events", 1)
                .starts_with(&one.query_id_prefix())
        );
    }
}
