//! Which event ids were stored lately: the state that makes a repeat a duplicate.
//!
//! A fold, in offset order, over stored events: it moves by what was stored, never by a clock, so that it can be rebuilt
//! from the stored rows. It expires by the highest arrival time it has seen. Events of the batch in hand are kept apart
//! until the batch is in the ledger, so that they can be taken back.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

const HOUR_MS: i64 = 3_600_000;

/// The event ids of one partition that count as seen.
#[derive(Debug)]
pub struct DedupWindow {
    window_ms: i64,
    max_ids: usize,
    /// Ids by arrival hour, oldest first.
    hours: BTreeMap<i64, HashMap<Box<str>, HashSet<Uuid>>>,
    len: usize,
    latest_ms: i64,
    /// The batch in hand, by source and id, with arrival times.
    pending: HashMap<Box<str>, HashMap<Uuid, i64>>,
    pending_latest_ms: i64,
    /// The earliest hour that was not given up for want of room.
    kept_from_hour: i64,
}

impl DedupWindow {
    /// Returns an empty state that remembers ids for `window_ms` of arrival time and at most `max_ids` of them; beyond
    /// that the oldest hour goes first.
    #[must_use]
    pub fn new(window_ms: i64, max_ids: usize) -> Self {
        Self {
            window_ms,
            max_ids,
            hours: BTreeMap::new(),
            len: 0,
            latest_ms: i64::MIN,
            pending: HashMap::new(),
            pending_latest_ms: i64::MIN,
            kept_from_hour: i64::MIN,
        }
    }

    /// Returns whether the id was stored within the window.
    #[must_use]
    pub fn contains(&self, source_id: &str, event_id: Uuid) -> bool {
        let oldest = self.oldest_hour();
        let pending = self.pending.get(source_id);
        if let Some(received_ms) = pending.and_then(|ids| ids.get(&event_id))
            && hour(*received_ms) >= oldest
        {
            return true;
        }
        self.hours.range(oldest..).any(|(_, sources)| {
            sources
                .get(source_id)
                .is_some_and(|ids| ids.contains(&event_id))
        })
    }

    /// Takes note of an event of the batch in hand.
    pub fn note(&mut self, source_id: &str, event_id: Uuid, received_ms: i64) {
        self.pending_latest_ms = self.pending_latest_ms.max(received_ms);
        if !self.pending.contains_key(source_id) {
            self.pending.insert(source_id.into(), HashMap::new());
        }
        if let Some(ids) = self.pending.get_mut(source_id) {
            ids.insert(event_id, received_ms);
        }
    }

    /// Keeps what was noted: the batch is in the ledger.
    pub fn keep(&mut self) {
        self.pending_latest_ms = i64::MIN;
        for (source_id, ids) in std::mem::take(&mut self.pending) {
            for (event_id, received_ms) in ids {
                self.insert(&source_id, event_id, received_ms);
            }
        }
        self.expire();
    }

    /// Forgets what was noted: the batch is judged again or given up.
    pub fn take_back(&mut self) {
        self.pending.clear();
        self.pending_latest_ms = i64::MIN;
    }

    /// Adds an event that is stored and in the ledger; the order does not matter.
    pub fn restore(&mut self, source_id: &str, event_id: Uuid, received_ms: i64) {
        self.insert(source_id, event_id, received_ms);
        if self.len.is_multiple_of(65_536) {
            self.expire();
        }
    }

    /// Drops what the window no longer covers; to be called after the last [`DedupWindow::restore`].
    pub fn expire(&mut self) {
        let oldest = self.oldest_hour();
        while let Some((hour, sources)) = self.hours.first_key_value() {
            let over = self.len > self.max_ids;
            if *hour >= oldest && !over {
                break;
            }
            self.len -= sources.values().map(HashSet::len).sum::<usize>();
            if over {
                self.kept_from_hour = self.kept_from_hour.max(hour + 1);
            }
            self.hours.pop_first();
        }
    }

    /// Changes the bound; it holds from the next batch on.
    pub fn set_max_ids(&mut self, max_ids: usize) {
        self.max_ids = max_ids;
    }

