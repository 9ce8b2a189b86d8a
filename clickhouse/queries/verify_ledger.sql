-- Ledger rows of one partition that do not tile: that do not begin where the one before ended, or whose counts do not
-- add up to their offsets.
SELECT first, last, expected_first, accounted
FROM
(
    SELECT
        first,
        last,
        n_events + n_failed + n_lost + n_absent AS accounted,
        lagInFrame(last + 1, 1, first) OVER (ORDER BY first, last ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS expected_first
    FROM batches FINAL
    WHERE {SOURCE} AND first <= {end:UInt64}
)
WHERE first != expected_first OR accounted != last + 1 - first
ORDER BY first
LIMIT {limit:UInt64}
