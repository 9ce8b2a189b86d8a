-- What the ledger says of one partition, up to an offset.
SELECT
    min(first) AS begin,
    count() AS batches,
    sum(n_events) AS n_events,
    sum(n_failed) AS n_failed,
    sum(n_lost) AS n_lost,
    sum(n_absent) AS n_absent
FROM batches FINAL
WHERE {SOURCE} AND first <= {end:UInt64}
