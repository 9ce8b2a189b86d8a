//! Kafka and ClickHouse as the model needs them: committed offsets with metadata, tables with deduplication tokens and
//! windows, two views of which each can fail, inserts that the server completes after their client died.

use std::collections::{BTreeMap, VecDeque};

use weir_clickhouse::{OffsetRange, SourcePartition};
use weir_processor::exactly_once::{
    Command, Decided, Found, Intent, Judge, Judgement, LedgerEntry, Machine, Mark, Outcome,
    Presence, Rules, Stored, settle,
};

pub(crate) const STREAM: u32 = 1;
pub(crate) const FIRST_BYTE_MS: i64 = 10_000;

/// A defect that the model must notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    None,
    /// Inserts carry no deduplication token.
    NoToken,
    /// The position moves on before the insert.
    CommitBeforeInsert,
    /// A replay does not look at what is stored.
    NoReadBack,
    /// A process that lost the partition goes on, and its commits are taken.
    NoEpoch,
    /// A replay decides at once, while its predecessor's insert may still start.
    NoSettling,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    Events,
    ViewA,
    ViewB,
    Failed,
}

const TARGETS: [Table; 3] = [Table::Events, Table::ViewA, Table::ViewB];

/// An insert as its bytes left the client.
#[derive(Clone, Debug)]
pub(crate) struct Insert {
    table: Table,
    token: String,
    offsets: Vec<i64>,
    sent_at_ms: i64,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now_ms: i64,
    pub(crate) mutant: Mutant,
    pub(crate) log_start: i64,
    pub(crate) log_end: i64,
    pub(crate) absent: Vec<i64>,
    pub(crate) committed: Option<(i64, String)>,
    pub(crate) rows: BTreeMap<Table, Vec<i64>>,
    tokens: BTreeMap<Table, VecDeque<String>>,
    pub(crate) window: usize,
    pub(crate) ledger: Vec<LedgerEntry>,
    pub(crate) other_ledger_rows: u64,
    pub(crate) repairs: Vec<OffsetRange>,
    /// The view that fails at the next insert, and whether one before it was filled.
    pub(crate) failing_view: Option<Table>,
    /// How often that view goes on failing, so long each time that the windows roll.
    pub(crate) stubborn: u32,
    pub(crate) late: Vec<Insert>,
    /// Offsets whose row the engine cannot read.
    pub(crate) unreadable: Vec<i64>,
    /// The generation that owns the partition: commits of others are refused.
    pub(crate) owner: u32,
}

impl World {
    pub(crate) fn new(mutant: Mutant) -> Self {
        Self {
            now_ms: 1_000_000,
            mutant,
            log_start: 0,
            log_end: 6,
            absent: vec![],
            committed: None,
            rows: BTreeMap::new(),
            tokens: BTreeMap::new(),
            window: 1_000,
            ledger: vec![],
            other_ledger_rows: 0,
            repairs: vec![],
            failing_view: None,
            stubborn: 0,
            late: vec![],
            unreadable: vec![],
            owner: 0,
        }
    }

    fn put(&mut self, table: Table, token: &str, offsets: &[i64]) {
        let tokens = self.tokens.entry(table).or_default();
        if self.mutant != Mutant::NoToken {
            if tokens.iter().any(|known| known == token) {
                return;
            }
            tokens.push_back(token.to_owned());
            while tokens.len() > self.window {
                tokens.pop_front();
            }
        }
        self.rows.entry(table).or_default().extend(offsets);
    }

    /// Applies an insert; false when a view failed.
    pub(crate) fn apply(&mut self, insert: &Insert) -> bool {
        if insert.offsets.is_empty() {
            return true;
        }
        if insert.table == Table::Failed {
            self.put(Table::Failed, &insert.token, &insert.offsets);
            return true;
        }
        let failing = self.failing_view.take();
        for table in TARGETS {
            if failing == Some(table) {
                return false;
            }
            self.put(table, &insert.token, &insert.offsets);
        }
        true
    }

    pub(crate) fn forget_tokens(&mut self) {
        self.tokens.clear();
        self.other_ledger_rows += 1_000;
    }

    fn stored(&self, range: OffsetRange) -> Stored {
        let of = |table| {
            let mut offsets: Vec<i64> = self
                .rows
                .get(&table)
                .into_iter()
                .flatten()
                .copied()
                .filter(|offset| (range.first..=range.last).contains(offset))
                .collect();
            offsets.sort_unstable();
            offsets
        };
        Stored {
            events: of(Table::Events),
            failed: of(Table::Failed),
        }
    }

