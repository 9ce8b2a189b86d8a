-- Every table and view after all migrations. Not to be edited, but to be written anew by
-- UPDATE_GOLDEN=1 cargo test -p weir-clickhouse golden_schema

CREATE TABLE batches
(
    `stream` UInt32 COMMENT 'Epoch of the topic, see streams' CODEC(ZSTD(1)),
    `topic` LowCardinality(String) COMMENT 'Kafka topic',
    `partition` UInt32 COMMENT 'Kafka partition' CODEC(ZSTD(1)),
    `first` UInt64 COMMENT 'First offset of the batch' CODEC(Delta(8), ZSTD(1)),
    `last` UInt64 COMMENT 'Last offset of the batch; the next batch begins at last + 1' CODEC(Delta(8), ZSTD(1)),
    `n_events` UInt64 COMMENT 'Offsets whose record is a row of events' CODEC(T64, ZSTD(1)),
    `n_failed` UInt64 COMMENT 'Offsets whose record is a row of failed_events' CODEC(T64, ZSTD(1)),
    `n_lost` UInt64 COMMENT 'Offsets that Kafka had deleted before they were read' CODEC(T64, ZSTD(1)),
    `n_absent` UInt64 COMMENT 'Offsets that hold no record: control records, compaction' CODEC(T64, ZSTD(1)),
    `min_received_at` DateTime64(3, 'UTC') COMMENT 'Earliest received_at of the batch; 1970-01-01 when it has no record' CODEC(Delta(8), ZSTD(1)),
    `max_received_at` DateTime64(3, 'UTC') COMMENT 'Latest received_at of the batch; 1970-01-01 when it has no record' CODEC(Delta(8), ZSTD(1)),
    `processor_version` LowCardinality(String) COMMENT 'Version of the processor that decided the verdicts',
    `schema_set` LowCardinality(String) COMMENT 'Hash of the schema set they were decided with',
    `shard` LowCardinality(String) COMMENT 'Shard that holds the rows; empty on one node',
    `token` String COMMENT 'What the deduplication tokens of the batch\'s inserts begin with' CODEC(ZSTD(1)),
    `inserted_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the batch was recorded, by the server\'s clock' CODEC(Delta(8), ZSTD(1)),
    INDEX inserted_at_range inserted_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(inserted_at)
ORDER BY (stream, topic, partition, first)
SETTINGS non_replicated_deduplication_window = 100000, index_granularity = 8192
COMMENT 'Ledger of delivery: one row per batch of contiguous offsets, added after all rows of the batch are stored';

CREATE TABLE events
(
    `stream` UInt32 COMMENT 'Coordinates: epoch of the topic, see streams' CODEC(ZSTD(1)),
    `topic` LowCardinality(String) COMMENT 'Coordinates: Kafka topic',
    `partition` UInt32 COMMENT 'Coordinates: Kafka partition' CODEC(ZSTD(1)),
    `offset` UInt64 COMMENT 'Coordinates: Kafka offset' CODEC(Delta(8), ZSTD(1)),
    `key_hash` UInt32 COMMENT 'murmur2 of the record\'s key without the sign bit: key_hash % partition count is the partition' CODEC(ZSTD(1)),
    `event_id` UUID COMMENT 'Id of the event; repeats of it within the deduplication window are in failed_events',
    `client_event_id` String COMMENT 'Id as the client sent it, when that is not a UUID' CODEC(ZSTD(1)),
    `source_id` LowCardinality(String) COMMENT 'Source whose key the event came with',
    `platform` LowCardinality(String) COMMENT 'Platform of the source: web, ios, android, server',
    `type` LowCardinality(String) COMMENT 'Call: track, identify, page, screen, group, alias',
    `name` LowCardinality(String) COMMENT 'Name of a tracked event in snake_case; of the other calls their type',
    `name_sent` LowCardinality(String) COMMENT 'Name as the client sent it; of page and screen calls that of the page or screen',
    `schema_version` LowCardinality(String) COMMENT 'Schema the event was validated against',
    `ts` DateTime64(3, 'UTC') COMMENT 'When it happened: the client\'s time when believable, else received_at' CODEC(Delta(8), ZSTD(1)),
    `received_at` DateTime64(3, 'UTC') COMMENT 'When the collector received it' CODEC(Delta(8), ZSTD(1)),
    `client_ts` DateTime64(3, 'UTC') COMMENT 'Time as the client sent it; 1970-01-01 when it sent none' CODEC(Delta(8), ZSTD(1)),
    `sent_at` DateTime64(3, 'UTC') COMMENT 'When the client sent the request, by its clock; 1970-01-01 when it did not say' CODEC(Delta(8), ZSTD(1)),
    `user_id` String COMMENT 'Known user' CODEC(ZSTD(1)),
    `anonymous_id` String COMMENT 'Id a browser or device gave itself' CODEC(ZSTD(1)),
    `group_id` String COMMENT 'Group of a group call, or the group the event happened in' CODEC(ZSTD(1)),
    `previous_id` String COMMENT 'Former id of an alias call' CODEC(ZSTD(1)),
    `visitor_id` UInt64 COMMENT 'Whose event it is, for counting: a hash of source and anonymous id, else user id, else cookieless id' CODEC(ZSTD(1)),
    `page_url` String COMMENT 'Address of the page as sent' CODEC(ZSTD(1)),
    `page_host` LowCardinality(String) COMMENT 'Host of the page, lower case',
    `page_path` String COMMENT 'Path of the page, without query' CODEC(ZSTD(1)),
    `page_query` String COMMENT 'Query of the page, without question mark' CODEC(ZSTD(1)),
    `page_title` String COMMENT 'Title of the page' CODEC(ZSTD(1)),
    `referrer` String COMMENT 'Address of the referrer as sent' CODEC(ZSTD(1)),
    `referrer_host` String COMMENT 'Host of the referrer, lower case' CODEC(ZSTD(1)),
    `utm_source` LowCardinality(String) COMMENT 'Campaign: source',
    `utm_medium` LowCardinality(String) COMMENT 'Campaign: medium',
    `utm_campaign` String COMMENT 'Campaign: name' CODEC(ZSTD(1)),
    `utm_term` String COMMENT 'Campaign: term' CODEC(ZSTD(1)),
    `utm_content` String COMMENT 'Campaign: content' CODEC(ZSTD(1)),
    `agent` String COMMENT 'User agent as sent' CODEC(ZSTD(1)),
    `browser` LowCardinality(String) COMMENT 'Browser family, from the user agent',
    `browser_version` LowCardinality(String) COMMENT 'Browser version, from the user agent',
    `os` LowCardinality(String) COMMENT 'Operating system family, from the user agent',
    `os_version` LowCardinality(String) COMMENT 'Operating system version, from the user agent',
    `device` LowCardinality(String) COMMENT 'Device family, from the user agent',
    `is_bot` Bool COMMENT 'Whether it was sent by a program rather than a person',
    `bot_reasons` Array(LowCardinality(String)) COMMENT 'Why it is taken for a bot\'s',
    `locale` LowCardinality(String) COMMENT 'Locale of the client',
    `address` String COMMENT 'Address of the client, truncated unless the source keeps whole ones; may be empty' CODEC(ZSTD(1)),
    `library` LowCardinality(String) COMMENT 'Library that sent the event',
    `library_version` LowCardinality(String) COMMENT 'Version of that library',
    `properties` JSON(max_dynamic_paths = 256) COMMENT 'Properties of the event; traits of identify and group calls' CODEC(ZSTD(1)),
    `context` String COMMENT 'Rest of the event\'s context that has no column, as JSON text' CODEC(ZSTD(1)),
    `warnings` Array(LowCardinality(String)) COMMENT 'What was odd about the event without being wrong',
    `inserted_at` DateTime DEFAULT now() COMMENT 'When the row was inserted, by the server\'s clock' CODEC(Delta(4), ZSTD(1)),
    INDEX offset_range offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (source_id, toDate(ts), name, visitor_id, ts)
SETTINGS non_replicated_deduplication_window = 100000, index_granularity = 8192
COMMENT 'Accepted events, each once';

CREATE TABLE failed_events
(
    `stream` UInt32 COMMENT 'Coordinates: epoch of the topic, see streams' CODEC(ZSTD(1)),
    `topic` LowCardinality(String) COMMENT 'Coordinates: Kafka topic',
    `partition` UInt32 COMMENT 'Coordinates: Kafka partition' CODEC(ZSTD(1)),
    `offset` UInt64 COMMENT 'Coordinates: Kafka offset' CODEC(Delta(8), ZSTD(1)),
    `received_at` DateTime64(3, 'UTC') COMMENT 'When the collector received it; the record\'s timestamp when it is not readable' CODEC(Delta(8), ZSTD(1)),
    `source_id` LowCardinality(String) COMMENT 'Source whose key it came with; empty when not readable',
    `platform` LowCardinality(String) COMMENT 'Platform of the source; empty when not readable',
    `type` LowCardinality(String) COMMENT 'Call as it was sent',
    `name` String COMMENT 'Name of the event, when it got that far' CODEC(ZSTD(1)),
    `event_id` String COMMENT 'Id as the client sent it' CODEC(ZSTD(1)),
    `reason` LowCardinality(String) COMMENT 'Class of the failure: decode, protocol, size, schema_missing, schema_invalid, duplicate, load, superseded',
    `errors` Array(Tuple(
        path String,
        keyword String,
        message String)) COMMENT 'What is wrong: JSON pointer into the call, rule that was broken, explanation' CODEC(ZSTD(1)),
    `payload` String COMMENT 'The record as received' CODEC(ZSTD(3)),
    `processor_version` LowCardinality(String) COMMENT 'Version of the processor that decided',
    `schema_set` LowCardinality(String) COMMENT 'Hash of the schema set it decided with',
    `inserted_at` DateTime DEFAULT now() COMMENT 'When the row was inserted, by the server\'s clock' CODEC(Delta(4), ZSTD(1)),
    INDEX offset_range offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (source_id, reason, received_at)
SETTINGS non_replicated_deduplication_window = 100000, index_granularity = 8192
COMMENT 'Records that did not become events, each once, with the reason';

CREATE TABLE imports
(
    `source_id` LowCardinality(String) COMMENT 'Source the events were imported for',
    `digest` String COMMENT 'blake3 of the uncompressed content, in hex',
    `file_name` String COMMENT 'Name of the file; - for standard input',
    `events` UInt64 COMMENT 'Events that were sent',
    `imported_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the import began, by the server\'s clock'
)
ENGINE = ReplacingMergeTree(imported_at)
ORDER BY (source_id, digest)
SETTINGS non_replicated_deduplication_window = 100000, index_granularity = 8192
COMMENT 'Files that were imported';

