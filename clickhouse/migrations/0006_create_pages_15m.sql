-- Page views per page and quarter of an hour.
-- Cost: the longest rollup, up to a row per page view where visits are sparse. Reversal: drop the view, then the table.
CREATE TABLE IF NOT EXISTS pages_15m {on_cluster}
(
    source_id LowCardinality(String) COMMENT 'Source',
    is_bot Bool COMMENT 'Whether the views are bots''',
    bucket DateTime('UTC') COMMENT 'Begin of the quarter of an hour of ts' CODEC(Delta(4), ZSTD(1)),
    page_host LowCardinality(String) COMMENT 'Host of the page',
    page_path String COMMENT 'Path of the page' CODEC(ZSTD(1)),
    views SimpleAggregateFunction(sum, UInt64) COMMENT 'Page calls' CODEC(T64, ZSTD(1))
)
ENGINE = {aggregating_merge_tree}
ORDER BY (source_id, is_bot, bucket, page_host, page_path)
SETTINGS {deduplication}
COMMENT 'Page views per page and quarter of an hour';

CREATE MATERIALIZED VIEW IF NOT EXISTS pages_15m_mv {on_cluster} TO pages_15m AS
SELECT
    source_id,
    is_bot,
    toStartOfFifteenMinutes(ts) AS bucket,
    page_host,
    page_path,
    count() AS views
FROM events
WHERE type = 'page'
GROUP BY source_id, is_bot, bucket, page_host, page_path
COMMENT 'Fills pages_15m from events';
