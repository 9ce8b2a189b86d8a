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
{DIFFERING}
