//! The processor is killed: between all steps, inside inserts, and with other schemas after the crash.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use weir_stack::faults::{self, Mood, POINTS, Witness};
use weir_stack::load::Load;
use weir_stack::wait::{self, Check};
use weir_stack::{Role, RoleProcess, RoleSpec, Stack};

use crate::load;
use crate::support::{self, PATIENCE};

#[test]
fn a_processor_killed_between_any_two_steps_loses_and_doubles_nothing() -> Result<()> {
    let stack = support::start_with(vec![RoleSpec::new(Role::Ingest)])?;
    let sets = [
        support::schemas_with_total_up_to(stack.data(), 1_000)?,
        support::schemas_with_total_up_to(stack.data(), 40)?,
    ];
    let load = Load::start(&stack, "steps", "web", Duration::from_millis(20))?;
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
    load.await_more(100, PATIENCE)?;
    let sent = load.finish()?;
    load::check(&stack, &sent)?;
    support::outputs_are_complete(&stack)?;

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
    const KILLS: usize = 10;
    const THROWS: usize = 2;
    let stack = support::start_with(vec![RoleSpec::new(Role::Ingest)])?;
    let sets = [
        support::schemas_with_total_up_to(stack.data(), 1_000)?,
        support::schemas_with_total_up_to(stack.data(), 40)?,
    ];
    let spec = |kill: usize| {
        support::processor()
            .env(
                "WEIR_PROCESSOR_SCHEMAS",
                &sets[kill % 2].display().to_string(),
            )
            .env("WEIR_PROCESSOR_BATCH_MAX_ROWS", "40")
    };
    let load = Load::start(&stack, "inside", "web", Duration::from_millis(100))?;
    let witness = Witness::create(&stack)?;
    witness.set(&stack, Mood::Slow)?;
    for kill in 0..KILLS {
        let processor = stack.spawn_role(&spec(kill))?;
        await_insert_under_way(&stack, &processor)?;
        processor.service().kill9()?;
    }
    // What the server makes of an insert whose client is gone is its own matter: here it completes it. A view that
    // throws leaves the table with rows and the view without.
    let mut heals = 0;
    for throw in 0..THROWS {
        faults::await_no_insert(&stack, PATIENCE)?;
        witness.set(&stack, Mood::Willing)?;
        go_on_and_stop(&stack, &spec(throw))?;
        witness.set(&stack, Mood::Throwing)?;
        let refused = support::log_count(&stack, "processor", "while pushing to view")?;
        let processor = stack.spawn_role(&spec(KILLS + throw))?;
        wait::until("the view to throw", PATIENCE, || {
            match support::log_count(&stack, "processor", "while pushing to view") {
                Ok(seen) => Check::that(seen > refused, "it did not"),
                Err(error) => Check::NotYet(format!("{error:#}")),
            }
        })?;
        processor.service().kill9()?;
        heals += usize::from(witness.lacking(&stack)? > 0);
        faults::await_no_insert(&stack, PATIENCE)?;
        witness.set(&stack, Mood::Willing)?;
        go_on_and_stop(&stack, &spec(throw))?;
    }
    stack.start_role(&spec(0))?;
    let sent = load.finish()?;
    load::check(&stack, &sent)?;
    witness.check(&stack)?;

    let replays = support::log_count(&stack, "processor", "replaying a declared batch")?;
    let resends = support::log_count(&stack, "processor", "stored rows were sent again")?;
    println!("{KILLS} kills inside inserts: {replays} replays, {resends} resends, {heals} heals");
    ensure!(
        replays > 0 && resends > 0 && heals > 0,
        "{replays} replays, {resends} resends, {heals} heals"
    );
    Ok(())
}

/// Lets a processor settle some batches and end in order, so that none is left open.
fn go_on_and_stop(stack: &Stack, spec: &RoleSpec) -> Result<()> {
    let settled = support::number(stack, "SELECT count() FROM batches FINAL")?;
    let processor = stack.start_role(spec)?;
    support::await_batches(stack, settled + 4)?;
    processor.service().stop()
}

pub(crate) fn await_insert_under_way(stack: &Stack, processor: &RoleProcess) -> Result<()> {
    faults::await_insert(stack, processor, PATIENCE)
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
                answer.status == 503 && answer.body.contains("strict_mv"),
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
