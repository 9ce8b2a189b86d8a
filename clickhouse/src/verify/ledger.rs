//! The ledger against itself, and the stored rows against the ledger.

use std::collections::HashMap;
use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;
use tokio::time::Instant;

use super::{Coverage, Difference};
use crate::db::{self, Db};
use crate::error::Error;
use crate::position::{self, offset};
use crate::queries;
use crate::source::{OffsetRange, SourcePartition};

/// Batches whose rows are counted by one query.
const BATCHES_AT_ONCE: u64 = 5_000;
const POLL: Duration = Duration::from_millis(500);

/// Returns what the ledger says of a partition up to its end.
pub(super) async fn coverage(
    db: &Db,
    source: &SourcePartition,
    end: i64,
) -> Result<Coverage, Error> {
    let query = position::of(db, queries::VERIFY_SUMS, source).param("end", end);
    let sums: Vec<(u64, u64, u64, u64, u64, u64)> = db::scan(query).await?;
    let (first, batches, n_events, n_failed, n_lost, n_absent) =
        sums.first().copied().unwrap_or_default();
    Ok(Coverage {
        source: source.clone(),
        range: OffsetRange {
            first: offset(first)?,
            last: end,
        },
        batches,
        n_events,
        n_failed,
        n_lost,
        n_absent,
        resting_batches: 0,
    })
}

/// Returns the ledger rows that do not begin where the one before ended, or do not add up.
pub(super) async fn tiling(
    db: &Db,
    source: &SourcePartition,
    end: i64,
    limit: u64,
) -> Result<Vec<Difference>, Error> {
    #[derive(Row, Deserialize)]
    struct Odd {
        first: u64,
        last: u64,
        expected_first: u64,
        accounted: u64,
    }
    let query = position::of(db, queries::VERIFY_LEDGER, source)
        .param("end", end)
        .param("limit", limit);
    let mut differences = Vec::new();
    for odd in db::scan::<Odd>(query).await? {
        let source = source.clone();
        let (range, expected_first) = (range(odd.first, odd.last)?, offset(odd.expected_first)?);
        if range.first > expected_first {
            differences.push(Difference::Gap {
                source: source.clone(),
                range: OffsetRange {
                    first: expected_first,
                    last: range.first - 1,
                },
            });
        } else if range.first < expected_first {
            differences.push(Difference::Overlap {
                source: source.clone(),
                range,
                expected_first,
            });
        }
        if odd.accounted != range.offsets() {
            differences.push(Difference::Sum {
                source,
                range,
                accounted: odd.accounted,
            });
        }
    }
    Ok(differences)
}

#[derive(Row, Deserialize)]
struct Batch {
    first: u64,
    last: u64,
    n_events: u64,
    n_failed: u64,
    /// Its earliest arrival month as YYYYMM; 0 without records.
    month: u32,
}

impl Batch {
    /// Returns whether rows of the batch may have been removed with their month.
    fn is_older_than(&self, kept: Option<Kept>) -> bool {
        self.month > 0 && kept.is_some_and(|kept| self.month < kept.month)
    }
}

#[derive(Row, Deserialize)]
struct Counted {
    first: u64,
    events: u64,
    failed: u64,
    offsets: u64,
}

/// The oldest arrival month that is still stored.
#[derive(Clone, Copy, Debug, Row, Deserialize)]
pub(super) struct Kept {
    /// The month as YYYYMM.
    month: u32,
    /// Its first moment, Unix seconds.
    pub(super) begin: i64,
}

/// Returns the oldest arrival month that is still stored; `None` when no rows are.
pub(super) async fn kept(db: &Db) -> Result<Option<Kept>, Error> {
    let months = db::rows(db.lookup(queries::VERIFY_MONTH)).await?;
    Ok(months.first().copied())
}

