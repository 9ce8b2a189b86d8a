//! The verdicts of one range: what the tables hold stands, the rest is judged.

use super::{Decided, Judgement};
use weir_clickhouse::OffsetRange;

/// Whether Kafka delivers an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The record is at hand.
    Here,
    /// Kafka deleted it before it was read.
    Lost,
    /// Kafka has nothing to deliver there, and never had for a consumer.
    Absent,
}

/// The judge of one range, called once for each of its offsets that Kafka delivers or `events` holds, in order.
pub trait Judge {
    /// Takes note of an event that is stored, so that later repeats of it are seen.
    fn note_stored(&mut self, offset: i64);

    /// Returns whether the record is accepted. Where the range is decided it is asked all the same, for the reason to
    /// store with the failure; `decided` then keeps it from taking note of the event.
    fn judge(&mut self, offset: i64, decided: bool) -> bool;
}

/// Settles the verdict of every offset of the range.
pub fn settle(
    range: OffsetRange,
    decided: &Decided,
    presence: impl Fn(i64) -> Presence,
    judge: &mut impl Judge,
) -> Judgement {
    let stored = &decided.stored;
    let is_decided = !(stored.events.is_empty() && stored.failed.is_empty());
    let mut judgement = Judgement::default();
    for offset in range.first..=range.last {
        if stored.events.binary_search(&offset).is_ok() {
            judge.note_stored(offset);
            continue;
        }
        if stored.failed.binary_search(&offset).is_ok() {
            continue;
        }
        match presence(offset) {
            Presence::Lost => judgement.lost += 1,
            Presence::Absent => judgement.absent += 1,
            Presence::Here => {
                let refused = is_decided || decided.unreadable.contains_key(&offset);
                if judge.judge(offset, refused) && !refused {
                    judgement.accepted.push(offset);
                } else {
                    judgement.failed.push(offset);
                }
            }
        }
    }
    judgement
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exactly_once::Stored;

    /// Accepts even offsets.
    #[derive(Default)]
    struct Even {
        noted: Vec<i64>,
    }

    impl Judge for Even {
        fn note_stored(&mut self, offset: i64) {
            self.noted.push(offset);
        }

        fn judge(&mut self, offset: i64, _decided: bool) -> bool {
            offset % 2 == 0
        }
    }

    const RANGE: OffsetRange = OffsetRange { first: 0, last: 5 };

    fn settle_here(decided: &Decided) -> (Judgement, Vec<i64>) {
        let mut judge = Even::default();
        let judgement = settle(RANGE, decided, |_| Presence::Here, &mut judge);
        (judgement, judge.noted)
    }

    #[test]
    fn an_open_range_is_judged() {
        let (judgement, _) = settle_here(&Decided::default());
        assert_eq!(judgement.accepted, [0, 2, 4]);
        assert_eq!(judgement.failed, [1, 3, 5]);
    }

    #[test]
    fn stored_events_are_the_whole_accepted_set() {
        let decided = Decided {
            stored: Stored {
                events: vec![1, 2],
                failed: vec![],
            },
            ..Decided::default()
        };
        let (judgement, noted) = settle_here(&decided);
        assert_eq!(judgement.accepted, [] as [i64; 0]);
        assert_eq!(judgement.failed, [0, 3, 4, 5]);
        assert_eq!(noted, [1, 2]);
    }

    #[test]
    fn stored_failures_are_not_inserted_again() {
        let decided = Decided {
            stored: Stored {
                events: vec![],
                failed: vec![0, 1, 2, 3, 4, 5],
            },
            ..Decided::default()
        };
        assert_eq!(settle_here(&decided).0, Judgement::default());
    }

    #[test]
    fn an_unreadable_row_fails() {
        let decided = Decided {
            unreadable: [(2, "bad".to_owned())].into(),
            ..Decided::default()
        };
        let (judgement, _) = settle_here(&decided);
        assert_eq!(judgement.accepted, [0, 4]);
        assert_eq!(judgement.failed, [1, 2, 3, 5]);
    }

    #[test]
    fn every_offset_is_counted_once() {
        let mut judge = Even::default();
        let judgement = settle(
            RANGE,
            &Decided::default(),
            |offset| match offset {
                0 | 1 => Presence::Lost,
                5 => Presence::Absent,
                _ => Presence::Here,
            },
            &mut judge,
        );
        assert_eq!((judgement.lost, judgement.absent), (2, 1));
        assert_eq!(judgement.accepted.len() + judgement.failed.len(), 3);
    }
}
