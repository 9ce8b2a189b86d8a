-- Makes the rows of pages_15m for one day, in UTC, equal to what the events give, by adding the difference: views are
-- sums modulo 2^64.
INSERT INTO pages_15m (source_id, is_bot, bucket, page_host, page_path, views)
SELECT
    source_id,
    is_bot,
    bucket,
    page_host,
    page_path,
    toUInt64(sumIf(views, NOT stored) - sumIf(views, stored))
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
HAVING sumIf(views, NOT stored) != sumIf(views, stored)
