-- Rows of traffic_15m for one day, in UTC, that differ from what the events give.
SELECT
    source_id,
    is_bot,
    toInt64(toUnixTimestamp(bucket)) AS bucket_start,
    '' AS page_host,
    '' AS page_path,
    sumIf(views, NOT stored) AS expected_views,
    sumIf(views, stored) AS stored_views,
    uniqCombined64MergeIf(visitors, NOT stored) AS expected_visitors,
    uniqCombined64MergeIf(visitors, stored) AS stored_visitors
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
HAVING expected_views != stored_views OR expected_visitors != stored_visitors
ORDER BY source_id, is_bot, bucket
LIMIT {limit:UInt64}
