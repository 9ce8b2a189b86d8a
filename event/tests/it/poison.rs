//! What nobody should send, in the collector's envelope and straight into Kafka: each has one verdict, with a
//! reason that helps.

use crate::support::{APPENDED_MS, RECEIVED_MS, accepted, evaluate, failed, judge, judge_text};
use serde_json::{Value, json};
use weir_event::{Failure, OVERSIZED_PAYLOAD_KEPT_BYTES, Reason, warning};

/// The verdict on a track call with these properties, in an envelope.
fn call_with(properties: &str) -> Failure {
    let call = format!(
        r#"{{"type":"track","event":"Opened","anonymousId":"a","properties":{properties}}}"#
    );
    failed(judge_text("track", &call, |_| {}))
}

/// The verdict on a record that is an envelope in all but this piece of the call's text.
fn envelope_around(piece: &[u8]) -> Failure {
    let mut payload = br#"{"v":1,"id":"m-1","source":"shop","platform":"web","key_class":"browser","type":"track","received_at":"2026-01-02T03:04:06Z","call":{"event":"Opened","anonymousId":"a","properties":{"a":"#.to_vec();
    payload.extend(piece);
    payload.extend(b"}}}");
    failed(evaluate(&payload))
}

fn first(failure: &Failure) -> (Reason, &str, &str) {
    let error = &failure.errors[0];
    (failure.reason, &error.path, &error.keyword)
}

#[test]
fn invalid_utf8_is_named_with_its_place() {
    let failure = envelope_around(b"\"x\xffy\"");
    assert_eq!(first(&failure), (Reason::Decode, "", "utf8"));
    assert_eq!(
        failure.errors[0].message,
        "not UTF-8: the byte 0xff at offset 188 begins no character"
    );
    assert_eq!(
        failure.received_at_ms, APPENDED_MS,
        "nothing of it was readable"
    );
    assert_eq!(
        first(&failed(evaluate(b"\xff\xfe\x00"))),
        (Reason::Decode, "", "utf8")
    );
}

#[test]
fn truncated_json_is_named_with_the_place_where_it_ends() {
    let whole = judge_payload(
        &json!({"type": "track", "event": "Opened", "anonymousId": "a", "properties": {"items": [{"price": 19.5}]}}),
    );
    for length in 0..whole.len() {
        let failure = failed(evaluate(&whole[..length]));
        assert_eq!(
            failure.reason,
            Reason::Decode,
            "{length}: {:?}",
            failure.errors
        );
        assert!(
            failure.errors[0].message.contains("cut off"),
            "{:?}",
            failure.errors
        );
    }
    let end = whole.windows(4).position(|piece| piece == b"19.5").unwrap();
    let failure = failed(evaluate(&whole[..end + 3]));
    assert_eq!(failure.errors[0].path, "/call/properties/items/0/price");
}

fn judge_payload(call: &Value) -> Vec<u8> {
    let text = crate::support::raw(&call.to_string());
    crate::support::envelope("track", &text).to_vec().unwrap()
}

