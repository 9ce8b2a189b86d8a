-- Rows that the tables hold for each batch of one partition: each row counts for the batch with the highest first
-- offset that is not above its own.
SELECT
    roundDown(offset, {firsts:Array(UInt64)}) AS first,
    countIf(verdict = 'event') AS events,
    countIf(verdict = 'failed') AS failed,
    uniqExact(offset) AS offsets
FROM
(
    SELECT offset, 'event' AS verdict FROM events
    WHERE {SOURCE} AND offset BETWEEN {from:UInt64} AND {to:UInt64}
    UNION ALL
    SELECT offset, 'failed' AS verdict FROM failed_events
    WHERE {SOURCE} AND offset BETWEEN {from:UInt64} AND {to:UInt64}
)
GROUP BY first
