//! Bad input, by HTTP and straight into Kafka: one verdict each, with a reason that helps, and neighbours unharmed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};
use weir_stack::Stack;

use crate::support;

/// A call with `properties` as this text.
fn call_with(id: &str, properties: &str) -> String {
    format!(
        r#"{{"type":"track","event":"Poison","messageId":"{id}","anonymousId":"v-1","properties":{properties}}}"#
    )
}

fn deep(depth: usize) -> String {
    format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth))
}

fn many_keys(count: usize) -> String {
    let keys: Vec<String> = (0..count).map(|n| format!(r#""k{n}":{n}"#)).collect();
    format!("{{{}}}", keys.join(","))
}

/// Poisonous events that are JSON by themselves, each with the reason it is to fail for; `None` is stored.
fn poisons() -> Vec<(&'static str, String, Option<&'static str>)> {
    vec![
        ("depth", deep(100), Some("size")),
        ("depth-10000", deep(10_000), Some("size")),
        ("surrogate", r#"{"s":"\ud800"}"#.to_owned(), Some("decode")),
        ("1e999", r#"{"n":1e999}"#.to_owned(), Some("decode")),
        ("keys", many_keys(100_000), Some("size")),
        ("same-key", r#"{"a":1,"a":2}"#.to_owned(), None),
        (
            "dots",
            r#"{"a.b":1,"a":{"b":2}}"#.to_owned(),
            Some("decode"),
        ),
        (
            "beyond-u64",
            r#"{"n":18446744073709551616}"#.to_owned(),
            Some("decode"),
        ),
        ("list", "[1,2]".to_owned(), Some("protocol")),
        ("text", r#""x""#.to_owned(), Some("protocol")),
    ]
}

#[test]
fn poison_by_http_has_a_status_and_a_verdict_and_harms_no_neighbour() -> Result<()> {
    let stack = support::start()?;
    let mut records = 0;
    for (id, properties, _) in poisons() {
        let before = support::track(&format!("before-{id}"), "v-1");
        let after = support::track(&format!("after-{id}"), "v-1");
        let body = format!(
            r#"{{"batch":[{before},{},{after}]}}"#,
            call_with(id, &properties)
        );
        let answer = support::post_text(&stack, "web", &body)?;
        println!("{id}: {} {}", answer.status, answer.body);
        ensure!(
            answer.status == 200,
            "{id}: {} {}",
            answer.status,
            answer.body
        );
        records += 3;
    }
    unsplittable_bodies_are_refused(&stack)?;
    // Bytes that are no UTF-8, and an event that breaks off, between two good ones.
    for (id, element) in [
        (
            "no-utf8",
            b"{\"type\":\"track\",\"messageId\":\"no-utf8\",\"event\":\"\xff\xfe\"}".to_vec(),
        ),
        (
            "broken",
            b"{\"type\":\"track\",\"messageId\":\"broken\",\"event\":}".to_vec(),
        ),
    ] {
        let before = support::track(&format!("before-{id}"), "v-1").to_string();
        let after = support::track(&format!("after-{id}"), "v-1").to_string();
        let body = [
            b"{\"batch\":[",
            before.as_bytes(),
            b",",
            &element,
            b",",
            after.as_bytes(),
            b"]}",
        ]
        .concat();
        let (code, text) = curl(&stack, &body)?;
        ensure!(code == 200, "{id}: {code} {text}");
        records += 3;
    }
    support::settle_and_verify(&stack)?;
    ensure!(support::records_in_kafka(&stack)? == records, "records");
    let unreadable = support::query(
        &stack,
        "SELECT reason, errors[1].path, errors[1].message FROM failed_events WHERE reason = 'decode' AND errors[1].path = '/batch/1'",
    )?;
    println!("{unreadable}");
    ensure!(unreadable.lines().count() == 2, "verdicts: {unreadable}");
    let neighbours = "SELECT count() FROM events WHERE client_event_id LIKE 'before-%' OR client_event_id LIKE 'after-%'";
    assert_eq!(support::number(&stack, neighbours)?, records / 3 * 2);
    for (id, _, reason) in poisons() {
        verdict(&stack, id, reason)?;
    }
    Ok(())
}

/// A body that cannot be split into events is refused whole, with an error that says where and what to do.
fn unsplittable_bodies_are_refused(stack: &Stack) -> Result<()> {
    for (what, body, status) in [
        ("truncated", br#"{"batch":[{"type":"tr"#.to_vec(), 400),
        ("no batch", b"[1]".to_vec(), 400),
        (
            "large",
            format!(
                r#"{{"batch":[{}]}}"#,
                call_with("large", &format!(r#"{{"s":"{}"}}"#, "x".repeat(5_000_000)))
            )
            .into_bytes(),
            413,
        ),
    ] {
        let (code, text) = curl(stack, &body)?;
        println!("{what}: {code} {text}");
        ensure!(code == status, "{what}: {code} {text}");
        let error: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        ensure!(
            error["code"].is_string() && error["message"].is_string() && error["hint"].is_string(),
            "{what}: {text}"
        );
    }
    Ok(())
}

/// Records that are no good, by name, with the reason each is to fail for; the empty one is stored.
fn records() -> Vec<(String, Vec<u8>, &'static str)> {
    let envelope = |id: &str, call: &str| {
        format!(
            r#"{{"v":1,"id":"{id}","source":"web","platform":"web","key_class":"browser","type":"track","received_at":"2026-01-02T03:04:05.678Z","sent_at":null,"agent":"","address":"","warnings":[],"call":{call}}}"#
        )
    };
    let mut records: Vec<(String, Vec<u8>, &str)> = poisons()
        .into_iter()
        .map(|(id, properties, reason)| {
            let record = envelope(id, &call_with(id, &properties)).into_bytes();
            (id.to_owned(), record, reason.unwrap_or(""))
        })
        .collect();
    for (id, record, reason) in [
        ("empty", Vec::new(), "decode"),
        ("no utf-8", b"\xff\xfe\xfd".to_vec(), "decode"),
        ("truncated", br#"{"v":1,"id":"x","sou"#.to_vec(), "decode"),
        ("number", b"42".to_vec(), "protocol"),
        ("other version", br#"{"v":99}"#.to_vec(), "protocol"),
        (
            "large",
            envelope(
                "large",
                &call_with("large", &format!(r#"{{"s":"{}"}}"#, "x".repeat(900_000))),
            )
            .into_bytes(),
            "size",
        ),
        (
            "year 9999",
            envelope("year 9999", "{}")
                .replace("2026-01-02", "9999-01-02")
                .into_bytes(),
            "protocol",
        ),
    ] {
        records.push((id.to_owned(), record, reason));
    }
    records
}

#[test]
fn poison_straight_into_kafka_has_one_verdict_each() -> Result<()> {
    let stack = support::start()?;
    // A real envelope shows what an envelope is.
    support::send(&stack, "web", &[support::track("model", "v-1")])?;
    let expected = records();
    let producer: BaseProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", stack.kafka().bootstrap())
        .set("message.max.bytes", "2000000")
        .set("compression.type", "lz4")
        .create()?;
    let mut sent = Vec::new();
    for (id, record, _) in &expected {
        let refused = producer
            .send(
                BaseRecord::<(), [u8]>::to("events.ios")
                    .partition(0)
                    .payload(record),
            )
            .map_err(|(error, _)| error);
        match refused {
            Ok(()) => sent.push(id),
            Err(error) => println!(
                "{id} ({} bytes) is more than Kafka takes: {error}",
                record.len()
            ),
        }
    }
    producer.flush(Duration::from_secs(30))?;
    support::settle_and_verify(&stack)?;
    let verdicts = support::query(
        &stack,
        "SELECT * FROM (SELECT offset, '' AS reason, '' AS message FROM events WHERE topic = 'events.ios' \
         UNION ALL SELECT offset, reason, errors[1].message FROM failed_events WHERE topic = 'events.ios') ORDER BY offset",
    )?;
    let verdicts: Vec<Vec<&str>> = verdicts
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(verdicts.len(), sent.len());
    for ((id, _, reason), verdict) in expected
        .iter()
        .filter(|(id, ..)| sent.contains(&id))
        .zip(&verdicts)
    {
        println!("{id}: {verdict:?}");
        assert_eq!(verdict[1], *reason, "{id}: {verdict:?}");
        ensure!(
            reason.is_empty() || verdict[2].len() > 10,
            "{id}: {verdict:?}"
        );
    }
    Ok(())
}

fn verdict(stack: &Stack, id: &str, reason: Option<&str>) -> Result<()> {
    let found = support::query(
        stack,
        &format!(
            "SELECT reason, errors[1].path, errors[1].message FROM failed_events WHERE event_id = '{id}'"
        ),
    )?;
    println!("{id}: {found}");
    match reason {
        None => {
            let stored = format!("SELECT count() FROM events WHERE client_event_id = '{id}'");
            assert_eq!(support::number(stack, &stored)?, 1, "{id}");
        }
        Some(reason) => ensure!(
            found.starts_with(reason),
            "{id}: {found:?} instead of {reason}"
        ),
    }
    Ok(())
}

/// Posts bytes that are no text, by curl.
fn curl(stack: &Stack, body: &[u8]) -> Result<(u16, String)> {
    let file = stack.data().join("body");
    std::fs::write(&file, body)?;
    let output = std::process::Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--write-out",
            "\n%{http_code}",
            "--user",
        ])
        .arg(format!("{}:", stack.write_key("web")?))
        .args([
            "--header",
            "content-type: application/json",
            "--header",
            "expect:",
            "--data-binary",
        ])
        .arg(format!("@{}", file.display()))
        .arg(format!("{}/v1/batch", stack.ingest_url()?))
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let (body, code) = text.rsplit_once('\n').context("curl gave no status")?;
    Ok((code.parse()?, body.to_owned()))
}

/// Years of arrivals in one go: every batch holds one month.
#[test]
fn arrivals_of_many_months_become_batches_of_one_month_each() -> Result<()> {
    let stack = support::start()?;
    let producer: BaseProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", stack.kafka().bootstrap())
        .create()?;
    for n in 0..130 {
        let (year, month) = (2014 + n / 12, 1 + n % 12);
        let call = json!({ "type": "track", "event": "Tick", "messageId": format!("m-{n}"), "anonymousId": "v" });
        let record = format!(
            r#"{{"v":1,"id":"m-{n}","source":"ios","platform":"ios","key_class":"mobile","type":"track","received_at":"{year}-{month:02}-15T00:00:00.000Z","sent_at":null,"agent":"","address":"","warnings":[],"call":{call}}}"#
        );
        producer
            .send(
                BaseRecord::to("events.ios")
                    .partition(0)
                    .key("k")
                    .payload(&record),
            )
            .map_err(|(error, _)| error)?;
    }
    producer.flush(Duration::from_secs(30))?;
    support::settle_and_verify(&stack)?;
    assert_eq!(support::number(&stack, "SELECT count() FROM events")?, 130);
    assert_eq!(
        support::number(&stack, "SELECT count() FROM batches FINAL")?,
        130
    );
    Ok(())
}
