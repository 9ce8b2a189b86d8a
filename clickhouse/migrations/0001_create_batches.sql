-- The ledger: which offsets of which partition are done, and with what verdicts. Position and proof of delivery.
-- inserted_at_range answers how many batches there were since a moment.
-- Cost: one small row per batch, kept for ever. Reversal: none, the position would be lost.
CREATE TABLE IF NOT EXISTS batches {on_cluster}
(
    stream UInt32 COMMENT 'Epoch of the topic, see streams' CODEC(ZSTD(1)),
    topic LowCardinality(String) COMMENT 'Kafka topic',
    partition UInt32 COMMENT 'Kafka partition' CODEC(ZSTD(1)),
    first UInt64 COMMENT 'First offset of the batch' CODEC(Delta(8), ZSTD(1)),
    last UInt64 COMMENT 'Last offset of the batch; the next batch begins at last + 1' CODEC(Delta(8), ZSTD(1)),
    n_events UInt64 COMMENT 'Offsets whose record is a row of events' CODEC(T64, ZSTD(1)),
    n_failed UInt64 COMMENT 'Offsets whose record is a row of failed_events' CODEC(T64, ZSTD(1)),
    n_lost UInt64 COMMENT 'Offsets that Kafka had deleted before they were read' CODEC(T64, ZSTD(1)),
    n_absent UInt64 COMMENT 'Offsets that hold no record: control records, compaction' CODEC(T64, ZSTD(1)),
    min_received_at DateTime64(3, 'UTC') COMMENT 'Earliest received_at of the batch; 1970-01-01 when it has no record' CODEC(Delta(8), ZSTD(1)),
    max_received_at DateTime64(3, 'UTC') COMMENT 'Latest received_at of the batch; 1970-01-01 when it has no record' CODEC(Delta(8), ZSTD(1)),
    processor_version LowCardinality(String) COMMENT 'Version of the processor that decided the verdicts',
    schema_set LowCardinality(String) COMMENT 'Hash of the schema set they were decided with',
    shard LowCardinality(String) COMMENT 'Shard that holds the rows; empty on one node',
    token String COMMENT 'What the deduplication tokens of the batch''s inserts begin with' CODEC(ZSTD(1)),
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the batch was recorded, by the server''s clock' CODEC(Delta(8), ZSTD(1)),
    INDEX inserted_at_range inserted_at TYPE minmax GRANULARITY 1
)
ENGINE = {replacing_merge_tree:inserted_at}
ORDER BY (stream, topic, partition, first)
SETTINGS {deduplication}
COMMENT 'Ledger of delivery: one row per batch of contiguous offsets, added after all rows of the batch are stored';
