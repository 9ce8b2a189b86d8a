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
{DIFFERING}
ORDER BY source_id, is_bot, bucket
LIMIT {limit:UInt64}
