-- A run of ledger rows of one partition, in order.
SELECT first, last, n_events, n_failed
FROM batches FINAL
WHERE {SOURCE} AND first >= {from:UInt64} AND first <= {end:UInt64}
ORDER BY first
LIMIT {limit:UInt64}
