//! `up`, `status`, `down`.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use weir_stack::wait::{self, Check};
use weir_stack::{Description, http, start_time};

use crate::{Dev, assert_success, read, text};

const WITHIN: Duration = Duration::from_secs(60);

fn up(dev: &Dev) -> Description {
    let output = dev.run(&["up", "--detach", "--json"]);
    assert_success(&output);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn kill9(pid: u32) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
}

fn wait_gone(pids: &BTreeMap<String, u32>) {
    wait::until("every process to be gone", WITHIN, || {
        let left: Vec<&String> = pids
            .iter()
            .filter(|(_, pid)| start_time(**pid).is_some())
            .map(|(name, _)| name)
            .collect();
        Check::that(left.is_empty(), format!("{left:?} run"))
    })
    .unwrap();
}

fn send(description: &Description, id: &str) {
    let body = format!(r#"{{"event":"Test Sent","anonymousId":"a","messageId":"{id}"}}"#);
    let headers = [
        ("Content-Type", "application/json"),
        ("X-Write-Key", description.write_keys["web"].as_str()),
    ];
    let answer = http::post(&format!("{}/v1/track", description.ingest), &headers, &body).unwrap();
    assert_eq!(
        (answer.status, answer.body.trim()),
        (200, r#"{"success":true}"#)
    );
}

fn wait_stored(description: &Description, expected: &str) {
    let access = &description.clickhouse;
    let headers = [
        ("X-ClickHouse-User", access.reader.as_str()),
        ("X-ClickHouse-Key", access.reader_password.as_str()),
        ("X-ClickHouse-Database", access.database.as_str()),
    ];
    wait::until("the events to be stored", WITHIN, || {
        match http::post(
            &access.url,
            &headers,
            "SELECT count() FROM events WHERE name = 'test_sent'",
        ) {
            Ok(answer) => Check::that(answer.body.trim() == expected, answer.body),
            Err(error) => Check::NotYet(error.to_string()),
        }
    })
    .unwrap();
}

fn status(dev: &Dev) -> (Option<i32>, Value) {
    let output = dev.run(&["status", "--json"]);
    (
        output.status.code(),
        serde_json::from_slice(&output.stdout).unwrap(),
    )
}

#[test]
fn a_stack_is_started_found_mended_and_stopped() {
    let dev = Dev::new();
    assert_eq!(status(&dev).0, Some(1));
    let first = up(&dev);
    assert_eq!(
        first.pids.keys().collect::<Vec<_>>(),
        ["clickhouse", "ingest", "kafka", "processor"]
    );
    assert_eq!(
        read(&dev.stack_file())["ingest"],
        Value::from(first.ingest.clone())
    );
    assert_eq!(first.data, dev.data().canonicalize().unwrap());
    assert_eq!(status(&dev).0, Some(0));
    send(&first, "1");
    wait_stored(&first, "1");

    // A second one on the same data is told so, and gets the addresses if it did not want to stay.
    let again = dev.run(&["up", "--detach", "--json"]);
    assert_success(&again);
    assert!(
        text(&again.stderr).contains("running already"),
        "{}",
        text(&again.stderr)
    );
    assert!(text(&again.stdout).contains(&first.kafka));
    let foreground = dev.run(&["up"]);
    assert_eq!(foreground.status.code(), Some(1));
    assert!(
        text(&foreground.stderr).contains("running already"),
        "{}",
        text(&foreground.stderr)
    );

    // A killed role comes back on its address, and those who look for the stack are told its new number.
    kill9(first.pids["ingest"]);
    wait::until("the collector to be back", WITHIN, || {
        let (code, report) = status(&dev);
        let back = code == Some(0) && report["pids"]["ingest"] != first.pids["ingest"];
        Check::that(back, report["parts"].to_string())
    })
    .unwrap();
    send(&first, "2");
    wait_stored(&first, "2");

    let down = dev.run(&["down"]);
    assert_success(&down);
    wait_gone(&first.pids);
    assert!(!dev.stack_file().exists());
    assert_eq!(status(&dev).0, Some(1));
    assert_success(&dev.run(&["down"]));
}

#[test]
fn a_killed_supervisor_takes_all_along_and_the_next_one_goes_on_with_the_data() {
    let dev = Dev::new();
    let first = up(&dev);
    send(&first, "1");
    let record = read(&dev.data().join("processes.json"));
    kill9(u32::try_from(record["supervisor"]["pid"].as_u64().unwrap()).unwrap());
    wait_gone(&first.pids);
    assert_eq!(status(&dev).0, Some(1));

    let second = up(&dev);
    assert_eq!(second.write_keys, first.write_keys);
    send(&second, "2");
    wait_stored(&second, "2");
    assert_success(&dev.run(&["down"]));
    wait_gone(&second.pids);
}

#[test]
fn two_stacks_run_side_by_side() {
    let (one, other) = (Dev::new(), Dev::new());
    let first = up(&one);
    let output = other
        .command(&["up", "--detach", "--json"])
        .env("WEIR_STACK", one.stack_file())
        .output()
        .unwrap();
    assert_success(&output);
    let second: Description = serde_json::from_slice(&output.stdout).unwrap();
    assert_ne!(first.kafka, second.kafka);
    assert_ne!(first.ingest, second.ingest);
    // The stack file still leads to the first, and outlives the second.
    assert_eq!(read(&one.stack_file())["kafka"], Value::from(first.kafka));
    let down = other
        .command(&["down"])
        .env("WEIR_STACK", one.stack_file())
        .output()
        .unwrap();
    assert_success(&down);
    wait_gone(&second.pids);
    assert!(one.stack_file().exists());
    assert_eq!(status(&one).0, Some(0));
}

#[test]
fn a_stack_that_is_still_starting_can_be_stopped() {
    let dev = Dev::new();
    let mut up = dev.command(&["up"]).spawn().unwrap();
    wait::until("the start to begin", WITHIN, || {
        Check::that(dev.data().join("processes.json").exists(), "no record")
    })
    .unwrap();
    assert_eq!(status(&dev).0, Some(1));
    assert_success(&dev.run(&["down"]));
    assert_eq!(up.wait().unwrap().code(), Some(130));
    assert!(!dev.data().join("processes.json").exists());
}
