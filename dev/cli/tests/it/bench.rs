//! The measurements, small and on debug builds: the figures mean nothing, but all of them are there.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{assert_success, text};

fn figures(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_weir-dev"))
        .arg("bench")
        .args(arguments)
        .args(["--debug", "--json", "--rounds", "1", "--seconds", "1"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_success(&output);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", text(&output.stdout));
    })
}

fn assert_positive(figures: &Value, pointers: &[&str]) {
    for pointer in pointers {
        let value = figures.pointer(pointer).and_then(Value::as_f64);
        assert!(
            value.is_some_and(|value| value > 0.0),
            "{pointer} in {figures}"
        );
    }
}

#[test]
fn the_collector_is_measured_beside_its_references() {
    let figures = figures(&[
        "ingest",
        "--connections",
        "8",
        "--batch-connections",
        "2",
        "--rate",
        "50",
    ]);
    assert_positive(
        &figures,
        &[
            "/requests_per_second",
            "/events_per_second",
            "/cpu_us_per_request",
            "/ratio_to_bare_http",
            "/ratio_to_librdkafka",
            "/rss_bytes",
            "/steady/p99_ms",
            "/bare_http/requests_per_second",
            "/librdkafka/events_per_second",
        ],
    );
    assert_eq!(figures["batch"]["events_per_request"], 100);
}

#[test]
fn the_processor_is_measured_beside_its_reference() {
    let figures = figures(&["processor", "--events", "2000", "--rate", "100"]);
    assert_positive(
        &figures,
        &[
            "/events_per_second",
            "/cpu_us_per_event",
            "/ratio_to_bare_consumer",
            "/rss_bytes",
            "/bare_consumer/events_per_second",
            "/freshness/p50_ms",
            "/freshness/p99_ms",
        ],
    );
    let count = |name: &str| figures[name].as_u64().unwrap();
    assert_eq!(count("records"), count("stored") + count("failed"));
    assert!(count("failed") > 0, "{figures}");
}
