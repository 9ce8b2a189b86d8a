-- Partitions with rows above the ledger's end, and those the ledger does not know.
SELECT
    stream,
    topic,
    partition,
    max(stored) AS highest,
    max(next) AS ledger_next
FROM
(
    SELECT stream, topic, partition, max(offset) AS stored, 0 AS next
    FROM events GROUP BY stream, topic, partition
    UNION ALL
    SELECT stream, topic, partition, max(offset) AS stored, 0 AS next
    FROM failed_events GROUP BY stream, topic, partition
    UNION ALL
    SELECT stream, topic, partition, 0 AS stored, max(last) + 1 AS next
    FROM batches GROUP BY stream, topic, partition
)
GROUP BY stream, topic, partition
HAVING highest >= ledger_next AND countIf(next = 0) > 0
ORDER BY topic, stream, partition
