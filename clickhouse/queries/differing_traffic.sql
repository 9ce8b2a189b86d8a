-- Buckets of traffic_15m of one day, in UTC, that differ from what the events give: `NOT stored` is what the events
-- give, `stored` what the rollup has. To verify and to repair are two ways to look at this.
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
