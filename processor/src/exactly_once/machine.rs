//! The steps of one partition, as a machine that is told how each went.

use std::collections::BTreeMap;

use super::{
    Command, Decided, Found, Intent, Judgement, LedgerEntry, Outcome, Plan, Rules, StopReason,
    Stored, plan,
};
use weir_clickhouse::OffsetRange;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing was known of the range before.
    Fresh,
    /// The range was declared before: look first, and look again after inserting.
    Replay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    LoadState,
    AwaitQuiet { until_ms: i64 },
    ReadStored,
    Fetch,
    Judge,
    QueueRepair { then_restart: bool },
    CommitIntent,
    InsertEvents,
    CheckUnreadable,
    CheckEvents,
    InsertFailed,
    CheckFailed,
    Publish,
    InsertLedger,
    CommitPosition,
}

#[derive(Debug)]
struct Batch {
    mode: Mode,
    step: Step,
    intent: Intent,
    /// Whether rows that `events` holds go out again.
    resend: bool,
    /// Whether the rollups are suspected already, whatever is found.
    suspect: bool,
    /// Whether the time in which a predecessor's insert may still start has passed.
    settled: bool,
    /// When a predecessor's insert can no longer start, counted from when its intent was seen: clocks of two machines
    /// are not compared.
    settled_ms: i64,
    declared: bool,
    /// Whether this process's insert into `events` succeeded.
    events_done: bool,
    decided: Decided,
    judgement: Judgement,
    pending_unreadable: Option<(i64, String)>,
}

#[derive(Debug)]
enum State {
    /// Waiting until nothing of a predecessor runs any more, before looking.
    Quieting {
        until_ms: i64,
    },
    Locating,
    Stopped(StopReason),
    Losing(OffsetRange),
    LosingCommit {
        next_offset: i64,
    },
    Ready {
        next_offset: i64,
        loaded: bool,
    },
    Batch(Box<Batch>),
}

const START: State = State::Quieting { until_ms: 0 };

/// One partition's way through the steps; see the module's documentation.
#[derive(Debug)]
pub struct Machine {
    rules: Rules,
    state: State,
    stream: u32,
    /// Whether an offset that carries no mark was waited out.
    unmarked_settled: bool,
}

impl Machine {
    /// Returns a machine that knows nothing of its partition yet.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            state: START,
            stream: 0,
            unmarked_settled: false,
        }
    }

    /// Returns the epoch found at the last [`Command::Locate`].
    #[must_use]
    pub fn stream(&self) -> u32 {
        self.stream
    }

    /// Returns whether stopping now leaves no more to replay than there was: no fresh batch is declared.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        match &self.state {
            State::Quieting { .. } | State::Locating | State::Stopped(_) | State::Ready { .. } => {
                true
            }
            State::Losing(_) | State::LosingCommit { .. } => false,
            State::Batch(batch) => !batch.declared || batch.mode == Mode::Replay,
        }
    }

    /// Returns the next step. Calling it again without [`Machine::advance`] gives the same one.
    #[must_use]
    pub fn command(&self) -> Command {
        match &self.state {
            State::Quieting { until_ms } => Command::AwaitQuiet {
                until_ms: *until_ms,
            },
            State::Locating => Command::Locate,
            State::Stopped(reason) => Command::Stop(reason.clone()),
            State::Losing(range) => Command::InsertLedger(LedgerEntry {
                range: *range,
                events: 0,
                failed: 0,
                lost: range.offsets(),
                absent: 0,
            }),
            State::LosingCommit { next_offset } => Command::CommitPosition {
                next_offset: *next_offset,
            },
            State::Ready {
                next_offset,
                loaded: false,
            } => Command::LoadState {
                below: *next_offset,
            },
            State::Ready {
                next_offset,
                loaded: true,
            } => Command::Collect {
                next_offset: *next_offset,
            },
            State::Batch(batch) => batch.command(),
        }
    }

    /// Takes in how the current step went. An outcome that does not belong to the step counts as [`Outcome::GaveUp`].
    pub fn advance(&mut self, outcome: Outcome) {
        let state = std::mem::replace(&mut self.state, START);
        self.state = match (state, outcome) {
            (State::Quieting { .. }, Outcome::Done) => State::Locating,
            (State::Locating, Outcome::Found(found)) => self.located(&found),
            (State::Losing(range), Outcome::Done) => State::LosingCommit {
                next_offset: range.last + 1,
            },
            (
                State::Ready {
                    next_offset,
                    loaded: false,
                },
                Outcome::Done,
            ) => State::Ready {
                next_offset,
                loaded: true,
            },
            (State::Ready { loaded: true, .. }, Outcome::Collected(range)) => {
                State::Batch(Box::new(Batch::new(self.fresh_intent(range), Mode::Fresh)))
            }
            (State::Batch(batch), outcome) => batch.advance(outcome),
            _ => START,
        };
    }

    fn located(&mut self, found: &Found) -> State {
        self.stream = found.stream;
        let settled_ms = found.now_ms + self.rules.first_byte_ms + self.rules.margin_ms;
        // Somebody else committed this offset, and may have cleared an intent whose insert is still under way.
        let unmarked = found.committed.is_some() && found.mark.is_none();
        if unmarked && !self.unmarked_settled {
            self.unmarked_settled = true;
            return State::Quieting {
                until_ms: settled_ms,
            };
        }
        self.unmarked_settled = false;
        match plan(found) {
            Plan::Continue { next_offset } => State::Ready {
                next_offset,
                loaded: false,
            },
            Plan::Stop(reason) => State::Stopped(reason),
            Plan::Lost { range } => State::Losing(range),
            Plan::Replay { intent } => {
                let fresh_enough = found.now_ms - intent.declared_at_ms < self.rules.horizon_ms
                    && found.ledger_rows_since < self.rules.window_parts / 4;
                let mut batch = Batch::new(intent, Mode::Replay);
                batch.resend = batch.intent.resend && fresh_enough;
                batch.settled_ms = settled_ms;
                State::Batch(Box::new(batch))
            }
            Plan::Orphans { mut range } => {
                range.last = range.last.min(range.first + self.rules.max_orphans - 1);
                let mut intent = self.fresh_intent(range);
                intent.resend = false;
                intent.declared_at_ms = found.now_ms;
                let mut batch = Batch::new(intent, Mode::Replay);
                batch.resend = false;
                batch.suspect = true;
                batch.settled_ms = settled_ms;
                State::Batch(Box::new(batch))
            }
        }
    }

    /// An intent whose times are filled in when it is committed.
    fn fresh_intent(&self, range: OffsetRange) -> Intent {
        Intent {
            stream: self.stream,
            range,
            declared_at_ms: 0,
            resend: true,
            shard: self.rules.shard.clone(),
        }
    }
}