    fn highest_above(&self, next: i64) -> Option<i64> {
        [Table::Events, Table::Failed]
            .iter()
            .filter_map(|table| self.rows.get(table))
            .flatten()
            .copied()
            .filter(|offset| *offset >= next)
            .max()
    }
}

/// The code that judges: two versions that disagree about most offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    A,
    B,
    /// Refuses everything.
    Strict,
}

struct Verdicts(Code);

impl Judge for Verdicts {
    fn note_stored(&mut self, _offset: i64) {}

    fn judge(&mut self, offset: i64, _decided: bool) -> bool {
        match self.0 {
            Code::A => offset % 3 != 1,
            Code::B => offset % 3 != 0,
            Code::Strict => false,
        }
    }
}

/// One processor: the machine, its code, and what it holds in memory.
pub(crate) struct Process {
    pub(crate) machine: Machine,
    code: Code,
    generation: u32,
    judgement: Judgement,
    intent_sent_ms: i64,
    pub(crate) stopped: bool,
}

/// How far a step gets before the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// The step did nothing.
    Before,
    /// The step took effect.
    After,
    /// An insert's bytes are under way: the server applies them later.
    Late,
}

const BATCH: i64 = 3;

impl Process {
    pub(crate) fn new(world: &mut World, code: Code) -> Self {
        world.owner += 1;
        Self {
            machine: Machine::new(Rules {
                horizon_ms: 3_600_000,
                window_parts: 100,
                first_byte_ms: FIRST_BYTE_MS,
                margin_ms: 2_000,
                max_orphans: 4,
                shard: String::new(),
            }),
            code,
            generation: world.owner,
            judgement: Judgement::default(),
            intent_sent_ms: 0,
            stopped: false,
        }
    }

    /// Whether everything in the log is read and accounted for.
    pub(crate) fn is_done(&self, world: &World) -> bool {
        self.stopped
            || matches!(self.machine.command(), Command::Collect { next_offset } if next_offset >= world.log_end)
    }

    /// Takes one step; with a death, no further than that.
    pub(crate) fn step(&mut self, world: &mut World, death: Option<Death>) {
        world.now_ms += 1;
        let command = self.machine.command();
        if death == Some(Death::Before) {
            return;
        }
        let outcome = self.execute(world, &command, death);
        if death.is_none() {
            self.machine.advance(outcome);
        }
    }

    fn token(range: OffsetRange, table: &str) -> String {
        SourcePartition::new(STREAM, "events.web", 0).token(range, table)
    }

    fn execute(&mut self, world: &mut World, command: &Command, death: Option<Death>) -> Outcome {
        match command {
            Command::Locate => Outcome::Found(Box::new(Self::found(world))),
            Command::Stop(_) => {
                self.stopped = true;
                Outcome::Done
            }
            Command::LoadState { .. } | Command::Fetch(_) | Command::Publish(_) => Outcome::Done,
            Command::AwaitQuiet { until_ms } => {
                if world.mutant != Mutant::NoSettling {
                    world.now_ms = world.now_ms.max(*until_ms);
                }
                let now_ms = world.now_ms;
                // The server sees an insert a second after its first byte left; what it runs is awaited.
                let (seen, unseen): (Vec<_>, Vec<_>) = std::mem::take(&mut world.late)
                    .into_iter()
                    .partition(|insert| insert.sent_at_ms + 1_000 <= now_ms);
                world.late = unseen;
                for insert in seen {
                    world.apply(&insert);
                }
                Outcome::Done
            }
            Command::ReadStored(_) if world.mutant == Mutant::NoReadBack => {
                Outcome::Stored(Stored::default())
            }
            Command::ReadStored(range) => Outcome::Stored(world.stored(*range)),
            Command::Collect { next_offset } => Outcome::Collected(OffsetRange {
                first: *next_offset,
                last: (next_offset + BATCH).min(world.log_end) - 1,
            }),
            Command::Judge { range, decided } => {
                self.judgement = self.judge(world, *range, decided);
                Outcome::Judged(self.judgement.clone())
            }
            Command::CommitIntent(intent) => self.commit_intent(world, intent),
            Command::InsertEvents(range) => {
                let offsets = self.judgement.accepted.clone();
                let row = offsets.iter().position(|o| world.unreadable.contains(o));
                if let Some(row) = row {
                    let message = "cannot parse".to_owned();
                    return Outcome::Unreadable { row, message };
                }
                self.insert(
                    world,
                    Table::Events,
                    Self::token(*range, "events"),
                    offsets,
                    death,
                )
            }
            Command::ResendEvents(range) => {
                let offsets = world.stored(*range).events;
                self.insert(
                    world,
                    Table::Events,
                    Self::token(*range, "events"),
                    offsets,
                    death,
                )
            }
            Command::InsertFailed { range, token_taken } => {
                let suffix = if *token_taken { ":more" } else { "" };
                let token = Self::token(*range, "failed_events") + suffix;
                let offsets = self.judgement.failed.clone();
                self.insert(world, Table::Failed, token, offsets, death)
            }
            Command::QueueRepair(range) => {
                world.repairs.push(*range);
                Outcome::Done
            }
            Command::InsertLedger(entry) => {
                world
                    .ledger
                    .retain(|row| row.range.first != entry.range.first);
                world.ledger.push(*entry);
                Outcome::Done
            }
            Command::CommitPosition { .. } => self.commit(world, command),
        }
    }

