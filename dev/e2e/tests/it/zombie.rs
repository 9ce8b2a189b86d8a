//! A processor freezes past its session timeout, another takes over, and the frozen one wakes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use weir_stack::wait::{self, Check};
use weir_stack::{Role, RoleSpec};

use weir_stack::load::Load;

use crate::load;
use crate::support::{self, PATIENCE};

#[test]
fn a_processor_that_freezes_between_intent_and_insert_and_wakes_changes_nothing() -> Result<()> {
    let stack = support::start_with(vec![RoleSpec::new(Role::Ingest)])?;
    let load = Load::start(&stack, "zombie", "web", Duration::from_millis(50))?;
    let member = |name: &str| {
        support::processor()
            .named(name)
            .env("WEIR_KAFKA_CLIENT_GROUP_INSTANCE_ID", name)
    };
    let sleeper =
        stack.spawn_role(&member("sleeper").env("WEIR_TEST_HALT", "InsertEvents:before:3"))?;
    let pid = sleeper.service().pid().context("it does not run")?;
    support::await_halt(pid)?;

    // The group gives up the sleeper after its session timeout, and its partitions go to the successor.
    let successor = stack.spawn_role(&member("successor"))?;
    wait::until(
        "the successor to go on",
        PATIENCE,
        || match support::log_count(&stack, "successor", "going on source=1:events.web") {
            Ok(found) => Check::that(found >= 2, format!("{found} of 2 partitions")),
            Err(error) => Check::NotYet(format!("{error:#}")),
        },
    )?;
    load.await_more(200, PATIENCE)?;
    // As if thousands of other parts had gone through the window: the token alone guards nothing now.
    for table in ["events", "failed_events", "traffic_15m", "pages_15m"] {
        let shrink = "MODIFY SETTING non_replicated_deduplication_window";
        support::query(&stack, &format!("ALTER TABLE {table} {shrink} = 1"))?;
    }
    sleeper.service().sigcont()?;
    load.await_more(200, PATIENCE)?;
    let sent = load.finish()?;
    load::check(&stack, &sent)?;
    ensure!(
        successor.service().ended()?.is_none(),
        "the successor ended"
    );
    let gave_up = support::log_count(&stack, "sleeper", "the batch in hand is given up")?
        + support::log_count(&stack, "sleeper", "lost")?;
    ensure!(
        gave_up > 0,
        "the sleeper never noticed that it had lost its partitions"
    );
    Ok(())
}
