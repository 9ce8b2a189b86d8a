//! The vocabulary between the machine and whoever executes its steps.

use std::collections::BTreeMap;

use weir_clickhouse::OffsetRange;

use super::{Found, Intent, Mark, StopReason};

/// The limits that decide what a replay may resend and how long it waits.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How long after a range was declared its stored rows may be sent again, in milliseconds.
    pub horizon_ms: i64,
    /// The deduplication window of every table, in parts.
    pub window_parts: u64,
    /// How long after an acknowledged intent an insert may still start, in milliseconds.
    pub first_byte_ms: i64,
    /// What is added to that limit for clocks that differ and bytes under way, in milliseconds.
    pub margin_ms: i64,
    /// Offsets that are replayed at a time where nothing declares a range.
    pub max_orphans: i64,
    /// The ClickHouse shard that takes this partition's rows; empty for one server.
    pub shard: String,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            horizon_ms: 3_600_000,
            window_parts: 100_000,
            first_byte_ms: 10_000,
            margin_ms: 2_000,
            max_orphans: 100_000,
            shard: String::new(),
        }
    }
}

/// What the tables hold of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Offsets in `events`, in order.
    pub events: Vec<i64>,
    /// Offsets in `failed_events`, in order.
    pub failed: Vec<i64>,
}

impl Stored {
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.failed.is_empty()
    }

    /// Whether an insert that is still under way could add to this: `failed_events` comes last and in one part, so the
    /// range is complete once it holds rows, or once `events` holds them all.
    pub(super) fn may_grow(&self, range: OffsetRange) -> bool {
        self.failed.is_empty() && (self.events.len() as u64) < range.offsets()
    }
}

/// What is settled of a range before it is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// What the tables hold: those offsets keep their verdicts, and every other one of the range fails.
    pub stored: Stored,
    /// Offsets whose rows ClickHouse could not read, with its message: they fail, however they are judged.
    pub unreadable: BTreeMap<i64, String>,
}

/// What the range's records come to, with what was decided taken as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Offsets to insert into `events`, in order; empty when `events` already holds rows of the range.
    pub accepted: Vec<i64>,
    /// Offsets to insert into `failed_events`, in order; those it already holds are left out.
    pub failed: Vec<i64>,
    /// Offsets that Kafka deleted before they were read.
    pub lost: u64,
    /// Offsets that Kafka never delivers (control records, compacted records).
    pub absent: u64,
}

/// One row of the ledger `batches`, as far as the machine knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The offsets the row accounts for.
    pub range: OffsetRange,
    /// Rows in `events`.
    pub events: u64,
    /// Rows in `failed_events`.
    pub failed: u64,
    /// Offsets lost.
    pub lost: u64,
    /// Offsets absent.
    pub absent: u64,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Read what [`Found`] names. → [`Outcome::Found`]
    Locate,
    /// Stand still for a while and report the reason. → [`Outcome::Done`]
    Stop(StopReason),
    /// Rebuild deduplication state from stored rows of offsets below this one, unless it stands there. → [`Outcome::Done`]
    LoadState {
        /// The first offset that is not in the state.
        below: i64,
    },
    /// Wait until this time, and until no query of this partition runs in ClickHouse. → [`Outcome::Done`]
    AwaitQuiet {
        /// Unix milliseconds; 0 for no waiting.
        until_ms: i64,
    },
    /// Read which offsets of the range the tables hold. → [`Outcome::Stored`]
    ReadStored(OffsetRange),
    /// Take the range's records from Kafka, as far as it still has them. → [`Outcome::Done`]
    Fetch(OffsetRange),
    /// Gather the next batch, beginning at this offset. → [`Outcome::Collected`]
    Collect {
        /// The batch's first offset.
        next_offset: i64,
    },
    /// Judge the records of the range. → [`Outcome::Judged`]
    Judge {
        /// The batch.
        range: OffsetRange,
        /// What is settled already.
        decided: Decided,
    },
    /// Commit the offset `range.first` with the intent, its `declared_at_ms` set to now where it is 0.
    /// → [`Outcome::Committed`]
    CommitIntent(Intent),
    /// Insert the accepted rows under the range's token. → [`Outcome::Done`], [`Outcome::TooLate`], [`Outcome::Unreadable`]
    InsertEvents(OffsetRange),
    /// Insert the rows that `events` holds of the range again, as they stand, under the range's token, so that views
    /// which a crash left out get them. → [`Outcome::Done`], [`Outcome::TooLate`]
    ResendEvents(OffsetRange),
    /// Insert the failed rows. → [`Outcome::Done`], [`Outcome::TooLate`]
    InsertFailed {
        /// The batch.
        range: OffsetRange,
        /// Whether `failed_events` already holds other rows of the range, so that the range's token is taken.
        token_taken: bool,
    },
    /// Queue the rollup buckets that the range's events touch for repair. → [`Outcome::Done`]
    QueueRepair(OffsetRange),
    /// Produce the range's events and failures to the Kafka outputs. → [`Outcome::Done`]
    Publish(OffsetRange),
    /// Insert the row into the ledger. → [`Outcome::Done`]
    InsertLedger(LedgerEntry),
    /// Commit the next offset, with no intent. → [`Outcome::Done`]
    CommitPosition {
        /// The next offset to read.
        next_offset: i64,
    },
}

/// How a step went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The step succeeded.
    Done,
    /// What [`Command::Locate`] read.
    Found(Box<Found>),
    /// What [`Command::ReadStored`] read.
    Stored(Stored),
    /// The range that [`Command::Collect`] gathered.
    Collected(OffsetRange),
    /// What [`Command::Judge`] came to.
    Judged(Judgement),
    /// The intent was committed at this time, in Unix milliseconds.
    Committed {
        /// When the commit was sent.
        at_ms: i64,
    },
    /// The insert did not start within the first-byte limit, and no try of it before did: nothing was sent.
    TooLate,
    /// ClickHouse could not read one row of the base insert, and stored nothing.
    Unreadable {
        /// The index of the row in [`Judgement::accepted`].
        row: usize,
        /// ClickHouse's message.
        message: String,
    },
    /// The step cannot be completed as it stands: the commit was refused, or what an insert did is not known and it is
    /// too late to send it again without looking. Everything in hand is given up and found again.
    GaveUp,
}

impl Command {
    /// Returns the offset and mark that this command commits in `stream`, if it is a commit.
    #[must_use]
    pub fn commit(&self, stream: u32) -> Option<(i64, Mark)> {
        match self {
            Self::CommitIntent(intent) => Some((intent.range.first, Mark::Intent(intent.clone()))),
            Self::CommitPosition { next_offset } => Some((*next_offset, Mark::Position { stream })),
            _ => None,
        }
    }
}
