//! A topic is deleted with a batch under way, and created again: its offsets are other offsets.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use weir_stack::wait::{self, Check};
use weir_stack::{Role, RoleSpec, Stack};

use crate::support::{self, PATIENCE};

#[test]
fn a_topic_that_is_created_again_begins_a_new_stream_and_the_old_one_is_closed() -> Result<()> {
    let stack = support::start_with(vec![RoleSpec::new(Role::Ingest)])?;
    support::send(&stack, "web", &calls("first"))?;
    let halting = support::processor().env("WEIR_TEST_HALT", "InsertFailed:before:1");
    let processor = stack.spawn_role(&halting)?;
    support::await_halt(processor.service().pid().context("it does not run")?)?;
    processor.service().kill9()?;

    delete(&stack, "events.web")?;
    let applied = stack.weir(&["topics", "apply"])?;
    println!("{applied}");
    ensure!(
        applied.contains("created") && applied.contains("closed"),
        "{applied}"
    );
    // The collector finds the topic again by itself.
    wait::until(
        "the collector to take events",
        PATIENCE,
        || match support::post(&stack, "web", &calls("second")) {
            Ok(answer) => Check::that(answer.status == 200, answer.body),
            Err(error) => Check::NotYet(format!("{error:#}")),
        },
    )?;
    stack.start_role(&support::processor())?;
    const SECOND: &str =
        "SELECT countIf(stream = 2) FROM events WHERE client_event_id LIKE 'second-%'";
    wait::until(
        "the new stream's events to be stored",
        PATIENCE,
        || match support::number(&stack, SECOND) {
            Ok(stored) => Check::that(stored == 10, format!("{stored} of 10")),
            Err(error) => Check::NotYet(format!("{error:#}")),
        },
    )?;
    stack.role("processor")?.service().stop()?;
    stack.weir(&["verify", "--repair"])?;
    let output = support::verify(&stack)?;
    ensure!(
        output.status.success(),
        "weir verify is red:\n{}",
        String::from_utf8_lossy(&output.stdout)
    );
    support::nothing_is_twice(&stack)
}

/// Ten events and one that fails, all of one visitor.
fn calls(name: &str) -> Vec<serde_json::Value> {
    let mut calls: Vec<_> = (0..10)
        .map(|n| support::track(&format!("{name}-{n}"), "v-1"))
        .collect();
    calls.push(serde_json::json!({ "type": "track", "messageId": format!("{name}-bad"), "anonymousId": "v-1" }));
    calls
}

fn delete(stack: &Stack, topic: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", stack.kafka().bootstrap())
        .create()?;
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for deleted in runtime.block_on(admin.delete_topics(&[topic], &options))? {
        deleted.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
    }
    Ok(())
}