CREATE TABLE pages_15m
(
    `source_id` LowCardinality(String) COMMENT 'Source',
    `is_bot` Bool COMMENT 'Whether the views are bots\'',
    `bucket` DateTime('UTC') COMMENT 'Begin of the quarter of an hour of ts' CODEC(Delta(4), ZSTD(1)),
    `page_host` LowCardinality(String) COMMENT 'Host of the page',
    `page_path` String COMMENT 'Path of the page' CODEC(ZSTD(1)),
    `views` SimpleAggregateFunction(sum, UInt64) COMMENT 'Page calls' CODEC(T64, ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (source_id, is_bot, bucket, page_host, page_path)
SETTINGS non_replicated_deduplication_window = 100000, index_granularity = 8192
COMMENT 'Page views per page and quarter of an hour';

CREATE MATERIALIZED VIEW pages_15m_mv TO pages_15m
(
    `source_id` LowCardinality(String),
    `is_bot` Bool,
    `bucket` DateTime('UTC'),
    `page_host` LowCardinality(String),
    `page_path` String,
    `views` UInt64
)
COMMENT 'Fills pages_15m from events'
AS SELECT
    source_id,
    is_bot,
    toStartOfFifteenMinutes(ts) AS bucket,
    page_host,
    page_path,
    count() AS views
FROM events
WHERE type = 'page'
GROUP BY
    source_id,
    is_bot,
    bucket,
    page_host,
    page_path;

CREATE TABLE repairs
(
    `target` LowCardinality(String) COMMENT 'Table to repair',
    `source_id` LowCardinality(String) COMMENT 'Source to repair',
    `bucket_from` DateTime('UTC') COMMENT 'First bucket',
    `bucket_to` DateTime('UTC') COMMENT 'Last bucket, included',
    `reason` String COMMENT 'Why it was queued',
    `queued_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was queued, by the server\'s clock',
    `done_at` DateTime64(3, 'UTC') COMMENT 'When the buckets were made equal; 1970-01-01 while they are not'
)
ENGINE = ReplacingMergeTree(done_at)
ORDER BY (target, source_id, bucket_from, bucket_to, queued_at)
SETTINGS non_replicated_deduplication_window = 100000, index_granularity = 8192
COMMENT 'Queue of rollup buckets to repair';

CREATE TABLE schema_migrations
(
    `version` UInt32 COMMENT 'Number of the migration',
    `name` String COMMENT 'Its name',
    `checksum` String COMMENT 'blake3 of its file, in hex',
    `applied_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When its last statement was done, by the server\'s clock'
)
ENGINE = ReplacingMergeTree(applied_at)
ORDER BY version
SETTINGS index_granularity = 8192
COMMENT 'Migrations that were applied';

CREATE TABLE streams
(
    `topic` LowCardinality(String) COMMENT 'Kafka topic',
    `stream` UInt32 COMMENT 'Epoch, from 1',
    `created_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the epoch began, by the server\'s clock',
    `reason` LowCardinality(String) COMMENT 'Why it began: created, recreated, truncated'
)
ENGINE = ReplacingMergeTree(created_at)
ORDER BY (topic, stream)
SETTINGS non_replicated_deduplication_window = 100000, index_granularity = 8192
COMMENT 'Epochs of topics; the highest stream of a topic is the current one';

CREATE TABLE traffic_15m
(
    `source_id` LowCardinality(String) COMMENT 'Source',
    `is_bot` Bool COMMENT 'Whether the views are bots\'',
    `bucket` DateTime('UTC') COMMENT 'Begin of the quarter of an hour of ts',
    `views` SimpleAggregateFunction(sum, UInt64) COMMENT 'Page calls',
    `visitors` AggregateFunction(uniqCombined64, UInt64) COMMENT 'State of distinct visitor_id: uniqCombined64Merge gives the number'
)
ENGINE = AggregatingMergeTree
ORDER BY (source_id, is_bot, bucket)
SETTINGS non_replicated_deduplication_window = 100000, index_granularity = 8192
COMMENT 'Page views and visitors per quarter of an hour';

CREATE MATERIALIZED VIEW traffic_15m_mv TO traffic_15m
(
    `source_id` LowCardinality(String),
    `is_bot` Bool,
    `bucket` DateTime('UTC'),
    `views` UInt64,
    `visitors` AggregateFunction(uniqCombined64, UInt64)
)
COMMENT 'Fills traffic_15m from events'
AS SELECT
    source_id,
    is_bot,
    toStartOfFifteenMinutes(ts) AS bucket,
    count() AS views,
    uniqCombined64State(visitor_id) AS visitors
FROM events
WHERE type = 'page'
GROUP BY
    source_id,
    is_bot,
    bucket;
