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
{DIFFERING}
ORDER BY source_id, is_bot, bucket, page_host, page_path
LIMIT {limit:UInt64}
