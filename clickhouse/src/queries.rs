//! The queries of `queries/*.sql`, each documented in its file.
//!
//! In those that are about one partition, `{SOURCE}` stands for the condition on its coordinates.

macro_rules! queries {
    ($($name:ident = $file:literal;)*) => {
        $(pub(crate) const $name: &str = include_str!(concat!("../queries/", $file));)*
    };
}

queries! {
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
    VERIFY_PAGES = "verify_pages.sql";
    VERIFY_STORED = "verify_stored.sql";
    VERIFY_SUMS = "verify_sums.sql";
    VERIFY_TRAFFIC = "verify_traffic.sql";
}
