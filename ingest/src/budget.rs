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
    /// The budget this is a part of: what is taken here is taken there as well.
    whole: Option<Budget>,
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
        Budget::with(limit, None)
    }

    /// Creates a budget of at most `limit` of this one's bytes.
    pub(crate) fn part(&self, limit: usize) -> Budget {
        Budget::with(limit, Some(self.clone()))
    }

    fn with(limit: usize, whole: Option<Budget>) -> Budget {
        Budget {
            shared: Arc::new(Shared {
                used: AtomicUsize::new(0),
                limit,
                whole,
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
        let whole = self.shared.whole.as_ref();
        (self.used() as u64).saturating_add(bytes) <= self.shared.limit as u64
            && whole.is_none_or(|whole| whole.has_room(bytes))
    }

    /// Returns the bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.shared.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> Result<(), Exhausted> {
        let fits = |used: usize| {
            used.checked_add(bytes)
                .filter(|sum| *sum <= self.shared.limit)
        };
        self.shared
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map_err(|_| Exhausted)?;
        if let Some(whole) = &self.shared.whole {
            whole.take(bytes).inspect_err(|Exhausted| {
                self.shared.used.fetch_sub(bytes, Ordering::Relaxed);
            })?;
        }
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.shared.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.shared.whole {
            whole.give_back(bytes);
        }
    }
}

impl Reservation {
    /// Takes further bytes.
    ///
    /// # Errors
    ///
    /// There are not so many left; what was taken before stays taken.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Exhausted> {
        self.budget.take(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back what exceeds `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let excess = self.bytes.saturating_sub(bytes);
        self.budget.give_back(excess);
        self.bytes -= excess;
    }

    /// Makes a part's reservation one of the whole: its bytes stay taken there only.
    pub(crate) fn leave_part(&mut self) {
        if let Some(whole) = self.budget.shared.whole.clone() {
            self.budget
                .shared
                .used
                .fetch_sub(self.bytes, Ordering::Relaxed);
            self.budget = whole;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
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

    #[test]
    fn a_part_takes_from_the_whole_and_from_itself() {
        let whole = Budget::new(10);
        let part = whole.part(4);
        let mut first = part.reservation();
        first.grow(3).unwrap();
        assert_eq!(first.grow(2), Err(Exhausted));
        assert_eq!((part.used(), whole.used()), (3, 3));
        assert!(part.has_room(1) && !part.has_room(2) && whole.has_room(7));
        let mut other = whole.reservation();
        other.grow(7).unwrap();
        assert!(!part.has_room(1));
        assert_eq!(first.grow(1), Err(Exhausted));
        assert_eq!((part.used(), whole.used()), (3, 10));
        drop(other);

        first.leave_part();
        assert_eq!((part.used(), whole.used()), (0, 3));
        first.grow(7).unwrap();
        first.shrink_to(1);
        assert_eq!((part.used(), whole.used()), (0, 1));
        drop(first);
        let mut last = part.reservation();
        last.grow(4).unwrap();
        last.shrink_to(1);
        assert_eq!((part.used(), whole.used()), (1, 1));
        drop(last);
        assert_eq!((part.used(), whole.used()), (0, 0));
    }
}
