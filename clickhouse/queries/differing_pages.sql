-- Buckets of pages_15m of one day, in UTC, that differ from what the events give: `NOT stored` is what the events give,
-- `stored` what the rollup has. To verify and to repair are two ways to look at this.
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
