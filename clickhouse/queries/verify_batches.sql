-- A run of ledger rows of one partition, in order. A batch without records has no arrival month: 0.
SELECT
    first,
    last,
    n_events,
    n_failed,
    if(toUnixTimestamp64Milli(min_received_at) = 0, 0, toYYYYMM(min_received_at)) AS month
FROM batches FINAL
WHERE {SOURCE} AND first >= {from:UInt64} AND first <= {end:UInt64}
ORDER BY first
LIMIT {limit:UInt64}