    fn found(world: &World) -> Found {
        let ledger_high = world.ledger.iter().map(|row| row.range.last).max();
        Found {
            stream: STREAM,
            committed: world.committed.as_ref().map(|(offset, _)| *offset),
            mark: world
                .committed
                .as_ref()
                .and_then(|(offset, text)| Mark::from_metadata(*offset, text).unwrap()),
            ledger_high,
            highest_above: world.highest_above(ledger_high.map_or(0, |high| high + 1)),
            ledger_rows_since: world.other_ledger_rows,
            log_start: world.log_start,
            log_end: world.log_end,
            now_ms: world.now_ms,
        }
    }

    fn judge(&self, world: &World, range: OffsetRange, decided: &Decided) -> Judgement {
        let presence = |offset| {
            if offset < world.log_start {
                Presence::Lost
            } else if world.absent.contains(&offset) {
                Presence::Absent
            } else {
                Presence::Here
            }
        };
        settle(range, decided, presence, &mut Verdicts(self.code))
    }

    fn commit_intent(&mut self, world: &mut World, intent: &Intent) -> Outcome {
        let at_ms = world.now_ms;
        self.intent_sent_ms = at_ms;
        let mut intent = intent.clone();
        if intent.declared_at_ms == 0 {
            intent.declared_at_ms = at_ms;
        }
        let command = if world.mutant == Mutant::CommitBeforeInsert {
            Command::CommitPosition {
                next_offset: intent.range.last + 1,
            }
        } else {
            Command::CommitIntent(intent)
        };
        match self.commit(world, &command) {
            Outcome::Done => Outcome::Committed { at_ms },
            refused => refused,
        }
    }

    fn commit(&self, world: &mut World, command: &Command) -> Outcome {
        if self.generation != world.owner && world.mutant != Mutant::NoEpoch {
            return Outcome::GaveUp;
        }
        if let Some((offset, mark)) = command.commit(STREAM) {
            world.committed = Some((offset, mark.to_metadata().unwrap()));
        }
        Outcome::Done
    }

    fn insert(
        &self,
        world: &mut World,
        table: Table,
        token: String,
        offsets: Vec<i64>,
        death: Option<Death>,
    ) -> Outcome {
        if world.now_ms - self.intent_sent_ms >= FIRST_BYTE_MS && world.mutant != Mutant::NoEpoch {
            return Outcome::TooLate;
        }
        let insert = Insert {
            table,
            token,
            offsets,
            sent_at_ms: world.now_ms,
        };
        if death == Some(Death::Late) {
            world.late.push(insert);
            return Outcome::Done;
        }
        let failing = world.failing_view;
        if world.apply(&insert) || death.is_some() {
            return Outcome::Done;
        }
        if world.stubborn > 0 {
            world.stubborn -= 1;
            // That takes hours: whatever was under way has arrived by then.
            world.now_ms += 3_600_000;
            for insert in std::mem::take(&mut world.late) {
                world.apply(&insert);
            }
            world.failing_view = failing;
            world.forget_tokens();
            return Outcome::GaveUp;
        }
        // The view that failed works at the next try of the same bytes.
        world.apply(&insert);
        Outcome::Done
    }
}
