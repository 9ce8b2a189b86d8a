//! How often this process inserts: ClickHouse wants few parts a second, however many partitions there are.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Hands out moments at which batches may close by age, evenly spaced over all partitions of the process.
#[derive(Debug)]
pub(crate) struct Pacer {
    spacing: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pacer {
    pub(crate) fn new(per_second: f64) -> Self {
        Self {
            spacing: Duration::from_secs_f64(1.0 / per_second),
            next: Mutex::new(None),
        }
    }

    /// Returns the next free moment, not before `now`, and takes it.
    pub(crate) fn take(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = next.map_or(now, |next| next.max(now));
        *next = Some(slot + self.spacing);
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spaced_evenly_and_unused_ones_are_gone() {
        let pacer = Pacer::new(5.0);
        let now = Instant::now();
        assert_eq!(pacer.take(now), now);
        assert_eq!(pacer.take(now), now + Duration::from_millis(200));
        let later = now + Duration::from_secs(10);
        assert_eq!(pacer.take(later), later);
    }
}
