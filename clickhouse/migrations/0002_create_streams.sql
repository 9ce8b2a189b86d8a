-- Epochs of topics: a topic that is created again, or loses its end, starts a new stream, so that offsets which come
-- again are other coordinates.
-- Cost: a row per epoch. Reversal: none, coordinates would become ambiguous.
CREATE TABLE IF NOT EXISTS streams {on_cluster}
(
    topic LowCardinality(String) COMMENT 'Kafka topic',
    stream UInt32 COMMENT 'Epoch, from 1',
    created_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the epoch began, by the server''s clock',
    reason LowCardinality(String) COMMENT 'Why it began: created, recreated, truncated'
)
ENGINE = {replacing_merge_tree:created_at}
ORDER BY (topic, stream)
SETTINGS {deduplication}
COMMENT 'Epochs of topics; the highest stream of a topic is the current one';
