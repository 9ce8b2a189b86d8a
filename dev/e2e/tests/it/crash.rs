//! The processor is killed: between all steps, inside inserts, and with other schemas after the crash.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use weir_stack::wait::{self, Check};
use weir_stack::{Role, RoleProcess, RoleSpec, Stack};

use crate::load::{self, Load};
use crate::support::{self, PATIENCE};

/// Points at which a batch's intent is open, in the order of the steps.
const POINTS: [&str; 8] = [
    "CommitIntent:after",
    "InsertEvents:before",
    "InsertEvents:after",
    "InsertFailed:before",
    "InsertFailed:after",
    "Publish:after",
    "InsertLedger:before",
    "InsertLedger:after",
];

#[test]
fn a_processor_killed_between_any_two_steps_loses_and_doubles_nothing() -> Result<()> {
    let stack = support::start_with(vec![RoleSpec::new(Role::Ingest)])?;
    let sets = [
        support::schemas_with_total_up_to(stack.data(), 1_000)?,
        support::schemas_with_total_up_to(stack.data(), 40)?,
    ];
    let load = Load::start(&stack, "steps", Duration::from_millis(20))?;
    for (kill, point) in POINTS.iter().chain(&POINTS).enumerate() {
        // Every crash is followed by other schemas.
        let schemas = sets[kill % 2].display().to_string();
        let spec = support::processor()
            .env("WEIR_PROCESSOR_SCHEMAS", &schemas)
            .env("WEIR_TEST_HALT", &format!("{point}:{}", 1 + kill % 3));
        let processor = stack.spawn_role(&spec)?;
        let pid = processor.service().pid().context("it does not run")?;
        support::await_halt(pid).with_context(|| format!("at {point}"))?;
        processor.service().kill9()?;
    }
    stack.start_role(&support::processor())?;
    load.await_more(100)?;
    let sent = load.finish()?;
    load::check(&stack, &sent)?;

    let replays = support::log_count(&stack, "processor", "replaying a declared batch")?;
    let resends = support::log_count(&stack, "processor", "stored rows were sent again")?;
    let superseded = support::number(
        &stack,
        "SELECT count() FROM failed_events WHERE reason = 'superseded'",
    )?;
    println!(
        "{} kills, {replays} replays, {resends} resends, {superseded} superseded",
        2 * POINTS.len()
    );
    ensure!(
        replays > 0 && resends > 0,
        "{replays} replays, {resends} resends"
    );
    Ok(())
}

#[test]
fn a_processor_killed_inside_inserts_leaves_views_that_are_healed() -> Result<()> {
    const KILLS: usize = 12;
    let stack = support::start_with(vec![RoleSpec::new(Role::Ingest)])?;
    // A view between the table and the rollups' views in time: slow, so that most of an insert is spent in it.
    support::query(
        &stack,
        "CREATE TABLE slow (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100000",
    )?;
    support::query(
        &stack,
        "CREATE MATERIALIZED VIEW a_slow_mv TO slow AS SELECT offset AS n FROM events WHERE sleepEachRow(0.02) = 0",
    )?;
    let sets = [
        support::schemas_with_total_up_to(stack.data(), 1_000)?,
        support::schemas_with_total_up_to(stack.data(), 40)?,
    ];
    let load = Load::start(&stack, "inside", Duration::from_millis(100))?;
    let mut heals = 0;
    for kill in 0..KILLS {
        let schemas = sets[kill % 2].display().to_string();
        let spec = support::processor()
            .env("WEIR_PROCESSOR_SCHEMAS", &schemas)
            .env("WEIR_PROCESSOR_BATCH_MAX_ROWS", "40");
        let processor = stack.spawn_role(&spec)?;
        await_insert_under_way(&stack, &processor)?;
        processor.service().kill9()?;
        // What the server makes of an insert whose client is gone is its own matter; some leave views behind.
        await_no_insert(&stack)?;
        heals += usize::from(views_are_behind(&stack)?);
    }
    support::query(&stack, "DROP TABLE a_slow_mv")?;
    stack.start_role(&support::processor())?;
    let sent = load.finish()?;
    load::check(&stack, &sent)?;
    let replays = support::log_count(&stack, "processor", "replaying a declared batch")?;
    println!(
        "{KILLS} kills inside inserts, {replays} replays, {heals} of them with views behind their table"
    );
    ensure!(replays > 0, "no replay was seen");
    Ok(())
}