impl Batch {
    fn new(intent: Intent, mode: Mode) -> Self {
        Self {
            mode,
            step: match mode {
                Mode::Fresh => Step::Judge,
                Mode::Replay => Step::LoadState,
            },
            settled_ms: 0,
            intent,
            resend: true,
            suspect: false,
            settled: mode == Mode::Fresh,
            declared: false,
            events_done: false,
            decided: Decided::default(),
            judgement: Judgement::default(),
            pending_unreadable: None,
        }
    }

    fn range(&self) -> OffsetRange {
        self.intent.range
    }

    /// The offsets that `events` holds, or will hold, of the range.
    fn events(&self) -> &[i64] {
        if self.decided.stored.events.is_empty() {
            &self.judgement.accepted
        } else {
            &self.decided.stored.events
        }
    }

    fn command(&self) -> Command {
        let range = self.range();
        match self.step {
            Step::LoadState => Command::LoadState { below: range.first },
            Step::AwaitQuiet { until_ms } => Command::AwaitQuiet { until_ms },
            Step::ReadStored | Step::CheckUnreadable | Step::CheckEvents | Step::CheckFailed => {
                Command::ReadStored(range)
            }
            Step::Fetch => Command::Fetch(range),
            Step::Judge => Command::Judge {
                range,
                decided: self.decided.clone(),
            },
            Step::QueueRepair { .. } => Command::QueueRepair(range),
            Step::CommitIntent => Command::CommitIntent(self.intent.clone()),
            Step::InsertEvents if self.decided.stored.events.is_empty() => {
                Command::InsertEvents(range)
            }
            Step::InsertEvents => Command::ResendEvents(range),
            Step::InsertFailed => Command::InsertFailed {
                range,
                token_taken: !self.decided.stored.failed.is_empty(),
            },
            Step::Publish => Command::Publish(range),
            Step::InsertLedger => Command::InsertLedger(LedgerEntry {
                range,
                events: self.events().len() as u64,
                failed: (self.decided.stored.failed.len() + self.judgement.failed.len()) as u64,
                lost: self.judgement.lost,
                absent: self.judgement.absent,
            }),
            Step::CommitPosition => Command::CommitPosition {
                next_offset: range.last + 1,
            },
        }
    }

