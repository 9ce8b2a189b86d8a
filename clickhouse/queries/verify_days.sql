-- First moments, in Unix seconds, of the UTC days on which events or a rollup have page views.
SELECT DISTINCT intDiv(toInt64(toUnixTimestamp(moment)), 86400) * 86400 AS day
FROM
(
    SELECT DISTINCT toStartOfDay(ts) AS moment FROM events WHERE type = 'page'
    UNION ALL
    SELECT DISTINCT toStartOfDay(bucket) AS moment FROM traffic_15m
    UNION ALL
    SELECT DISTINCT toStartOfDay(bucket) AS moment FROM pages_15m
)
ORDER BY day
