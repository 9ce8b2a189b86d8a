-- The oldest arrival month that the tables of verdicts still hold rows of, as YYYYMM, and its first moment in Unix
-- seconds; no row when they hold none. Months before it were dropped, or never were. A month that only one of the
-- tables has rows of is there: most months have no failures of most kinds.
SELECT
    toUInt32(min(toUInt32OrZero(partition))) AS month,
    toInt64(toUnixTimestamp(toDateTime(YYYYMMDDToDate32(month * 100 + 1), 'UTC'))) AS begin
FROM system.parts
WHERE database = currentDatabase() AND table IN ('events', 'failed_events') AND active AND rows > 0
HAVING count() > 0
