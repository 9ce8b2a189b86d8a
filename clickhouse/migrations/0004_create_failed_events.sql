-- Every record that did not become an event, once, with the reason: what invariant "nothing is dropped silently" means.
-- Cost: payloads of up to 16 KiB, ZSTD. Reversal: DROP TABLE, after stopping the processors; verify then reports it.
CREATE TABLE IF NOT EXISTS failed_events {on_cluster}
(
    stream UInt32 COMMENT 'Coordinates: epoch of the topic, see streams' CODEC(ZSTD(1)),
    topic LowCardinality(String) COMMENT 'Coordinates: Kafka topic',
    partition UInt32 COMMENT 'Coordinates: Kafka partition' CODEC(ZSTD(1)),
    offset UInt64 COMMENT 'Coordinates: Kafka offset' CODEC(Delta(8), ZSTD(1)),
    received_at DateTime64(3, 'UTC') COMMENT 'When the collector received it; the record''s timestamp when it is not readable' CODEC(Delta(8), ZSTD(1)),
    source_id LowCardinality(String) COMMENT 'Source whose key it came with; empty when not readable',
    platform LowCardinality(String) COMMENT 'Platform of the source; empty when not readable',
    type LowCardinality(String) COMMENT 'Call as it was sent',
    name String COMMENT 'Name of the event, when it got that far' CODEC(ZSTD(1)),
    event_id String COMMENT 'Id as the client sent it' CODEC(ZSTD(1)),
    reason LowCardinality(String) COMMENT 'Class of the failure: decode, protocol, size, schema_missing, schema_invalid, duplicate, load, superseded',
    errors Array(Tuple(path String, keyword String, message String)) COMMENT 'What is wrong: JSON pointer into the call, rule that was broken, explanation' CODEC(ZSTD(1)),
    payload String COMMENT 'The record as received' CODEC(ZSTD(3)),
    processor_version LowCardinality(String) COMMENT 'Version of the processor that decided',
    schema_set LowCardinality(String) COMMENT 'Hash of the schema set it decided with',
    inserted_at DateTime DEFAULT now() COMMENT 'When the row was inserted, by the server''s clock' CODEC(Delta(4), ZSTD(1)),
    INDEX offset_range offset TYPE minmax GRANULARITY 1
)
ENGINE = {merge_tree}
PARTITION BY toYYYYMM(received_at)
ORDER BY (source_id, reason, received_at)
SETTINGS {deduplication}
COMMENT 'Records that did not become events, each once, with the reason';
