-- Page views and unique visitors per day or hour of a time zone. Periods without page views have no row.
SELECT
    toInt64(toUnixTimestamp(if({by:String} = 'hour',
        toStartOfHour(bucket, {timezone:String}),
        toStartOfDay(bucket, {timezone:String})))) AS start,
    sum(views) AS views,
    uniqCombined64Merge(visitors) AS visitors
FROM traffic_15m
WHERE bucket >= fromUnixTimestamp({from:Int64}) AND bucket < fromUnixTimestamp({to:Int64})
    AND ({source:String} = '' OR source_id = {source:String})
    AND (NOT is_bot OR {include_bots:Bool})
GROUP BY start
ORDER BY start
