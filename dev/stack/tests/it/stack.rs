//! The whole stack: roles that are killed, frozen and joined by others.

use std::time::Duration;

use weir_stack::wait::{self, Check};
use weir_stack::{Role, RoleSpec, Stack, StackOptions, http};

const WITHIN: Duration = Duration::from_secs(90);

fn send(stack: &Stack, id: u32) {
    let body = format!(r#"{{"event":"Test Sent","anonymousId":"a{id}","messageId":"m{id}"}}"#);
    let key = stack.write_key("web").unwrap();
    let headers = [("Content-Type", "application/json"), ("X-Write-Key", key)];
    let url = format!("{}/v1/track", stack.ingest_url().unwrap());
    let answer = http::post(&url, &headers, &body).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn wait_stored(stack: &Stack, expected: u32) {
    wait::until("the events to be stored", WITHIN, || {
        let stored = stack
            .clickhouse()
            .execute("SELECT count() FROM events WHERE name = 'test_sent'")
            .unwrap();
        Check::that(
            stored.trim() == expected.to_string(),
            format!("{} rows", stored.trim()),
        )
    })
    .unwrap();
}

#[test]
fn roles_are_killed_frozen_joined_and_replaced_and_every_event_arrives() {
    let stack = Stack::start(StackOptions::default()).unwrap();
    let ingest = stack.role("ingest").unwrap();
    let first = stack.role("processor").unwrap();
    send(&stack, 1);
    wait_stored(&stack, 1);

    // A second processor with a setting of its own joins, and takes over from a frozen and then a killed one.
    let spec = RoleSpec::new(Role::Processor)
        .named("processor-2")
        .env("WEIR_LOG_LEVEL", "debug");
    let second = stack.start_role(&spec).unwrap();
    assert_ne!(first.metrics_url(), second.metrics_url());
    assert!(stack.start_role(&spec).is_err(), "the name is taken");
    first.service().sigstop().unwrap();
    assert!(http::get(&format!("{}/health/live", second.metrics_url())).is_ok());
    first.service().sigcont().unwrap();
    first.service().kill9().unwrap();
    assert_eq!(
        first.service().ended_text().unwrap().as_deref(),
        Some("SIGKILL")
    );
    send(&stack, 2);
    wait_stored(&stack, 2);

    // The collector comes back on its address; a name whose process ended may be given to another.
    let url = stack.ingest_url().unwrap();
    ingest.service().kill9().unwrap();
    ingest.service().start().unwrap();
    assert_eq!(stack.ingest_url().unwrap(), url);
    stack.start_role(&RoleSpec::new(Role::Processor)).unwrap();
    second.service().stop().unwrap();
    send(&stack, 3);
    wait_stored(&stack, 3);

    let description = stack.describe().unwrap();
    assert!(
        description.pids.contains_key("processor"),
        "{description:?}"
    );
    assert!(
        ingest
            .metric("process_cpu_seconds_total")
            .unwrap()
            .is_some()
    );
    assert!(stack.weir(&["sql", "SELECT 1"]).unwrap().contains('1'));
    let error = stack.weir(&["sql", "SELECT nothing"]).unwrap_err();
    assert!(format!("{error:#}").contains("nothing"), "{error:#}");
    stack.stop().unwrap();
    assert!(stack.kafka().service().ended().unwrap().is_some());
}

#[test]
fn a_role_that_dies_at_its_start_shows_the_end_of_its_log() {
    let options = StackOptions {
        roles: vec![RoleSpec::new(Role::Ingest).env("WEIR_INGEST_SOURCES", "/nowhere")],
        ..StackOptions::default()
    };
    let error = Stack::start(options).unwrap_err();
    assert!(format!("{error:#}").contains("/nowhere"), "{error:#}");
}
