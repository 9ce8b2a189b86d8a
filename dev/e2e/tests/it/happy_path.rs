//! From a request to a row, once, and through one crash.

use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::support;

#[test]
fn a_hundred_events_by_curl_are_a_hundred_rows_after_a_kill() -> Result<()> {
    let stack = support::start()?;
    let calls: Vec<Value> = (0..100)
        .map(|n| support::track(&format!("hundred-{n}"), &format!("visitor-{}", n % 7)))
        .collect();
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--user"])
        .arg(format!("{}:", stack.write_key("web")?))
        .args([
            "--header",
            "content-type: application/json",
            "--data-binary",
        ])
        .arg(json!({ "batch": calls }).to_string())
        .arg(format!("{}/v1/batch", stack.ingest_url()?))
        .output()?;
    ensure!(
        output.status.success() && output.stdout == br#"{"success":true}"#,
        "curl said {output:?}"
    );
    let processor = stack.role("processor")?;
    processor.service().kill9()?;
    processor.service().restart()?;
    support::settle_and_verify(&stack)?;
    assert_eq!(support::number(&stack, "SELECT count() FROM events")?, 100);
    support::nothing_is_twice(&stack)
}

#[test]
fn each_record_ends_as_an_event_or_as_a_failure_with_its_reason() -> Result<()> {
    let stack = support::start()?;
    let order = |id: &str, total: Value| {
        json!({
            "type": "track", "event": "Order Completed", "messageId": id, "userId": "u-1",
            "properties": { "order_id": "o-1", "total": total, "currency": "EUR" },
        })
    };
    let page = json!({
        "type": "page", "messageId": "page-1", "anonymousId": "v-1",
        "context": {
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
            "page": { "url": "https://Shop.example/a/b?utm_source=news&x=1", "referrer": "https://search.example/" },
        },
    });
    support::send(
        &stack,
        "server",
        &[
            order("good", json!(12.5)),
            order("bad", json!("12.5")),
            order("good", json!(12.5)),
            page,
            json!({ "type": "track", "messageId": "nameless", "userId": "u-1" }),
        ],
    )?;
    support::settle_and_verify(&stack)?;

    let events = support::query(
        &stack,
        "SELECT client_event_id, name, name_sent, properties.total::Float64 FROM events WHERE type = 'track'",
    )?;
    assert_eq!(events, "good\torder_completed\tOrder Completed\t12.5");
    let page = support::query(
        &stack,
        "SELECT page_host, page_path, utm_source, referrer_host, browser, os, is_bot FROM events WHERE type = 'page'",
    )?;
    assert_eq!(
        page,
        "shop.example\t/a/b\tnews\tsearch.example\tFirefox\tLinux\tfalse"
    );
    let failed = support::query(
        &stack,
        "SELECT event_id, reason, errors[1].path FROM failed_events ORDER BY event_id",
    )?;
    assert_eq!(
        failed,
        "bad\tschema_invalid\t/properties/total\ngood\tduplicate\t/messageId\nnameless\tschema_invalid\t/name"
    );
    let listed = stack.weir(&["failed", "ls", "-o", "json"])?;
    assert!(listed.contains("/properties/total"), "{listed}");
    outputs_hold_the_same(&stack)
}

/// Accepted events and failures are on the output topics too, with their coordinates.
fn outputs_hold_the_same(stack: &weir_stack::Stack) -> Result<()> {
    for (topic, table) in [
        ("events.valid", "events"),
        ("events.failed", "failed_events"),
    ] {
        let sql = format!("SELECT topic, partition, offset FROM {table} ORDER BY ALL");
        let rows = support::query(stack, &sql)?;
        let mut produced: Vec<String> = support::records(stack, topic)?
            .iter()
            .map(support::coordinates)
            .collect();
        produced.sort();
        assert_eq!(produced.join("\n"), rows, "{topic}");
    }
    Ok(())
}

#[test]
fn a_repeat_is_recognised_across_restarts_and_an_event_without_id_is_not_one() -> Result<()> {
    let stack = support::start()?;
    let repeated = [support::track("again", "v-1")];
    let nameless = json!({ "type": "track", "event": "Ping", "anonymousId": "v-1" });
    support::send(&stack, "web", &repeated)?;
    support::send(&stack, "web", &[nameless.clone(), nameless])?;
    support::await_records(&stack, 3)?;
    for _ in 0..2 {
        stack.role("processor")?.service().restart()?;
        support::send(&stack, "web", &repeated)?;
    }
    support::settle_and_verify(&stack)?;
    let events = "SELECT count(), countIf(client_event_id = 'again') FROM events";
    assert_eq!(support::query(&stack, events)?, "3\t1");
    let failed = "SELECT count() FROM failed_events WHERE reason = 'duplicate'";
    assert_eq!(support::number(&stack, failed)?, 2);
    Ok(())
}
