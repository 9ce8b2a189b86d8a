-- Page views and visitors per quarter of an hour: quarters add up to days in every time zone.
-- Cost: a row per source, quarter and insert until merged; a state of visitors grows to about 100 KB at most.
-- Reversal: drop the view, then the table.
CREATE TABLE IF NOT EXISTS traffic_15m {on_cluster}
(
    source_id LowCardinality(String) COMMENT 'Source',
    is_bot Bool COMMENT 'Whether the views are bots''',
    bucket DateTime('UTC') COMMENT 'Begin of the quarter of an hour of ts',
    views SimpleAggregateFunction(sum, UInt64) COMMENT 'Page calls',
    visitors AggregateFunction(uniqCombined64, UInt64) COMMENT 'State of distinct visitor_id: uniqCombined64Merge gives the number'
)
ENGINE = {aggregating_merge_tree}
ORDER BY (source_id, is_bot, bucket)
SETTINGS {deduplication}
COMMENT 'Page views and visitors per quarter of an hour';

CREATE MATERIALIZED VIEW IF NOT EXISTS traffic_15m_mv {on_cluster} TO traffic_15m AS
SELECT
    source_id,
    is_bot,
    toStartOfFifteenMinutes(ts) AS bucket,
    count() AS views,
    uniqCombined64State(visitor_id) AS visitors
FROM events
WHERE type = 'page'
GROUP BY source_id, is_bot, bucket
COMMENT 'Fills traffic_15m from events';
