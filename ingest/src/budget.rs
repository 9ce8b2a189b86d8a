//! The one bound on memory: bytes of bodies and records under way, counted by requests as they grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes that all requests share; clones share it too.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    used: AtomicUsize,
    limit: usize,
}

/// Bytes taken from a budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Budget,
    bytes: usize,
}

/// The budget has no more room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl Budget {
    /// Creates a budget of `limit` bytes.
    pub(crate) fn new(limit: usize) -> Budget {
        Budget {
            shared: Arc::new(Shared {
                used: AtomicUsize::new(0),
                limit,
            }),
        }
    }

    /// Returns a reservation of nothing yet.
    pub(crate) fn reservation(&self) -> Reservation {
        Reservation {
            budget: self.clone(),
            bytes: 0,
        }
    }

    /// Says whether so many bytes could be taken now.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        (self.used() as u64).saturating_add(bytes) <= self.shared.limit as u64
    }

    /// Returns the bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.shared.used.load(Ordering::Relaxed)
    }
}

impl Reservation {
    /// Takes further bytes.
    ///
    /// # Errors
    ///
    /// There are not so many left; what was taken before stays taken.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let shared = &self.budget.shared;
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= shared.limit);
        shared
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map_err(|_| Exhausted)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back what exceeds `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let excess = self.bytes.saturating_sub(bytes);
        self.budget.shared.used.fetch_sub(excess, Ordering::Relaxed);
        self.bytes -= excess;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget
            .shared
            .used
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back_when_the_reservation_ends() {
        let budget = Budget::new(10);
        let mut first = budget.reservation();
        first.grow(6).unwrap();
        first.grow(3).unwrap();
        let mut second = budget.reservation();
        assert_eq!(second.grow(2), Err(Exhausted));
        assert_eq!(second.grow(usize::MAX), Err(Exhausted));
        second.grow(1).unwrap();
        assert_eq!(budget.used(), 10);
        assert!(budget.has_room(0) && !budget.has_room(1) && !budget.has_room(u64::MAX));
        first.shrink_to(20);
        first.shrink_to(4);
        assert_eq!(budget.used(), 5);
        drop(first);
        assert_eq!(budget.used(), 1);
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
