-- Pages with the most views in a period; equal ones by host and path.
SELECT
    page_host,
    page_path,
    sum(views) AS views
FROM pages_15m
WHERE bucket >= fromUnixTimestamp({from:Int64}) AND bucket < fromUnixTimestamp({to:Int64})
    AND ({source:String} = '' OR source_id = {source:String})
    AND (NOT is_bot OR {include_bots:Bool})
GROUP BY page_host, page_path
ORDER BY views DESC, page_path, page_host
LIMIT {limit:UInt64}
