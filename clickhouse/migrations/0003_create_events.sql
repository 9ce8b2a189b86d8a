-- Every accepted event, once. Partitioned by arrival, so that an insert of one arrival month is one part and old
-- months can be dropped whole; ordered for questions about one source over time.
-- offset_range keeps the look-up of a batch's rows cheap in large merged parts.
-- Cost: the largest table; about 100 bytes a row on disk. Reversal: DROP TABLE, after stopping the processors.
CREATE TABLE IF NOT EXISTS events {on_cluster}
(
    stream UInt32 COMMENT 'Coordinates: epoch of the topic, see streams' CODEC(ZSTD(1)),
    topic LowCardinality(String) COMMENT 'Coordinates: Kafka topic',
    partition UInt32 COMMENT 'Coordinates: Kafka partition' CODEC(ZSTD(1)),
    offset UInt64 COMMENT 'Coordinates: Kafka offset' CODEC(Delta(8), ZSTD(1)),
    key_hash UInt32 COMMENT 'murmur2 of the record''s key without the sign bit: key_hash % partition count is the partition' CODEC(ZSTD(1)),
    event_id UUID COMMENT 'Id of the event; repeats of it within the deduplication window are in failed_events',
    client_event_id String COMMENT 'Id as the client sent it, when that is not a UUID' CODEC(ZSTD(1)),
    source_id LowCardinality(String) COMMENT 'Source whose key the event came with',
    platform LowCardinality(String) COMMENT 'Platform of the source: web, ios, android, server',
    type LowCardinality(String) COMMENT 'Call: track, identify, page, screen, group, alias',
    name LowCardinality(String) COMMENT 'Name of a tracked event in snake_case; of the other calls their type',
    name_sent LowCardinality(String) COMMENT 'Name as the client sent it; of page and screen calls that of the page or screen',
    schema_version LowCardinality(String) COMMENT 'Schema the event was validated against',
    ts DateTime64(3, 'UTC') COMMENT 'When it happened: the client''s time when believable, else received_at' CODEC(Delta(8), ZSTD(1)),
    received_at DateTime64(3, 'UTC') COMMENT 'When the collector received it' CODEC(Delta(8), ZSTD(1)),
    client_ts DateTime64(3, 'UTC') COMMENT 'Time as the client sent it; 1970-01-01 when it sent none' CODEC(Delta(8), ZSTD(1)),
    sent_at DateTime64(3, 'UTC') COMMENT 'When the client sent the request, by its clock; 1970-01-01 when it did not say' CODEC(Delta(8), ZSTD(1)),
    user_id String COMMENT 'Known user' CODEC(ZSTD(1)),
    anonymous_id String COMMENT 'Id a browser or device gave itself' CODEC(ZSTD(1)),
    group_id String COMMENT 'Group of a group call, or the group the event happened in' CODEC(ZSTD(1)),
    previous_id String COMMENT 'Former id of an alias call' CODEC(ZSTD(1)),
    visitor_id UInt64 COMMENT 'Whose event it is, for counting: a hash of source and anonymous id, else user id, else cookieless id' CODEC(ZSTD(1)),
    page_url String COMMENT 'Address of the page as sent' CODEC(ZSTD(1)),
    page_host LowCardinality(String) COMMENT 'Host of the page, lower case',
    page_path String COMMENT 'Path of the page, without query' CODEC(ZSTD(1)),
    page_query String COMMENT 'Query of the page, without question mark' CODEC(ZSTD(1)),
    page_title String COMMENT 'Title of the page' CODEC(ZSTD(1)),
    referrer String COMMENT 'Address of the referrer as sent' CODEC(ZSTD(1)),
    referrer_host String COMMENT 'Host of the referrer, lower case' CODEC(ZSTD(1)),
    utm_source LowCardinality(String) COMMENT 'Campaign: source',
    utm_medium LowCardinality(String) COMMENT 'Campaign: medium',
    utm_campaign String COMMENT 'Campaign: name' CODEC(ZSTD(1)),
    utm_term String COMMENT 'Campaign: term' CODEC(ZSTD(1)),
    utm_content String COMMENT 'Campaign: content' CODEC(ZSTD(1)),
    agent String COMMENT 'User agent as sent' CODEC(ZSTD(1)),
    browser LowCardinality(String) COMMENT 'Browser family, from the user agent',
    browser_version LowCardinality(String) COMMENT 'Browser version, from the user agent',
    os LowCardinality(String) COMMENT 'Operating system family, from the user agent',
    os_version LowCardinality(String) COMMENT 'Operating system version, from the user agent',
    device LowCardinality(String) COMMENT 'Device family, from the user agent',
    is_bot Bool COMMENT 'Whether it was sent by a program rather than a person',
    bot_reasons Array(LowCardinality(String)) COMMENT 'Why it is taken for a bot''s',
    locale LowCardinality(String) COMMENT 'Locale of the client',
    address String COMMENT 'Address of the client, truncated unless the source keeps whole ones; may be empty' CODEC(ZSTD(1)),
    library LowCardinality(String) COMMENT 'Library that sent the event',
    library_version LowCardinality(String) COMMENT 'Version of that library',
    properties JSON(max_dynamic_paths = 256) COMMENT 'Properties of the event; traits of identify and group calls' CODEC(ZSTD(1)),
    context String COMMENT 'Rest of the event''s context that has no column, as JSON text' CODEC(ZSTD(1)),
    warnings Array(LowCardinality(String)) COMMENT 'What was odd about the event without being wrong',
    inserted_at DateTime DEFAULT now() COMMENT 'When the row was inserted, by the server''s clock' CODEC(Delta(4), ZSTD(1)),
    INDEX offset_range offset TYPE minmax GRANULARITY 1
)
ENGINE = {merge_tree}
PARTITION BY toYYYYMM(received_at)
ORDER BY (source_id, toDate(ts), name, visitor_id, ts)
SETTINGS {deduplication}
COMMENT 'Accepted events, each once';
