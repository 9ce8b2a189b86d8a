//! The queries of `queries/*.sql`, each documented in its file.
//!
//! In those that are about one partition, `{SOURCE}` stands for the condition on its coordinates. In those that are about
//! one rollup, `{DIFFERING}` stands for where its differing buckets come from.

macro_rules! queries {
    ($($name:ident = $file:literal;)*) => {
        $(pub(crate) const $name: &str = include_str!(concat!("../queries/", $file));)*
    };
}

queries! {
    DIFFERING_PAGES = "differing_pages.sql";
    DIFFERING_TRAFFIC = "differing_traffic.sql";
    REPAIR_OPEN = "repair_open.sql";
    REPAIR_PAGES = "repair_pages.sql";
    REPAIR_QUEUE = "repair_queue.sql";
    REPAIR_TRAFFIC = "repair_traffic.sql";
    STATS_SERIES = "stats_series.sql";
    STATS_TOP_PAGES = "stats_top_pages.sql";
    STATS_TOTALS = "stats_totals.sql";
    VERIFY_ABOVE = "verify_above.sql";
    VERIFY_BATCHES = "verify_batches.sql";
    VERIFY_DAYS = "verify_days.sql";
    VERIFY_LEDGER = "verify_ledger.sql";
    VERIFY_MONTH = "verify_month.sql";
    VERIFY_PAGES = "verify_pages.sql";
    VERIFY_STORED = "verify_stored.sql";
    VERIFY_SUMS = "verify_sums.sql";
    VERIFY_TRAFFIC = "verify_traffic.sql";
}

/// A rollup, and what is asked of the buckets in it that differ from the events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rollup {
    /// Table.
    pub(crate) table: &'static str,
    differing: &'static str,
    verify: &'static str,
    repair: &'static str,
}

/// Every rollup.
pub(crate) const ROLLUPS: [Rollup; 2] = [
    Rollup {
        table: "traffic_15m",
        differing: DIFFERING_TRAFFIC,
        verify: VERIFY_TRAFFIC,
        repair: REPAIR_TRAFFIC,
    },
    Rollup {
        table: "pages_15m",
        differing: DIFFERING_PAGES,
        verify: VERIFY_PAGES,
        repair: REPAIR_PAGES,
    },
];

impl Rollup {
    /// Returns the query for one day's differing buckets.
    pub(crate) fn verify(&self) -> String {
        self.verify.replace(DIFFERING, self.differing)
    }

    /// Returns the statement that makes one day's buckets right.
    pub(crate) fn repair(&self) -> String {
        self.repair.replace(DIFFERING, self.differing)
    }
}

const DIFFERING: &str = "{DIFFERING}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verifying_and_repairing_a_rollup_share_one_recomputation() {
        for rollup in ROLLUPS {
            for sql in [rollup.verify(), rollup.repair()] {
                assert_eq!(sql.matches(rollup.differing).count(), 1, "{sql}");
                assert_eq!(sql.matches("FROM events").count(), 1, "{sql}");
                assert!(!sql.contains(DIFFERING), "{sql}");
            }
        }
    }
}
