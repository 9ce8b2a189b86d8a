-- Page views and unique visitors of a period, over all sources or one.
SELECT
    sum(views) AS views,
    uniqCombined64Merge(visitors) AS visitors
FROM traffic_15m
WHERE bucket >= fromUnixTimestamp({from:Int64}) AND bucket < fromUnixTimestamp({to:Int64})
    AND ({source:String} = '' OR source_id = {source:String})
    AND (NOT is_bot OR {include_bots:Bool})
