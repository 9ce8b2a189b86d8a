//! `weir verify` turns red for every way in which the numbers could be wrong.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use weir_stack::Stack;

use crate::support;

#[test]
fn verify_turns_red_for_removed_doubled_and_changed_rows() -> Result<()> {
    let stack = support::start()?;
    for batch in 0..3 {
        let calls: Vec<Value> = (0..10)
            .map(|n| {
                json!({
                    "type": "page", "messageId": format!("page-{batch}-{n}"), "anonymousId": format!("v-{n}"),
                    "properties": { "url": format!("https://example.com/{n}") },
                })
            })
            .collect();
        support::send(&stack, "web", &calls)?;
        support::await_records(&stack, 10 * (batch + 1))?;
    }
    support::settle_and_verify(&stack)?;
    // What is broken now is not to be mended by anybody.
    stack.role("processor")?.service().stop()?;

    let copy = "CREATE TABLE kept AS events ENGINE = MergeTree ORDER BY offset";
    support::query(&stack, copy)?;
    support::query(&stack, "INSERT INTO kept SELECT * FROM events")?;
    let restore = "INSERT INTO events SELECT * FROM kept";

    breaks(
        &stack,
        "DELETE FROM events WHERE page_path = '/3' AND client_event_id = 'page-1-3'",
        "stored rows",
    )?;
    support::query(&stack, "TRUNCATE TABLE events")?;
    without_views(&stack, restore)?;
    green(&stack)?;

    without_views(&stack, "INSERT INTO events SELECT * FROM kept LIMIT 1")?;
    red(&stack, "stored rows")?;
    support::query(&stack, "TRUNCATE TABLE events")?;
    without_views(&stack, restore)?;
    green(&stack)?;

    breaks(
        &stack,
        "ALTER TABLE pages_15m UPDATE views = views + 1 WHERE page_path = '/5' SETTINGS mutations_sync = 1",
        "pages_15m",
    )?;
    support::query(
        &stack,
        "ALTER TABLE pages_15m UPDATE views = views - 1 WHERE page_path = '/5' SETTINGS mutations_sync = 1",
    )?;
    green(&stack)?;

    support::query(
        &stack,
        "CREATE TABLE ledger AS batches ENGINE = MergeTree ORDER BY first",
    )?;
    support::query(&stack, "INSERT INTO ledger SELECT * FROM batches")?;
    breaks(
        &stack,
        "DELETE FROM batches WHERE first = 0 AND topic = 'events.web'",
        "ledger",
    )?;
    support::query(&stack, "INSERT INTO batches SELECT * FROM ledger")?;
    green(&stack)
}

fn breaks(stack: &Stack, sql: &str, finding: &str) -> Result<()> {
    support::query(stack, sql)?;
    red(stack, finding)
}

/// Inserts into a table as if its views had their rows already.
fn without_views(stack: &Stack, sql: &str) -> Result<()> {
    for view in ["traffic_15m_mv", "pages_15m_mv"] {
        support::query(stack, &format!("DETACH TABLE {view}"))?;
    }
    support::query(stack, sql)?;
    for view in ["traffic_15m_mv", "pages_15m_mv"] {
        support::query(stack, &format!("ATTACH TABLE {view}"))?;
    }
    Ok(())
}

fn red(stack: &Stack, finding: &str) -> Result<()> {
    let output = support::verify(stack)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    ensure!(
        output.status.code() == Some(1),
        "exit code {:?}: {said}",
        output.status
    );
    ensure!(said.contains(finding), "nothing about {finding}: {said}");
    Ok(())
}

fn green(stack: &Stack) -> Result<()> {
    let output = support::verify(stack)?;
    ensure!(
        output.status.success(),
        "still red: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
