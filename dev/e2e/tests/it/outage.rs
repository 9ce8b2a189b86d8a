//! Collector, broker and ClickHouse go away and come back, under load.

use std::time::Duration;

use anyhow::{Result, ensure};

use weir_stack::load::Load;
use weir_stack::{Role, RoleSpec};

use crate::load;
use crate::support::{self, PATIENCE};

#[test]
fn what_a_killed_collector_acknowledged_is_there() -> Result<()> {
    let stack = support::start()?;
    let load = Load::start(&stack, "ingest", "web", Duration::ZERO)?;
    let ingest = stack.role("ingest")?;
    for _ in 0..4 {
        load.await_more(200, PATIENCE)?;
        ingest.service().kill9()?;
        ingest.service().restart()?;
    }
    load.await_more(100, PATIENCE)?;
    let sent = load.finish()?;
    ensure!(sent.repeated > 0, "no request met the kills");
    load::check(&stack, &sent)
}

#[test]
fn a_stopped_collector_finishes_what_it_took() -> Result<()> {
    let stack = support::start()?;
    let load = Load::start(&stack, "graceful", "web", Duration::ZERO)?;
    load.await_more(200, PATIENCE)?;
    let ingest = stack.role("ingest")?;
    ingest.service().stop()?;
    ingest.service().start()?;
    load.await_more(100, PATIENCE)?;
    let processor = stack.role("processor")?;
    processor.service().stop()?;
    processor.service().start()?;
    let sent = load.finish()?;
    load::check(&stack, &sent)?;
    let replays = support::log_count(&stack, "processor", "replaying a declared batch")?;
    ensure!(
        replays == 0,
        "a processor that was asked to stop left {replays} batches open"
    );
    Ok(())
}

#[test]
fn broker_and_clickhouse_may_stop_and_come_back() -> Result<()> {
    // A member without a fixed id: a broker that comes back may fence a static one for good, which ends the process, and
    // nobody starts it again here.
    let processor = RoleSpec::new(Role::Processor)
        .env("WEIR_KAFKA_CLIENT_SESSION_TIMEOUT_MS", "6000")
        .env("WEIR_PROCESSOR_INSERT_START_LIMIT", "2s");
    let stack = support::start_with(vec![RoleSpec::new(Role::Ingest), processor])?;
    let load = Load::start(&stack, "outage", "web", Duration::from_millis(20))?;
    load.await_more(200, PATIENCE)?;
    stack.kafka().kill()?;
    stack.kafka().restart()?;
    load.await_more(200, PATIENCE)?;
    stack.clickhouse().kill()?;
    load.await_more(400, PATIENCE)?;
    stack.clickhouse().restart()?;
    load.await_more(100, PATIENCE)?;
    stack.kafka().service().sigstop()?;
    stack.clickhouse().kill()?;
    stack.clickhouse().restart()?;
    stack.kafka().service().sigcont()?;
    load.await_more(200, PATIENCE)?;
    let sent = load.finish()?;
    load::check(&stack, &sent)
}
