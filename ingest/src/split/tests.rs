use proptest::prelude::*;

use super::*;

const LIMITS: SplitLimits = SplitLimits {
    events: 3,
    bytes: 1000,
};

fn batch_of(body: &str) -> Result<Vec<String>, Refusal> {
    let split = split(body.as_bytes(), Route::Batch, LIMITS)?;
    Ok(split
        .events
        .iter()
        .map(|event| String::from_utf8_lossy(event).into_owned())
        .collect())
}

fn malformed(body: &str) -> String {
    match batch_of(body) {
        Err(Refusal::MalformedBody(message)) => message,
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn a_batch_is_split_into_the_bytes_of_its_events() {
    let body = br#"{"writeKey":"k","batch":[{"a":NaN}, {"b":1} ,5],"sentAt":"s","other":nonsense}"#;
    let split = split(body, Route::Batch, LIMITS).unwrap();
    assert_eq!(split.events, [&b"{\"a\":NaN}"[..], b"{\"b\":1}", b"5"]);
    assert_eq!(
        (split.write_key.as_deref(), split.sent_at.as_deref()),
        (Some("k"), Some("s"))
    );
    assert_eq!(
        batch_of("\u{feff} {\"batch\": []}\n").unwrap(),
        Vec::<String>::new()
    );
}

#[test]
fn a_body_that_cannot_be_split_is_told_where() {
    assert_eq!(
        malformed(""),
        "line 1, column 1: expected an object such as {\"batch\":[…]}"
    );
    assert_eq!(
        malformed("[{}]"),
        "line 1, column 1: expected an object such as {\"batch\":[…]}"
    );
    assert_eq!(
        malformed("{\"batch\":[{},\n{\"a\":1"),
        "line 2, column 7: expected a closing bracket, but the text ends"
    );
    assert_eq!(
        malformed("{\"batch\":[{} {}]}"),
        "line 1, column 14: expected `,` or `]`"
    );
    assert_eq!(
        malformed("{\"batch\":[{},]}"),
        "line 1, column 14: expected a value"
    );
    assert_eq!(
        malformed("{\"batch\":[]} x"),
        "line 1, column 14: expected nothing more"
    );
    assert_eq!(malformed("{\"batch\":{}}"), "/batch is no array");
    assert_eq!(
        malformed("{\"events\":[]}"),
        "the body has no /batch, an array of events"
    );
    assert_eq!(
        malformed("{\"batch\":[],\"batch\":[]}"),
        "line 1, column 13: expected one batch; this is a second"
    );
    assert_eq!(
        malformed("{\"batch\":[],\"context\":{x}}"),
        "line 1, column 23: a value that is no JSON"
    );
}

#[test]
fn the_number_of_events_is_bounded() {
    assert_eq!(batch_of("{\"batch\":[1,2,3]}").unwrap().len(), 3);
    assert_eq!(
        batch_of("{\"batch\":[1,2,3,4]}"),
        Err(Refusal::TooManyEvents(3))
    );
}

#[test]
fn a_single_event_is_the_whole_body() {
    let one = |body| split(body, Route::One(EventType::Track), LIMITS);
    let body = br#" {"event":"x","writeKey":"k","sentAt":"s"} "#;
    let split = one(body).unwrap();
    assert_eq!(
        split.events,
        [&br#"{"event":"x","writeKey":"k","sentAt":"s"}"#[..]]
    );
    assert_eq!(
        (split.write_key.as_deref(), split.sent_at.as_deref()),
        (Some("k"), Some("s"))
    );
    let message = |body| match one(body) {
        Err(Refusal::MalformedBody(message)) => message,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        message(b"{\"event\":\"x\""),
        "line 1, column 12: EOF while parsing an object"
    );
    assert_eq!(message(b"[]"), "the body is no JSON object");
    assert_eq!(message(b"{} {}"), "line 1, column 4: trailing characters");
}

#[test]
fn events_inherit_what_the_batch_says_once() {
    let body = br#"{"batch":[{}],"context":{"library":{"name":"go"},"ip":"1.2.3.4"},"integrations":{"All":true},"x":1}"#;
    let inherited = split(body, Route::Batch, LIMITS).unwrap().inherited;
    let inherit = |event| inherit(event, &inherited);
    assert_eq!(
        inherit(r#"{"a":1}"#).unwrap(),
        r#"{"a":1,"context":{"library":{"name":"go"},"ip":"1.2.3.4"},"integrations":{"All":true}}"#
    );
    assert_eq!(
        inherit(r#"{ "context":{"ip":"9.9.9.9"}, "integrations":{"All":false} }"#).unwrap(),
        r#"{ "context":{"ip":"9.9.9.9","library":{"name":"go"}}, "integrations":{"All":false} }"#
    );
    assert_eq!(
        inherit(r#"{"context":{ },"integrations":null}"#).unwrap(),
        r#"{"context":{"library":{"name":"go"},"ip":"1.2.3.4"},"integrations":null}"#
    );
    assert_eq!(inherit(r#"{"context":1,"integrations":{"All":1}}"#), None);
}

#[test]
fn inheriting_takes_time_by_the_bytes_not_by_their_square() {
    let members = |letter: char| {
        let members: Vec<_> = (0..50_000).map(|n| format!("\"{letter}{n}\":1")).collect();
        format!("{{{}}}", members.join(","))
    };
    let event = format!("{{\"context\":{}}}", members('a'));
    let started = std::time::Instant::now();
    assert!(inherit(&event, &[("context", &members('b'))]).is_some());
    assert!(
        started.elapsed() < std::time::Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn inheritance_does_not_multiply_a_body_beyond_the_limit() {
    let body = format!(
        "{{\"batch\":[1,2,3],\"context\":{{\"a\":\"{}\"}}}}",
        "x".repeat(300)
    );
    assert_eq!(batch_of(&body), Err(Refusal::DecodedTooLarge(1000)));
}

#[test]
fn routes_have_the_names_of_the_dialect() {
    for name in [
        "track", "identify", "page", "screen", "group", "alias", "batch",
    ] {
        assert_eq!(Route::from_name(name).unwrap().as_str(), name);
    }
    assert_eq!(Route::from_name("Track"), None);
}

proptest! {
    #[test]
    fn any_body_is_split_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(split(&body, Route::Batch, LIMITS));
        drop(split(&body, Route::One(EventType::Page), LIMITS));
    }

    #[test]
    fn near_batches_are_split_without_a_panic(body in r#"\{"batch":[\[\]{}",:\\a1 ]{0,40}"#) {
        drop(split(body.as_bytes(), Route::Batch, LIMITS));
    }

    #[test]
    fn every_event_of_a_valid_batch_comes_out_as_it_was(names in prop::collection::vec(".{0,20}", 0..4), space in "[ \n\t]{0,3}") {
        let events: Vec<String> = names.iter().map(|name| serde_json::json!({"event": name, "n": [name]}).to_string()).collect();
        let body = format!("{{{space}\"batch\"{space}:[{space}{}{space}]}}", events.join(&format!("{space},{space}")));
        prop_assume!(events.len() <= LIMITS.events);
        prop_assert_eq!(batch_of(&body).unwrap(), events);
    }

    #[test]
    fn inheriting_keeps_an_event_valid(name in ".{0,10}", own in "[a-c]{1}", other in "[a-c]{1}") {
        let event = serde_json::json!({"event": name, "context": {own.as_str(): 1}}).to_string();
        let shared = serde_json::json!({other.as_str(): 2}).to_string();
        let text = inherit(&event, &[("context", &shared)]).unwrap_or(event);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&value["context"][own.as_str()], 1);
        prop_assert_eq!(&value["context"][other.as_str()], if own == other { 1 } else { 2 });
    }
}