#[test]
fn endless_depth_is_refused_without_recursion() {
    for depth in [41, 10_000, 300_000] {
        let failure = call_with(&format!(
            "{}1{}",
            r#"{"a":"#.repeat(depth),
            "}".repeat(depth)
        ));
        let (reason, path, keyword) = first(&failure);
        assert_eq!(
            (reason, keyword),
            (
                Reason::Size,
                if depth > 100_000 { "bytes" } else { "depth" }
            ),
            "{depth}"
        );
        assert!(
            depth > 100_000 || path.starts_with("/properties/a/a/a"),
            "{path}"
        );
    }
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(first(&failed(evaluate(nested.as_bytes()))).2, "depth");
    assert_eq!(
        first(&failed(evaluate(format!(r#"{{"v":{nested}}}"#).as_bytes()))).2,
        "depth"
    );
}

#[test]
fn deep_records_are_judged_on_a_small_stack() {
    let judged = std::thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(|| {
            for open in ["[", "{\"a\":", "[{\"a\":"] {
                let deep = open.repeat(100_000);
                let payload = format!(
                    r#"{{"v":1,"id":"m","source":"s","platform":"web","key_class":"browser","type":"track","received_at":"2026-01-02T03:04:06Z","call":{{"x":{deep}"#
                );
                assert_eq!(failed(evaluate(payload.as_bytes())).reason, Reason::Size);
            }
            let fits = format!(r#"{}1{}"#, "[".repeat(38), "]".repeat(38));
            let call = format!(r#"{{"event":"Opened","anonymousId":"a","properties":{{"x":{fits}}}}}"#);
            accepted(judge_text("track", &call, |_| {}));
        })
        .unwrap();
    judged.join().unwrap();
}

#[test]
fn what_no_store_can_hold_is_refused_at_its_pointer() {
    let cases = [
        (r#"{"a":"\ud800"}"#, "/properties/a", "surrogate"),
        (r#"{"a":["ok","\udfff x"]}"#, "/properties/a/1", "surrogate"),
        (r#"{"a":1e999}"#, "/properties/a", "number_range"),
        (r#"{"a":-1e999}"#, "/properties/a", "number_range"),
        (
            r#"{"a":18446744073709551616}"#,
            "/properties/a",
            "integer_range",
        ),
        (
            r#"{"a":-9223372036854775809}"#,
            "/properties/a",
            "integer_range",
        ),
        (
            r#"{"a":1234567890123456789012345678901234567890}"#,
            "/properties/a",
            "integer_range",
        ),
        (r#"{"a":"x\u0000y"}"#, "/properties/a", "nul"),
        (
            r#"{"a.b":1,"a":{"b":2}}"#,
            "/properties/a.b",
            "path_conflict",
        ),
        (
            r#"{"x":[{"a.b":1,"a":{"b":2}}]}"#,
            "/properties/x/0/a.b",
            "path_conflict",
        ),
    ];
    for (properties, path, keyword) in cases {
        let failure = call_with(properties);
        assert_eq!(
            first(&failure),
            (Reason::Decode, path, keyword),
            "{properties}"
        );
        assert_eq!(
            (failure.received_at_ms, &*failure.source_id),
            (RECEIVED_MS, "shop")
        );
    }
    for fits in [
        r#"{"a":18446744073709551615}"#,
        r#"{"a":-9223372036854775808}"#,
        r#"{"a":1e308}"#,
        r#"{"a":"\ud83d\ude00"}"#,
        r#"{"a":1,"a.b":2}"#,
    ] {
        let call = format!(r#"{{"event":"Opened","anonymousId":"a","properties":{fits}}}"#);
        accepted(judge_text("track", &call, |_| {}));
    }
}

#[test]
fn equal_paths_are_found_in_the_context_and_in_traits_too() {
    let twice = json!({"a.b": 1, "a": {"b": 2}});
    let failure = failed(judge(
        &json!({"type": "track", "event": "Opened", "anonymousId": "a", "context": twice, "properties": twice}),
        |_| {},
    ));
    let paths: Vec<_> = failure
        .errors
        .iter()
        .map(|error| error.path.as_str())
        .collect();
    assert_eq!(
        (failure.reason, paths),
        (Reason::Decode, vec!["/properties/a.b", "/context/a.b"])
    );
    assert_eq!(failure.name, "opened");
    let failure = failed(judge(
        &json!({"type": "identify", "userId": "u", "traits": twice}),
        |_| {},
    ));
    assert_eq!(
        first(&failure),
        (Reason::Decode, "/traits/a.b", "path_conflict")
    );
}

#[test]
fn five_megabytes_and_a_hundred_thousand_keys_are_too_much() {
    let big = json!({"type": "track", "event": "Opened", "anonymousId": "a", "properties": {"a": "x".repeat(5_000_000)}});
    let failure = failed(judge(&big, |_| {}));
    assert_eq!(first(&failure), (Reason::Size, "", "bytes"));
    assert_eq!(
        (failure.payload.len(), &*failure.source_id),
        (OVERSIZED_PAYLOAD_KEPT_BYTES, "shop")
    );
    assert_eq!(
        first(&failed(evaluate(&vec![b'x'; 5_000_000]))),
        (Reason::Size, "", "bytes")
    );

    let many: serde_json::Map<_, _> = (0..100_000).map(|i| (format!("k{i}"), json!(0))).collect();
    let failure = failed(judge(
        &json!({"type": "track", "event": "Opened", "anonymousId": "a", "properties": many}),
        |envelope| {
            envelope.agent = "".into();
        },
    ));
    assert_eq!(failure.reason, Reason::Size);
    assert_eq!(failure.errors[0].keyword, "bytes");
    let many: serde_json::Map<_, _> = (0..2_000).map(|i| (format!("k{i}"), json!(0))).collect();
    let failure = failed(judge(
        &json!({"type": "track", "event": "Opened", "anonymousId": "a", "properties": many}),
        |_| {},
    ));
    assert_eq!(first(&failure), (Reason::Size, "/properties", "keys"));
    let failure = failed(judge(
        &json!({"type": "track", "event": "Opened", "anonymousId": "a", "properties": {"a": "x".repeat(40_000)}}),
        |_| {},
    ));
    assert_eq!(
        first(&failure),
        (Reason::Size, "/properties/a", "string_length")
    );
    assert!(
        failure.payload.len() > 40_000,
        "kept whole, so that it can be replayed"
    );
}

#[test]
fn duplicate_keys_are_an_event_with_a_warning() {
    let call = r#"{"event":"Opened","anonymousId":"a","properties":{"a":1,"a":2}}"#;
    let event = accepted(judge_text("track", call, |_| {}));
    assert_eq!(
        (event.properties["a"].clone(), event.warnings),
        (json!(2), vec![warning::DUPLICATE_KEY.to_owned()])
    );
}

#[test]
fn wrong_types_are_all_named_at_once() {
    let call = json!({"type": "track", "event": 5, "anonymousId": ["a"], "userId": {"id": 1}, "timestamp": {}, "properties": "none", "context": 7});
    let failure = failed(judge(&call, |_| {}));
    assert_eq!(failure.reason, Reason::Protocol);
    let mut paths: Vec<_> = failure
        .errors
        .iter()
        .map(|error| error.path.as_str())
        .collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "/anonymousId",
            "/context",
            "/event",
            "/properties",
            "/timestamp",
            "/userId"
        ]
    );
    assert!(failure.errors.iter().all(|error| error.keyword == "type"));

    for call in ["[]", "null", "\"track\"", "5"] {
        let failure = failed(judge_text("track", call, |_| {}));
        assert_eq!(first(&failure), (Reason::Protocol, "", "type"), "{call}");
    }
    let failure = failed(judge_text("purchase", "{}", |_| {}));
    assert_eq!(first(&failure), (Reason::Protocol, "/type", "enum"));
}

#[test]
fn a_record_that_is_no_envelope_is_told_so() {
    let call: &[u8] = br#"{"type":"track","event":"Opened","anonymousId":"a"}"#;
    for payload in [
        call,
        b"{}",
        b"[]",
        b"null",
        b"5",
        br#"[1,"m","s","web","browser","track","2026-01-02T03:04:06Z"]"#,
    ] {
        let failure = failed(evaluate(payload));
        assert_eq!(
            first(&failure),
            (Reason::Protocol, "", "envelope"),
            "{}",
            String::from_utf8_lossy(payload)
        );
        assert_eq!(
            (failure.received_at_ms, failure.payload.as_slice()),
            (APPENDED_MS, payload)
        );
    }
    let whole = String::from_utf8(judge_payload(
        &json!({"event": "Opened", "anonymousId": "a"}),
    ))
    .unwrap();
    for (from, to, path) in [
        (r#""v":1"#, r#""v":2"#, "/v"),
        ("2026-01-02T03:04:06.000Z", "yesterday", "/received_at"),
        (
            "2026-01-02T03:04:06.000Z",
            "9999-01-01T00:00:00Z",
            "/received_at",
        ),
        (r#""source":"shop""#, r#""source":"""#, "/source"),
        (r#""agent":""#, r#""agent":"\u0000"#, "/agent"),
        (r#""key_class":"browser""#, r#""key_class":"root""#, ""),
        (r#""call":"#, r#""kall":"#, ""),
        (r#""v":1"#, r#""v":1,"v":1"#, ""),
    ] {
        let payload = whole.replacen(from, to, 1);
        assert_ne!(payload, whole);
        let failure = failed(evaluate(payload.as_bytes()));
        assert_eq!(
            first(&failure),
            (Reason::Protocol, path, "envelope"),
            "{payload}"
        );
    }
    // Kafka's tombstone, which the consumer hands over as an empty value.
    assert_eq!(first(&failed(evaluate(b""))), (Reason::Decode, "", "json"));
}
