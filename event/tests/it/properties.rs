//! What holds for every record, whatever is in it.

use crate::support::{envelope, evaluate, judge, raw};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use weir_event::{Body, Envelope, KeyClass, Rejected, Verdict};

proptest! {
    #[test]
    fn any_bytes_have_a_verdict(payload in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(matches!(evaluate(&payload), Verdict::Failed(_)));
    }

    #[test]
    fn a_mutated_envelope_has_a_verdict(call in call(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6)) {
        let mut payload = payload(&call);
        for (index, byte, action) in edits {
            if payload.is_empty() {
                break;
            }
            let at = index.index(payload.len());
            match action {
                0 => payload[at] = byte,
                1 => payload.insert(at, byte),
                _ => drop(payload.remove(at)),
            }
        }
        check(&payload)?;
    }

    #[test]
    fn any_call_of_json_has_a_verdict(kind in "track|identify|page|screen|group|alias", mut call in call(), class in 0..3_usize) {
        call["type"] = json!(kind);
        let class = [KeyClass::Browser, KeyClass::Mobile, KeyClass::Server][class];
        let verdict = judge(&call, |envelope| envelope.key_class = class);
        check_verdict(&verdict)?;
    }

    #[test]
    fn the_same_record_has_the_same_verdict(call in call()) {
        let payload = payload(&call);
        prop_assert_eq!(evaluate(&payload), evaluate(&payload));
    }

    #[test]
    fn envelopes_read_back_as_they_were_written(
        texts in prop::collection::vec(any::<String>(), 8),
        sent_at in any::<Option<String>>(),
        visitor in any::<Option<String>>(),
        warnings in prop::collection::vec(any::<String>(), 0..3),
        received_at_ms in -2_208_988_800_000..=10_413_791_999_999_i64,
        call in json_value(),
        rejected in any::<bool>(),
    ) {
        let call = raw(&call.to_string());
        let mut texts = texts.into_iter().map(std::borrow::Cow::from);
        let mut next = || texts.next().unwrap();
        let written = Envelope {
            id: next(), source: next(), platform: next(), r#type: next(), agent: next(), address: next(),
            key_class: KeyClass::Mobile,
            received_at_ms,
            sent_at: sent_at.map(Into::into),
            visitor: visitor.map(Into::into),
            warnings: warnings.into_iter().map(Into::into).collect(),
            body: if rejected {
                Body::Rejected(Rejected { code: "too_large".into(), path: next(), message: next(), payload: "{\"é\"".into() })
            } else {
                Body::Call(&call)
            },
        };
        let bytes = written.to_vec().unwrap();
        let read = Envelope::from_slice(&bytes).unwrap();
        prop_assert_eq!(format!("{:?}", read), format!("{:?}", written));
        prop_assert_eq!(read.to_vec().unwrap(), bytes);
    }
}

fn payload(call: &Value) -> Vec<u8> {
    let text = raw(&call.to_string());
    envelope(call["type"].as_str().unwrap_or("track"), &text)
        .to_vec()
        .unwrap()
}

fn check(payload: &[u8]) -> Result<(), TestCaseError> {
    let verdict = evaluate(payload);
    if let Verdict::Failed(failure) = &verdict {
        prop_assert_eq!(&failure.payload[..], payload);
    }
    check_verdict(&verdict)
}

/// A failure says why; an event is JSON that reads back, and that a store which joins names by dots can hold.
fn check_verdict(verdict: &Verdict) -> Result<(), TestCaseError> {
    match verdict {
        Verdict::Failed(failure) => {
            prop_assert!(!failure.errors.is_empty());
            prop_assert!(
                failure
                    .errors
                    .iter()
                    .all(|error| !error.keyword.is_empty() && !error.message.is_empty())
            );
        }
        Verdict::Accepted(event) => {
            let text = serde_json::to_string(event).unwrap();
            prop_assert!(!text.contains("\\u0000"));
            let read: weir_event::Event = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&read, &**event);
            for column in [&event.properties, &event.context] {
                let mut paths = HashSet::new();
                prop_assert!(distinct(column, "", &mut paths), "{}", text);
            }
            let week = 7 * 24 * 3_600_000;
            prop_assert!(event.ts_ms <= event.received_at_ms + 3_600_000);
            prop_assert!(
                event.ts_ms >= event.received_at_ms - week
                    || event.client_ts_ms == Some(event.ts_ms)
            );
        }
    }
    Ok(())
}

fn distinct(map: &Map<String, Value>, prefix: &str, paths: &mut HashSet<String>) -> bool {
    map.iter().all(|(key, value)| {
        let path = format!("{prefix}{key}");
        match value {
            Value::Null => true,
            Value::Object(inner) => distinct(inner, &format!("{path}."), paths),
            Value::Array(items) => paths.insert(path) && items.iter().all(distinct_inside),
            _ => paths.insert(path),
        }
    })
}

fn distinct_inside(value: &Value) -> bool {
    match value {
        Value::Object(map) => distinct(map, "", &mut HashSet::new()),
        Value::Array(items) => items.iter().all(distinct_inside),
        _ => true,
    }
}

/// Calls that are nearly right: the dialect's own members with values of mostly the right type, and some that
/// are not.
fn call() -> impl Strategy<Value = Value> {
    let member = prop_oneof![
        (
            "userId|anonymousId|event|name|groupId|previousId|category",
            text().prop_map(Value::from).boxed()
        ),
        ("timestamp|originalTimestamp|sentAt", time()),
        ("properties|traits|context|integrations", object()),
        ("properties", page()),
        (
            "context",
            page()
                .prop_map(
                    |page| json!({"page": page, "campaign": {"source": "x"}, "traits": {"a": 1}})
                )
                .boxed()
        ),
        (
            "[a-z._]{0,8}|userId|event|properties|context",
            json_value().boxed()
        ),
    ];
    prop::collection::vec(member, 0..8).prop_map(|members| {
        let mut call = json!({"type": "track", "event": "Opened", "anonymousId": "a"});
        for (key, value) in members {
            call[key] = value;
        }
        call
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9 _.-]{0,20}", any::<String>(), "\\PC{0,300}"]
}

fn time() -> BoxedStrategy<Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        (1_767_000_000_000_i64..1_768_000_000_000).prop_map(Value::from),
        "20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](Z|\\+0[0-9]:00)"
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ]
    .boxed()
}

fn page() -> BoxedStrategy<Value> {
    let address = prop_oneof![
        "(https?://)?[a-z.]{0,10}(/[a-z?=&#%]{0,10})?",
        any::<String>()
    ];
    (address.clone(), address, "[a-z/?]{0,8}")
        .prop_map(|(url, referrer, path)| json!({"url": url, "referrer": referrer, "path": path}))
        .boxed()
}

fn object() -> BoxedStrategy<Value> {
    prop::collection::btree_map(
        "[ab.]{1,3}|url|path|page|campaign|traits|userAgent|ip|os",
        json_value(),
        0..6,
    )
    .prop_map(|map| Value::Object(map.into_iter().collect()))
    .boxed()
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[ab.]{0,3}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
