//! Processors come and go while inserts are under way, under every protocol a group may speak.

use std::time::Duration;

use anyhow::Result;
use weir_stack::{Role, RoleSpec};

use weir_stack::faults::{self, Mood, Witness};
use weir_stack::load::Load;

use crate::load;
use crate::support::{self, PATIENCE};

fn partitions_move_under_load(settings: &[(&str, &str)]) -> Result<()> {
    let stack = support::start_with(vec![RoleSpec::new(Role::Ingest)])?;
    let witness = Witness::create(&stack)?;
    witness.set(&stack, Mood::Slow)?;
    let load = Load::start(&stack, "moving", "web", Duration::from_millis(100))?;
    let member = |name: &str| {
        let mut spec = RoleSpec::new(Role::Processor)
            .named(name)
            .env("WEIR_PROCESSOR_INSERT_START_LIMIT", "2s")
            .env("WEIR_PROCESSOR_BATCH_MAX_ROWS", "40")
            .env("WEIR_PROCESSOR_BATCH_MAX_AGE", "200ms");
        for (name, value) in settings {
            spec = spec.env(name, value);
        }
        spec
    };
    let first = stack.start_role(&member("first"))?;
    faults::await_insert(&stack, &first, PATIENCE)?;
    let second = stack.start_role(&member("second"))?;
    for _ in 0..2 {
        load.await_more(100, PATIENCE)?;
        faults::await_insert(&stack, &second, PATIENCE)?;
        first.service().stop()?;
        load.await_more(100, PATIENCE)?;
        first.service().start()?;
    }
    faults::await_insert(&stack, &first, PATIENCE)?;
    second.service().kill9()?;
    let sent = load.finish()?;
    load::check(&stack, &sent)?;
    witness.check(&stack)
}

#[test]
fn partitions_move_by_range_while_inserts_are_under_way() -> Result<()> {
    partitions_move_under_load(&[
        ("WEIR_KAFKA_CLIENT_PARTITION_ASSIGNMENT_STRATEGY", "range"),
        ("WEIR_KAFKA_CLIENT_SESSION_TIMEOUT_MS", "6000"),
    ])
}

#[test]
fn partitions_move_cooperatively_while_inserts_are_under_way() -> Result<()> {
    partitions_move_under_load(&[("WEIR_KAFKA_CLIENT_SESSION_TIMEOUT_MS", "6000")])
}

#[test]
fn partitions_move_by_the_newer_protocol_while_inserts_are_under_way() -> Result<()> {
    partitions_move_under_load(&[("WEIR_KAFKA_CLIENT_GROUP_PROTOCOL", "consumer")])
}
