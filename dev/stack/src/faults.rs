//! Faults for tests and for `cargo dev chaos`: processors that can be killed at an exact step or inside an insert, and a
//! view that is slow or throws.

use std::fs;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};

use crate::wait::{self, Check};
use crate::{Role, RoleProcess, RoleSpec, Stack, balance};

/// How long a frozen processor of [`member`] stays in its group.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// Steps at which a batch's intent is open, in their order, for [`halt_at`].
pub const POINTS: [&str; 8] = [
    "CommitIntent:after",
    "InsertEvents:before",
    "InsertEvents:after",
    "InsertFailed:before",
    "InsertFailed:after",
    "Publish:after",
    "InsertLedger:before",
    "InsertLedger:after",
];

/// Describes a processor that is to be killed: a static member of its group, so that a restarted one is itself again at
/// once, with short waits and small batches.
pub fn member(name: &str) -> RoleSpec {
    let session = SESSION_TIMEOUT.as_millis().to_string();
    RoleSpec::new(Role::Processor)
        .named(name)
        .env("WEIR_KAFKA_CLIENT_SESSION_TIMEOUT_MS", &session)
        .env("WEIR_KAFKA_CLIENT_HEARTBEAT_INTERVAL_MS", "1000")
        .env("WEIR_KAFKA_CLIENT_GROUP_INSTANCE_ID", name)
        .env("WEIR_PROCESSOR_INSERT_START_LIMIT", "2s")
        .env("WEIR_PROCESSOR_BATCH_MAX_AGE", "200ms")
}

/// Lets a processor stop itself the n-th time (from 1) that one of its workers comes to a point. Debug builds only.
#[must_use]
pub fn halt_at(spec: RoleSpec, point: &str, nth: u64) -> RoleSpec {
    spec.env("WEIR_TEST_HALT", &format!("{point}:{nth}"))
}

/// Waits until a process has stopped itself (state `T` of the kernel).
///
/// # Errors
/// It ended, or goes on for longer.
pub fn await_halt(pid: u32, within: Duration) -> Result<()> {
    wait::until("the process to halt", within, || {
        match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => match state(&stat) {
                Some('T') => Check::Done(()),
                Some('Z') | None => Check::GiveUp(anyhow!("it ended: {stat}")),
                Some(state) => Check::NotYet(format!("state {state}")),
            },
            Err(error) => Check::GiveUp(error.into()),
        }
    })
}

/// The third field; the second is the name in parentheses and may hold anything.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Waits until ClickHouse works on an insert of events.
///
/// # Errors
/// The processor ended, or makes none for longer.
pub fn await_insert(stack: &Stack, processor: &RoleProcess, within: Duration) -> Result<()> {
    const RUNNING: &str = "SELECT count() FROM system.processes \
        WHERE startsWith(query_id, 'weir:') AND query_id LIKE '%:events:%' AND elapsed > 0.05";
    wait::until("an insert to be under way", within, || {
        if let Ok(Some(ended)) = processor.service().ended_text() {
            return Check::GiveUp(anyhow!("the processor ended with {ended}"));
        }
        match balance::number(stack, RUNNING) {
            Ok(running) => Check::that(running > 0, "none runs"),
            Err(error) => Check::NotYet(format!("{error:#}")),
        }
    })
}

/// Waits until ClickHouse works on no insert of any processor.
///
/// # Errors
/// It does for longer.
pub fn await_no_insert(stack: &Stack, within: Duration) -> Result<()> {
    const RUNNING: &str =
        "SELECT count() FROM system.processes WHERE startsWith(query_id, 'weir:')";
    wait::until(
        "the server to end the inserts",
        within,
        || match balance::number(stack, RUNNING) {
            Ok(running) => Check::that(running == 0, format!("{running} run")),
            Err(error) => Check::NotYet(format!("{error:#}")),
        },
    )
}

/// A view of `events` that shares an insert's fate with the rollups' views, and in which every row is to be seen once.
#[derive(Clone, Copy, Debug)]
pub struct Witness;

/// How the view treats a block of rows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mood {
    /// It takes it.
    Willing,
    /// It takes it half a second later, so that most of an insert is spent in this view.
    Slow,
    /// It throws, and leaves the table with rows and itself without.
    Throwing,
}

impl Witness {
    /// Makes the view and its table. No processor may run meanwhile.
    ///
    /// # Errors
    /// ClickHouse is away.
    pub fn create(stack: &Stack) -> Result<Self> {
        stack.clickhouse().execute(
            "CREATE TABLE witness (t String, p UInt32, n UInt64) ENGINE = MergeTree ORDER BY (t, p, n) \
             SETTINGS non_replicated_deduplication_window = 100000",
        )?;
        Self.set(stack, Mood::Willing)?;
        Ok(Self)
    }

    /// Puts another view in place. No processor may run meanwhile: rows would miss both.
    ///
    /// # Errors
    /// ClickHouse is away.
    pub fn set(self, stack: &Stack, mood: Mood) -> Result<()> {
        let condition = match mood {
            Mood::Willing => "1",
            Mood::Slow => "sleep(0.5) = 0",
            Mood::Throwing => "throwIf(offset >= 0, 'thrown by the view') = 0",
        };
        stack
            .clickhouse()
            .execute("DROP TABLE IF EXISTS witness_mv")?;
        stack.clickhouse().execute(&format!(
            "CREATE MATERIALIZED VIEW witness_mv TO witness AS \
             SELECT topic AS t, partition AS p, offset AS n FROM events WHERE {condition}"
        ))?;
        Ok(())
    }

    /// Returns how many rows of `events` the view has not seen.
    ///
    /// # Errors
    /// ClickHouse is away.
    pub fn lacking(self, stack: &Stack) -> Result<u64> {
        balance::number(
            stack,
            "SELECT count() FROM events WHERE (topic, partition, offset) NOT IN (SELECT t, p, n FROM witness)",
        )
    }

    /// Checks that the view saw every row once.
    ///
    /// # Errors
    /// It did not.
    pub fn check(self, stack: &Stack) -> Result<()> {
        let lacking = self.lacking(stack)?;
        let doubled = balance::number(stack, "SELECT count() - uniqExact(t, p, n) FROM witness")?;
        ensure!(
            lacking == 0 && doubled == 0,
            "a view of events lacks {lacking} rows and has {doubled} twice"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_found_behind_any_name() {
        assert_eq!(state("7 (a) b) T 1 7"), Some('T'));
        assert_eq!(state("nothing"), None);
    }
}
