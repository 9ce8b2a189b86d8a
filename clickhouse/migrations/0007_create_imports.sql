-- What was imported from files, so that the same content is not imported again once deduplication has forgotten it.
-- Cost: a row per import. Reversal: DROP TABLE; a second import of old content is then not noticed.
CREATE TABLE IF NOT EXISTS imports {on_cluster}
(
    source_id LowCardinality(String) COMMENT 'Source the events were imported for',
    digest String COMMENT 'blake3 of the uncompressed content, in hex',
    file_name String COMMENT 'Name of the file; - for standard input',
    events UInt64 COMMENT 'Events that were sent',
    imported_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the import began, by the server''s clock'
)
ENGINE = {replacing_merge_tree:imported_at}
ORDER BY (source_id, digest)
SETTINGS {deduplication}
COMMENT 'Files that were imported';