fn await_insert_under_way(stack: &Stack, processor: &RoleProcess) -> Result<()> {
    const RUNNING: &str = "SELECT count() FROM system.processes WHERE startsWith(query_id, 'weir:') AND query_id LIKE '%:events:%' AND elapsed > 0.05";
    wait::until("an insert to be under way", PATIENCE, || {
        if let Ok(Some(ended)) = processor.service().ended_text() {
            return Check::GiveUp(anyhow::anyhow!(ended));
        }
        match support::number(stack, RUNNING) {
            Ok(running) => Check::that(running > 0, "none runs"),
            Err(error) => Check::NotYet(format!("{error:#}")),
        }
    })
}

fn await_no_insert(stack: &Stack) -> Result<()> {
    const RUNNING: &str =
        "SELECT count() FROM system.processes WHERE startsWith(query_id, 'weir:')";
    wait::until(
        "the server to end the insert",
        PATIENCE,
        || match support::number(stack, RUNNING) {
            Ok(running) => Check::that(running == 0, format!("{running} run")),
            Err(error) => Check::NotYet(format!("{error:#}")),
        },
    )
}

/// Whether a view lacks rows of a batch that `events` holds.
fn views_are_behind(stack: &Stack) -> Result<bool> {
    let events = support::number(stack, "SELECT count() FROM events")?;
    let seen = support::number(stack, "SELECT count() FROM slow")?;
    Ok(seen < events)
}

#[test]
fn a_view_that_throws_stops_its_partition_and_is_healed_once_it_is_mended() -> Result<()> {
    let stack = support::start()?;
    support::query(
        &stack,
        "CREATE TABLE strict (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100000",
    )?;
    support::query(
        &stack,
        "CREATE MATERIALIZED VIEW strict_mv TO strict AS SELECT offset AS n FROM events WHERE throwIf(client_event_id = 'thrown', 'no such event') = 0",
    )?;
    let page = |id: &str| {
        serde_json::json!({
            "type": "page", "messageId": id, "anonymousId": "v-1",
            "properties": { "url": "https://example.com/" },
        })
    };
    support::send(&stack, "web", &[page("thrown")])?;
    // Another partition's events are not held up.
    support::send(&stack, "server", &[page("elsewhere")])?;
    support::await_records(&stack, 1)?;
    let processor = stack.role("processor")?;
    let url = format!("{}/health/ready", processor.metrics_url());
    wait::until(
        "readiness to turn red",
        PATIENCE,
        || match weir_stack::http::get(&url) {
            Ok(answer) => Check::that(
                answer.status == 503 && answer.body.contains("no such event"),
                answer.body,
            ),
            Err(error) => Check::NotYet(format!("{error:#}")),
        },
    )?;
    let stored = support::query(&stack, "SELECT client_event_id FROM events ORDER BY ALL")?;
    ensure!(stored.contains("elsewhere"), "stored: {stored:?}");

    processor.service().kill9()?;
    support::query(&stack, "DROP TABLE strict_mv")?;
    support::query(
        &stack,
        "CREATE MATERIALIZED VIEW strict_mv TO strict AS SELECT offset AS n FROM events",
    )?;
    processor.service().restart()?;
    support::settle_and_verify(&stack)?;
    assert_eq!(support::number(&stack, "SELECT count() FROM events")?, 2);
    assert_eq!(
        support::number(&stack, "SELECT sum(views) FROM traffic_15m")?,
        2
    );
    assert_eq!(support::number(&stack, "SELECT count() FROM strict")?, 2);
    assert_eq!(
        support::number(&stack, "SELECT count() FROM failed_events")?,
        0
    );
    Ok(())
}
