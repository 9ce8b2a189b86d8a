//! When a batch closes: by rows, by bytes, by age, or because the next record arrived in another month.

use std::time::Duration;

use time::OffsetDateTime;

/// The limits of one batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Records at most.
    pub max_rows: usize,
    /// Bytes of record values at most; one record may exceed it alone.
    pub max_bytes: usize,
    /// How long the first record waits for others.
    pub max_age: Duration,
}

/// A calendar month, as a number that grows by one from month to month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Month(i32);

impl Month {
    /// Returns the UTC month of a time in Unix milliseconds; the months `toYYYYMM` tells apart.
    #[must_use]
    pub fn of(ms: i64) -> Self {
        let at = OffsetDateTime::from_unix_timestamp(ms.div_euclid(1_000))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        Self(at.year() * 12 + i32::from(u8::from(at.month())))
    }
}

/// The size of the batch in hand.
#[derive(Debug, Default)]
pub struct BatchSize {
    rows: usize,
    bytes: usize,
    month: Option<Month>,
}

impl BatchSize {
    /// Returns whether a record has to go into the next batch.
    #[must_use]
    pub fn splits_before(&self, limits: &BatchLimits, bytes: usize, month: Month) -> bool {
        self.rows > 0
            && (self.month != Some(month)
                || self.rows >= limits.max_rows
                || self.bytes + bytes > limits.max_bytes)
    }

    /// Adds a record.
    pub fn add(&mut self, bytes: usize, month: Month) {
        self.rows += 1;
        self.bytes += bytes;
        self.month = Some(month);
    }

    /// Returns whether the batch is closed whatever comes next.
    #[must_use]
    pub fn is_full(&self, limits: &BatchLimits) -> bool {
        self.rows >= limits.max_rows || self.bytes >= limits.max_bytes
    }

    /// Returns whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BatchLimits = BatchLimits {
        max_rows: 3,
        max_bytes: 100,
        max_age: Duration::from_secs(1),
    };
    const MAY: Month = Month(5);

    #[test]
    fn a_batch_closes_by_rows() {
        let mut size = BatchSize::default();
        for _ in 0..3 {
            assert!(!size.splits_before(&LIMITS, 1, MAY));
            size.add(1, MAY);
        }
        assert!(size.is_full(&LIMITS));
        assert!(size.splits_before(&LIMITS, 1, MAY));
    }

    #[test]
    fn a_batch_closes_by_bytes_but_takes_one_record_of_any_size() {
        let mut size = BatchSize::default();
        assert!(!size.splits_before(&LIMITS, 1_000, MAY));
        size.add(60, MAY);
        assert!(!size.is_full(&LIMITS));
        assert!(size.splits_before(&LIMITS, 41, MAY));
        assert!(!size.splits_before(&LIMITS, 40, MAY));
    }

    #[test]
    fn a_batch_holds_one_arrival_month() {
        let last_of_may = 1_433_116_799_999;
        let first_of_june = 1_433_116_800_000;
        let mut size = BatchSize::default();
        size.add(1, Month::of(last_of_may));
        assert!(!size.splits_before(&LIMITS, 1, Month::of(last_of_may - 1)));
        assert!(size.splits_before(&LIMITS, 1, Month::of(first_of_june)));
        assert_ne!(Month::of(0), Month::of(-1));
    }
}
