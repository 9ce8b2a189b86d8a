-- Queues the rollup buckets that the events of an offset range of one partition fall into, a row per rollup, source
-- and day.
INSERT INTO repairs (target, source_id, bucket_from, bucket_to, reason)
SELECT
    target,
    source_id,
    min(toStartOfFifteenMinutes(ts)),
    max(toStartOfFifteenMinutes(ts)),
    {reason:String}
FROM events
ARRAY JOIN ['traffic_15m', 'pages_15m'] AS target
WHERE {SOURCE} AND offset BETWEEN {first:UInt64} AND {last:UInt64} AND type = 'page'
GROUP BY target, source_id, toDate(ts)
