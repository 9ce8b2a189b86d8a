//! Differences in words: what, where, and what to do.

use serde::Serialize;
use weir_clickhouse::SourcePartition;
use weir_clickhouse::verify::{Difference, RollupDifference};
use weir_common::time::rfc3339;

use super::log::LogDifference;

/// A difference of either half of the proof, in words.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    /// Which kind, the same for all that call for the same.
    pub(super) kind: &'static str,
    /// Where.
    pub(super) place: String,
    /// What is wrong.
    pub(super) detail: String,
    /// What to do about it.
    pub(super) advice: &'static str,
}

impl Shown {
    /// Describes what ClickHouse alone shows.
    pub(super) fn of(difference: &Difference) -> Self {
        let (kind, place, detail) = match difference {
            Difference::Gap { source, range } => (
                "ledger gap",
                place(source),
                format!("no ledger row for offsets {range}"),
            ),
            Difference::Overlap {
                source,
                range,
                expected_first,
            } => (
                "ledger overlap",
                place(source),
                format!("the row for {range} should begin at {expected_first}"),
            ),
            Difference::Sum {
                source,
                range,
                accounted,
            } => (
                "ledger sum",
                place(source),
                format!(
                    "the row for {range} accounts for {accounted} of {} offsets",
                    range.offsets()
                ),
            ),
            Difference::Stored {
                source,
                range,
                expected,
                found,
                offsets,
            } => (
                "stored rows",
                place(source),
                format!(
                    "batch {range}: expected {} events and {} failed, found {} and {} ({offsets} distinct offsets)",
                    expected.0, expected.1, found.0, found.1
                ),
            ),
            Difference::Unrecorded { source, range } => (
                "unrecorded rows",
                place(source),
                format!("rows among offsets {range}, which no ledger row accounts for"),
            ),
            Difference::Rollup(rollup) => ("rollup", rollup_place(rollup), rollup_detail(rollup)),
        };
        Self {
            kind,
            place,
            detail,
            advice: difference.advice(),
        }
    }

    /// Describes what Kafka shows.
    pub(super) fn of_log(difference: &LogDifference) -> Self {
        Self {
            kind: difference.name(),
            place: format!("{}/{}", difference.topic, difference.partition),
            detail: difference.detail(),
            advice: difference.advice(),
        }
    }
}

fn rollup_place(rollup: &RollupDifference) -> String {
    let bots = if rollup.is_bot { " bots" } else { "" };
    let bucket = rfc3339(rollup.bucket * 1000);
    format!("{} {}{bots} {bucket}", rollup.rollup, rollup.source_id)
}

fn rollup_detail(rollup: &RollupDifference) -> String {
    let (host, path) = &rollup.page;
    let page = if path.is_empty() && host.is_empty() {
        String::new()
    } else {
        format!("{host}{path}: ")
    };
    let mut parts = Vec::new();
    if rollup.views.0 != rollup.views.1 {
        parts.push(format!(
            "{} views by the events, {} in the rollup",
            rollup.views.0, rollup.views.1
        ));
    }
    if rollup.visitors.0 != rollup.visitors.1 {
        parts.push(format!(
            "{} visitors by the events, {} in the rollup",
            rollup.visitors.0, rollup.visitors.1
        ));
    }
    format!("{page}{}", parts.join(", "))
}

fn place(source: &SourcePartition) -> String {
    format!(
        "{}/{} stream {}",
        source.topic, source.partition, source.stream
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollup_difference_names_only_what_differs() {
        let rollup = RollupDifference {
            rollup: "pages_15m",
            source_id: "web".to_owned(),
            is_bot: false,
            bucket: 900,
            page: (String::new(), "/a".to_owned()),
            views: (2, 3),
            visitors: (0, 0),
        };
        let shown = Shown::of(&Difference::Rollup(rollup));
        assert_eq!(shown.place, "pages_15m web 1970-01-01T00:15:00.000Z");
        assert_eq!(shown.detail, "/a: 2 views by the events, 3 in the rollup");
    }
}
