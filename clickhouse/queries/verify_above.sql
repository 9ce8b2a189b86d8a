-- Partitions with rows above the ledger's end, and those the ledger does not know.
SELECT
    stream,
    topic,
    partition,
    max(highest) AS highest,
    max(next) AS ledger_next
FROM
(
    SELECT stream, topic, partition, max(offset) AS highest, 0 AS next
    FROM events GROUP BY stream, topic, partition
    UNION ALL
    SELECT stream, topic, partition, max(offset) AS highest, 0 AS next
    FROM failed_events GROUP BY stream, topic, partition
    UNION ALL
    SELECT stream, topic, partition, 0 AS highest, max(last) + 1 AS next
    FROM batches GROUP BY stream, topic, partition
)
GROUP BY stream, topic, partition
HAVING max(highest) >= max(next) AND countIf(next = 0) > 0
ORDER BY topic, stream, partition
