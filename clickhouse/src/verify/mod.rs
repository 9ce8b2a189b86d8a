//! Proof of delivery: every offset has one verdict, every row is there once, every rollup equals the events.
//!
//! The proof is up to an end that is read first, so that it can be made while events arrive: per partition the highest
//! offset of the ledger. It rests on ClickHouse alone; that the ledger's end is Kafka's is a matter of lag.
//!
//! Old months may be dropped, from `events` and `failed_events` alike. What arrived before the oldest month that either
//! still holds cannot be counted any more: such batches rest on the ledger, and rollups are compared from the first day
//! on that none of those events can have happened on.

mod ledger;
mod rollups;

use std::time::Duration;

use crate::db::Db;
use crate::error::Error;
use crate::position::{self, LedgerEnd};
use crate::repairs;
use crate::source::{OffsetRange, SourcePartition};
use crate::windows::{self, Window};

/// Four times the parts that a table gets in an hour at a part every two seconds.
const LEAST_WINDOW: u64 = 7_200;

/// How to verify.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether rollups that differ are mended and compared again.
    pub repair: bool,
    /// How long a difference that goes on changing is looked at again, and how long rows above the ledger's end may
    /// take to be recorded.
    pub patience: Duration,
    /// How many differences of each kind and partition, or rollup and day, are listed; there may be more.
    pub max_listed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            repair: false,
            patience: Duration::from_secs(40),
            max_listed: 100,
        }
    }
}

/// What was proved, and what stands against it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was covered of each partition.
    pub partitions: Vec<Coverage>,
    /// UTC days whose rollup buckets were compared: first moment of the first and of the last, Unix seconds.
    pub days: Option<(i64, i64)>,
    /// What is wrong. Empty when the proof holds.
    pub differences: Vec<Difference>,
    /// Repairs that were queued by deliveries and are still open.
    pub open_repairs: Vec<repairs::Repair>,
    /// UTC days that were mended, Unix seconds.
    pub mended_days: Vec<i64>,
    /// Tables that remember too few parts to recognise a resend for an hour. Nothing is wrong yet, but the next replay
    /// may double rows there: `ALTER TABLE … MODIFY SETTING non_replicated_deduplication_window = 100000`.
    pub small_windows: Vec<Window>,
}

/// What the ledger says of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// The partition.
    pub source: SourcePartition,
    /// Its offsets from the ledger's first to its end.
    pub range: OffsetRange,
    /// Batches.
    pub batches: u64,
    /// Offsets whose record is in `events`.
    pub n_events: u64,
    /// Offsets whose record is in `failed_events`.
    pub n_failed: u64,
    /// Offsets Kafka had deleted before they were read: lost, and known to be.
    pub n_lost: u64,
    /// Offsets without a record.
    pub n_absent: u64,
    /// Batches that arrived before the oldest month still stored: their rows are gone, they rest on the ledger.
    pub resting_batches: u64,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The ledger has no row for these offsets.
    Gap {
        /// Partition.
        source: SourcePartition,
        /// Offsets without a row.
        range: OffsetRange,
    },
    /// Two ledger rows account for the same offsets.
    Overlap {
        /// Partition.
        source: SourcePartition,
        /// The later row.
        range: OffsetRange,
        /// First offset that it should begin with.
        expected_first: i64,
    },
    /// A ledger row's counts do not add up to its offsets.
    Sum {
        /// Partition.
        source: SourcePartition,
        /// The row.
        range: OffsetRange,
        /// What its counts add up to.
        accounted: u64,
    },
    /// The tables do not hold what a ledger row says.
    Stored {
        /// Partition.
        source: SourcePartition,
        /// The ledger row.
        range: OffsetRange,
        /// Rows of `events` and of `failed_events` by the ledger.
        expected: (u64, u64),
        /// Rows of `events` and of `failed_events` that are there.
        found: (u64, u64),
        /// Distinct offsets among those.
        offsets: u64,
    },
    /// Rows lie above the ledger's end, and nobody recorded their batch in time.
    Unrecorded {
        /// Partition.
        source: SourcePartition,
        /// From the ledger's end to the highest of them.
        range: OffsetRange,
    },
    /// A rollup's row differs from what the events give.
    Rollup(RollupDifference),
}

/// A rollup's row that differs from what the events give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupDifference {
    /// Table.
    pub rollup: &'static str,
    /// Source.
    pub source_id: String,
    /// Whether the row is about bots.
    pub is_bot: bool,
    /// Begin of the bucket, Unix seconds.
    pub bucket: i64,
    /// Host and path of the page; empty in a rollup without pages.
    pub page: (String, String),
    /// Page views by the events, and in the rollup.
    pub views: (u64, u64),
    /// Visitors by the events, and in the rollup; 0 in a rollup without them.
    pub visitors: (u64, u64),
}

impl Report {
    /// Returns whether nothing stands against the proof.
    pub fn is_clean(&self) -> bool {
        self.differences.is_empty()
    }
}

impl Difference {
    /// Returns what somebody should do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Gap { .. } => {
                "the ledger lost a row: restore it from a backup, or insert it again with the counts of the rows that are \
                 stored of these offsets; nothing reads them again, for the position is the ledger's end"
            }
            Self::Overlap { .. } => {
                "two processors recorded the same offsets: check that all of them commit to one consumer group"
            }
            Self::Sum { .. } => "the ledger row was changed by hand: restore it from a backup",
            Self::Stored { .. } => {
                "rows were removed, added or doubled behind Weir's back: restore the table's partition from a backup, or \
                 remove the surplus rows by their coordinates; where an old month was dropped on purpose, drop it and all \
                 before it from events and from failed_events"
            }
            Self::Unrecorded { .. } => {
                "a batch is open: a running processor records it or replays it; if this stays, look at the processor's \
                 health. Rollups are not repaired until then, since the replay may fill them too"
            }
            Self::Rollup(_) => "run `weir verify --repair`, which adds to the rollup what it lacks",
        }
    }
}

/// Verifies everything up to the ends of the ledger at the time of the call.
///
/// # Errors
///
/// Those of a read; with `repair` those of a statement.
pub async fn verify(db: &Db, options: &Options) -> Result<Report, Error> {
    // Before the ends: what is stored from then on is younger.
    let kept = ledger::kept(db).await?;
    let ends = position::ledger_ends(db).await?;
    let mut report = Report::default();
    let mut is_partial = false;
    for LedgerEnd { source, last } in &ends {
        let mut coverage = ledger::coverage(db, source, *last).await?;
        report
            .differences
            .extend(ledger::tiling(db, source, *last, options.max_listed).await?);
        let (differences, resting) =
            ledger::stored(db, (source, *last), kept, options.max_listed).await?;
        report.differences.extend(differences);
        coverage.resting_batches = resting;
        is_partial |= resting > 0;
        report.partitions.push(coverage);
    }
    report
        .differences
        .extend(ledger::unrecorded(db, options.patience).await?);
    report.small_windows = windows::windows(db).await?;
    report
        .small_windows
        .retain(|window| window.parts < LEAST_WINDOW);
    // What a replay is still to send again to a view must not be added to it by hand as well.
    let is_open = |difference: &Difference| matches!(difference, Difference::Unrecorded { .. });
    let options = &Options {
        repair: options.repair && !report.differences.iter().any(is_open),
        ..options.clone()
    };
    let kept_from = kept.filter(|_| is_partial).map(|kept| kept.begin);
    rollups::compare(db, options, kept_from, &mut report).await?;
    report.open_repairs = repairs::open(db).await?;
    Ok(report)
}
