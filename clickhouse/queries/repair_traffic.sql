-- Makes the rows of traffic_15m for one day, in UTC, equal to what the events give, by adding what is missing. Views
-- are sums modulo 2^64, so a surplus is taken away by adding its complement. A surplus of visitors cannot be taken
-- away: delete the bucket's rows first.
INSERT INTO traffic_15m (source_id, is_bot, bucket, views, visitors)
SELECT
    source_id,
    is_bot,
    bucket,
    toUInt64(sumIf(views, NOT stored) - sumIf(views, stored)),
    uniqCombined64MergeStateIf(visitors, NOT stored)
FROM
(
    SELECT false AS stored, source_id, is_bot, toStartOfFifteenMinutes(ts) AS bucket,
        count() AS views, uniqCombined64State(visitor_id) AS visitors
    FROM events
    WHERE type = 'page' AND toDate(ts) = toDate(toDateTime({day:Int64}, 'UTC'))
    GROUP BY source_id, is_bot, bucket
    UNION ALL
    SELECT true AS stored, source_id, is_bot, bucket, views, visitors
    FROM traffic_15m
    WHERE toDate(bucket) = toDate(toDateTime({day:Int64}, 'UTC'))
)
GROUP BY source_id, is_bot, bucket
HAVING sumIf(views, NOT stored) != sumIf(views, stored)
    OR uniqCombined64MergeIf(visitors, NOT stored) != uniqCombined64MergeIf(visitors, stored)
