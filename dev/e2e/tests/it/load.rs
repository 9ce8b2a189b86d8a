//! The balance after a load: sent = stored + failed + duplicates.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use weir_stack::Stack;
use weir_stack::load::Sent;

use crate::support;

/// Everything acknowledged is stored or failed, nothing is stored twice, and the ledger, the tables and the rollups agree.
pub(crate) fn check(stack: &Stack, sent: &Sent) -> Result<()> {
    support::settle_and_verify(stack)?;
    support::nothing_is_twice(stack)?;
    let stored: BTreeSet<String> = support::stored_ids(stack)?.into_iter().collect();
    let missing: Vec<&String> = sent.acknowledged.difference(&stored).collect();
    ensure!(
        missing.is_empty(),
        "{} of {} acknowledged events are in no table, such as {:?}",
        missing.len(),
        sent.acknowledged.len(),
        missing.first()
    );
    // Sent = stored + failed + duplicates: every record is one row of one table.
    let rows = support::number(
        stack,
        "SELECT (SELECT count() FROM events) + (SELECT count() FROM failed_events)",
    )?;
    let records = support::records_in_kafka(stack)?;
    ensure!(rows == records, "{rows} rows of {records} records");
    println!(
        "{} events acknowledged, {} batches repeated, {rows} rows",
        sent.acknowledged.len(),
        sent.repeated
    );
    Ok(())
}
