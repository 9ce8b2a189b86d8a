//! Processors come and go while inserts are under way, under every protocol a group may speak.

use std::time::Duration;

use anyhow::Result;
use weir_stack::{Role, RoleSpec};

use crate::load::{self, Load};
use crate::{crash, support};

fn partitions_move_under_load(settings: &[(&str, &str)]) -> Result<()> {
    let stack = support::start_with(vec![RoleSpec::new(Role::Ingest)])?;
    crash::slow_view(&stack)?;
    let load = Load::start(&stack, "moving", Duration::from_millis(100))?;
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
    crash::await_insert_under_way(&stack, &first)?;
    let second = stack.start_role(&member("second"))?;
    for _ in 0..2 {
        load.await_more(100)?;
        crash::await_insert_under_way(&stack, &second)?;
        first.service().stop()?;
        load.await_more(100)?;
        first.service().start()?;
    }
    crash::await_insert_under_way(&stack, &first)?;
    second.service().kill9()?;
    crash::drop_view(&stack)?;
    let sent = load.finish()?;
    load::check(&stack, &sent)
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
