-- Rows of pages_15m for one day, in UTC, that differ from what the events give.
SELECT
    source_id,
    is_bot,
    toInt64(toUnixTimestamp(bucket)) AS bucket_start,
    page_host,
    page_path,
    sumIf(views, NOT stored) AS expected_views,
    sumIf(views, stored) AS stored_views,
    0::UInt64 AS expected_visitors,
    0::UInt64 AS stored_visitors
FROM
(
    SELECT false AS stored, source_id, is_bot, toStartOfFifteenMinutes(ts) AS bucket, page_host, page_path,
        count() AS views
    FROM events
    WHERE type = 'page' AND toDate(ts) = toDate(toDateTime({day:Int64}, 'UTC'))
    GROUP BY source_id, is_bot, bucket, page_host, page_path
    UNION ALL
    SELECT true AS stored, source_id, is_bot, bucket, page_host, page_path, views
    FROM pages_15m
    WHERE toDate(bucket) = toDate(toDateTime({day:Int64}, 'UTC'))
)
GROUP BY source_id, is_bot, bucket, page_host, page_path
HAVING expected_views != stored_views
ORDER BY source_id, is_bot, bucket, page_host, page_path
LIMIT {limit:UInt64}
