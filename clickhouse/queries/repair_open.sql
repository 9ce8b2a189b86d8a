-- Repairs that are queued and not done.
SELECT
    target,
    source_id,
    toInt64(toUnixTimestamp(bucket_from)) AS bucket_from,
    toInt64(toUnixTimestamp(bucket_to)) AS bucket_to,
    reason,
    toUnixTimestamp64Milli(queued_at) AS queued_at_ms
FROM repairs FINAL
WHERE done_at = 0
ORDER BY queued_at, target, source_id, bucket_from