/// Returns the batches whose rows are not those the ledger counts, and how many batches could not be counted because
/// they are older than what is kept.
pub(super) async fn stored(
    db: &Db,
    (source, end): (&SourcePartition, i64),
    kept: Option<Kept>,
    limit: u64,
) -> Result<(Vec<Difference>, u64), Error> {
    let mut differences = Vec::new();
    let mut resting = 0;
    // Rows below the first batch count for it.
    let mut rows_from = 0;
    let mut from = 0;
    loop {
        let query = position::of(db, queries::VERIFY_BATCHES, source)
            .param("from", from)
            .param("end", end)
            .param("limit", BATCHES_AT_ONCE);
        let batches: Vec<Batch> = db::scan(query).await?;
        let (Some(last), is_final) = (batches.last(), (batches.len() as u64) < BATCHES_AT_ONCE)
        else {
            return Ok((differences, resting));
        };
        // Rows in a gap after the last batch of a run belong to that run, so that each is counted once.
        let rows_to = if is_final {
            end.cast_unsigned()
        } else {
            last.last
        };
        from = last.first + 1;
        let old = batches.iter().filter(|batch| batch.is_older_than(kept));
        resting += old.count() as u64;
        differences.extend(differing(db, source, &batches, (rows_from, rows_to), kept).await?);
        differences.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        if is_final {
            return Ok((differences, resting));
        }
        rows_from = rows_to + 1;
    }
}

async fn differing(
    db: &Db,
    source: &SourcePartition,
    batches: &[Batch],
    rows: (u64, u64),
    kept: Option<Kept>,
) -> Result<Vec<Difference>, Error> {
    let firsts: Vec<u64> = batches.iter().map(|batch| batch.first).collect();
    let query = position::of(db, queries::VERIFY_STORED, source)
        .param("firsts", firsts)
        .param("from", rows.0)
        .param("to", rows.1);
    let counted: Vec<Counted> = db::scan(query).await?;
    let counted: HashMap<u64, Counted> = counted
        .into_iter()
        .map(|counted| (counted.first, counted))
        .collect();
    let mut differences = Vec::new();
    for batch in batches {
        let (found, offsets) = counted.get(&batch.first).map_or(((0, 0), 0), |counted| {
            ((counted.events, counted.failed), counted.offsets)
        });
        let expected = (batch.n_events, batch.n_failed);
        let is_right = if batch.is_older_than(kept) {
            // Rows may be gone with their month; none may be there that never was.
            found.0 <= expected.0 && found.1 <= expected.1
        } else {
            found == expected
        };
        if !is_right || offsets != found.0 + found.1 {
            differences.push(Difference::Stored {
                source: source.clone(),
                range: range(batch.first, batch.last)?,
                expected,
                found,
                offsets,
            });
        }
    }
    Ok(differences)
}

/// Returns the partitions with rows above the ledger's end that nobody records within `patience`.
pub(super) async fn unrecorded(db: &Db, patience: Duration) -> Result<Vec<Difference>, Error> {
    let begun = Instant::now();
    let mut open = above_ledger(db).await?;
    while !open.is_empty() && begun.elapsed() < patience {
        tokio::time::sleep(POLL).await;
        let mut still_open = Vec::new();
        for (source, range) in open {
            if position::ledger_end(db, &source).await?.unwrap_or(-1) < range.last {
                still_open.push((source, range));
            }
        }
        open = still_open;
    }
    Ok(open
        .into_iter()
        .map(|(source, range)| Difference::Unrecorded { source, range })
        .collect())
}

/// Finds rows above the ledger's end, of partitions it does not know too.
async fn above_ledger(db: &Db) -> Result<Vec<(SourcePartition, OffsetRange)>, Error> {
    #[derive(Row, Deserialize)]
    struct Found {
        stream: u32,
        topic: String,
        partition: u32,
        highest: u64,
        ledger_next: u64,
    }
    let found: Vec<Found> = db::scan(db.lookup(queries::VERIFY_ABOVE)).await?;
    found
        .into_iter()
        .map(|found| {
            let source =
                SourcePartition::new(found.stream, found.topic, found.partition.cast_signed());
            Ok((source, range(found.ledger_next, found.highest)?))
        })
        .collect()
}

fn range(first: u64, last: u64) -> Result<OffsetRange, Error> {
    Ok(OffsetRange {
        first: offset(first)?,
        last: offset(last)?,
    })
}
