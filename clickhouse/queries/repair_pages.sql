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
{DIFFERING}
