-- Rollup buckets that are known or feared to differ from the events, to be made equal by a repair.
-- Cost: a row per rollup, source and day touched by a delivery that could not heal its views. Reversal: DROP TABLE.
CREATE TABLE IF NOT EXISTS repairs {on_cluster}
(
    target LowCardinality(String) COMMENT 'Table to repair',
    source_id LowCardinality(String) COMMENT 'Source to repair',
    bucket_from DateTime('UTC') COMMENT 'First bucket',
    bucket_to DateTime('UTC') COMMENT 'Last bucket, included',
    reason String COMMENT 'Why it was queued',
    queued_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was queued, by the server''s clock',
    done_at DateTime64(3, 'UTC') COMMENT 'When the buckets were made equal; 1970-01-01 while they are not'
)
ENGINE = {replacing_merge_tree:done_at}
ORDER BY (target, source_id, bucket_from, bucket_to, queued_at)
SETTINGS {deduplication}
COMMENT 'Queue of rollup buckets to repair';