    fn advance(mut self: Box<Self>, outcome: Outcome) -> State {
        let next = match (self.step, outcome) {
            (Step::LoadState, Outcome::Done) => Step::AwaitQuiet { until_ms: 0 },
            (Step::AwaitQuiet { .. }, Outcome::Done) => Step::ReadStored,
            (Step::ReadStored, Outcome::Stored(stored)) => self.found_stored(stored),
            (Step::Fetch, Outcome::Done) => Step::Judge,
            (Step::Judge, Outcome::Judged(judgement)) => {
                self.judgement = judgement;
                // Stored rows that are not sent again may be missing from a view.
                if self.suspect || !(self.resend || self.decided.stored.events.is_empty()) {
                    Step::QueueRepair {
                        then_restart: false,
                    }
                } else {
                    Step::CommitIntent
                }
            }
            (Step::QueueRepair { then_restart: true }, Outcome::Done) => {
                Step::AwaitQuiet { until_ms: 0 }
            }
            (
                Step::QueueRepair {
                    then_restart: false,
                },
                Outcome::Done,
            ) => Step::CommitIntent,
            (Step::CommitIntent, Outcome::Committed { at_ms }) => {
                if self.intent.declared_at_ms == 0 {
                    self.intent.declared_at_ms = at_ms;
                }
                self.declared = true;
                self.after_intent()
            }
            (Step::InsertEvents | Step::InsertFailed, Outcome::TooLate) => Step::CommitIntent,
            (Step::InsertEvents, Outcome::Unreadable { row, message }) => {
                let Some(offset) = self.judgement.accepted.get(row) else {
                    return START;
                };
                self.pending_unreadable = Some((*offset, message));
                Step::CheckUnreadable
            }
            (Step::CheckUnreadable, Outcome::Stored(stored)) => self.check_unreadable(stored),
            (Step::InsertEvents, Outcome::Done) => {
                self.events_done = true;
                match self.mode {
                    Mode::Fresh => self.after_events(),
                    Mode::Replay => Step::CheckEvents,
                }
            }
            (Step::CheckEvents, Outcome::Stored(stored)) if stored.events == self.events() => {
                self.after_events()
            }
            (Step::InsertFailed, Outcome::Done) => match self.mode {
                Mode::Fresh => Step::Publish,
                Mode::Replay => Step::CheckFailed,
            },
            (Step::CheckFailed, Outcome::Stored(stored)) if self.is_settled_by(&stored) => {
                Step::Publish
            }
            (Step::CheckEvents | Step::CheckFailed, Outcome::Stored(_)) => {
                // Somebody else's insert came first: the rule starts over from what it left.
                self.suspect = true;
                self.events_done = false;
                Step::QueueRepair { then_restart: true }
            }
            (Step::Publish, Outcome::Done) => Step::InsertLedger,
            (Step::InsertLedger, Outcome::Done) => Step::CommitPosition,
            (Step::CommitPosition, Outcome::Done) => {
                return match self.mode {
                    Mode::Fresh => State::Ready {
                        next_offset: self.range().last + 1,
                        loaded: true,
                    },
                    Mode::Replay => START,
                };
            }
            _ => return START,
        };
        self.step = next;
        State::Batch(self)
    }

    /// A replay saw what the tables hold.
    fn found_stored(&mut self, stored: Stored) -> Step {
        if stored.may_grow(self.range()) && !self.settled {
            self.settled = true;
            return Step::AwaitQuiet {
                until_ms: self.settled_ms,
            };
        }
        self.decided = Decided {
            stored,
            unreadable: BTreeMap::new(),
        };
        Step::Fetch
    }

    /// ClickHouse named a row of the insert that it could not read: the row is to blame only if nothing was stored.
    fn check_unreadable(&mut self, stored: Stored) -> Step {
        let Some((offset, message)) = self.pending_unreadable.take() else {
            return Step::Judge;
        };
        if stored.is_empty() {
            self.decided.unreadable.insert(offset, message);
            return Step::Judge;
        }
        self.mode = Mode::Replay;
        self.found_stored(stored)
    }

    /// Whether the tables hold what this replay meant them to hold.
    fn is_settled_by(&self, stored: &Stored) -> bool {
        let mut failed = [&self.decided.stored.failed[..], &self.judgement.failed].concat();
        failed.sort_unstable();
        stored.events == self.events() && stored.failed == failed
    }

    fn after_intent(&self) -> Step {
        if self.events_done {
            return self.after_events();
        }
        let stored = !self.decided.stored.events.is_empty();
        let has_events = if stored {
            self.resend
        } else {
            !self.judgement.accepted.is_empty()
        };
        if has_events {
            Step::InsertEvents
        } else {
            self.after_events()
        }
    }

    fn after_events(&self) -> Step {
        if self.judgement.failed.is_empty() {
            Step::Publish
        } else {
            Step::InsertFailed
        }
    }
}