    /// Returns the number of ids held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len + self.pending.values().map(HashMap::len).sum::<usize>()
    }

    /// Returns whether no id is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the arrival time that the state really covers, in milliseconds: less than the configured window when the
    /// bound on ids was reached.
    #[must_use]
    pub fn covered_ms(&self) -> i64 {
        if self.kept_from_hour == i64::MIN {
            return self.window_ms;
        }
        (self.latest() - self.kept_from_hour * HOUR_MS).clamp(0, self.window_ms)
    }

    fn latest(&self) -> i64 {
        self.latest_ms.max(self.pending_latest_ms)
    }

    fn oldest_hour(&self) -> i64 {
        hour(self.latest().saturating_sub(self.window_ms)).max(self.kept_from_hour)
    }

    fn insert(&mut self, source_id: &str, event_id: Uuid, received_ms: i64) {
        self.latest_ms = self.latest_ms.max(received_ms);
        let sources = self.hours.entry(hour(received_ms)).or_default();
        let added = match sources.get_mut(source_id) {
            Some(ids) => ids.insert(event_id),
            None => sources
                .insert(source_id.into(), HashSet::from([event_id]))
                .is_none(),
        };
        self.len += usize::from(added);
    }
}

/// Returns the earliest arrival time, in milliseconds, that counts when `latest_ms` is the latest one stored.
#[must_use]
pub fn first_counted_ms(latest_ms: i64, window_ms: i64) -> i64 {
    hour(latest_ms.saturating_sub(window_ms)) * HOUR_MS
}

fn hour(ms: i64) -> i64 {
    ms.div_euclid(HOUR_MS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 24 * HOUR_MS;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn a_stored_id_is_seen_for_its_own_source_only() {
        let mut window = DedupWindow::new(DAY, 100);
        window.note("web", id(1), 0);
        assert!(window.contains("web", id(1)));
        assert!(!window.contains("ios", id(1)));
        window.keep();
        assert!(window.contains("web", id(1)));
        assert!(!window.contains("ios", id(1)));
    }

    #[test]
    fn what_is_taken_back_was_never_seen() {
        let mut window = DedupWindow::new(DAY, 100);
        window.note("web", id(1), 5 * DAY);
        window.take_back();
        assert!(!window.contains("web", id(1)));
        window.note("web", id(2), 0);
        window.keep();
        assert!(window.contains("web", id(2)), "its arrival moved nothing");
    }

    #[test]
    fn ids_expire_by_the_latest_arrival() {
        let mut window = DedupWindow::new(DAY, 100);
        window.note("web", id(1), 0);
        window.keep();
        window.note("web", id(2), DAY + HOUR_MS);
        assert!(!window.contains("web", id(1)), "within the batch already");
        window.keep();
        assert_eq!(window.len(), 1);
    }

    #[test]
    fn at_the_bound_the_oldest_hour_goes_first() {
        let mut window = DedupWindow::new(DAY, 3);
        for n in 0..6 {
            window.note("web", id(n), i64::try_from(n).unwrap() * HOUR_MS);
            window.keep();
        }
        assert_eq!(window.len(), 3);
        assert!(!window.contains("web", id(2)));
        assert!(window.contains("web", id(3)));
        assert!(window.covered_ms() <= 3 * HOUR_MS);
    }

    #[test]
    fn an_hour_that_exceeds_the_bound_alone_is_not_kept() {
        let mut window = DedupWindow::new(DAY, 3);
        for n in 0..100 {
            window.note("web", id(n), 1);
            window.keep();
            assert!(window.len() <= 3, "{} ids", window.len());
        }
        assert_eq!(window.covered_ms(), 0);
        window.note("web", id(200), HOUR_MS);
        window.keep();
        assert!(
            window.contains("web", id(200)),
            "the next hour counts again"
        );
    }

    proptest! {
        #[test]
        fn a_rebuilt_state_decides_like_the_one_that_saw_everything(
            events in prop::collection::vec((0u128..40, 0i64..60), 1..200),
            batch in 1usize..20,
            restart in 0usize..200,
        ) {
            let restart = restart.min(events.len());
            let mut live = DedupWindow::new(DAY, 1_000_000);
            let mut stored = Vec::new();
            let feed = |window: &mut DedupWindow, stored: &mut Vec<(u128, i64)>, events: &[(u128, i64)]| {
                let mut verdicts = Vec::new();
                for chunk in events.chunks(batch) {
                    for (n, hours) in chunk {
                        let duplicate = window.contains("web", id(*n));
                        if !duplicate {
                            window.note("web", id(*n), hours * HOUR_MS);
                            stored.push((*n, *hours));
                        }
                        verdicts.push(duplicate);
                    }
                    window.keep();
                }
                verdicts
            };
            feed(&mut live, &mut stored, &events[..restart]);
            let mut rebuilt = DedupWindow::new(DAY, 1_000_000);
            for (n, hours) in stored.iter().rev() {
                rebuilt.restore("web", id(*n), hours * HOUR_MS);
            }
            rebuilt.expire();
            let by_live = feed(&mut live, &mut stored, &events[restart..]);
            let by_rebuilt = feed(&mut rebuilt, &mut Vec::new(), &events[restart..]);
            prop_assert_eq!(by_live, by_rebuilt);
        }
    }
}
