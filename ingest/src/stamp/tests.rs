use proptest::prelude::*;
use weir_event::KeyClass;

use super::*;
use crate::address::AddressPolicy;
use crate::ids::ID_MAX_BYTES;
use crate::sources::Platform;

const RECEIVED_MS: i64 = 1_767_323_045_678;

struct Request {
    source: Source,
    secret: VisitorSecret,
    class: KeyClass,
    client: &'static str,
    agent: &'static str,
    route: Route,
    inherited: Vec<(&'static str, &'static str)>,
}

impl Default for Request {
    fn default() -> Request {
        Request {
            source: Source {
                id: "shop".to_owned(),
                name: "Shop".to_owned(),
                platform: Platform::Web,
                timezone: "UTC".to_owned(),
                address: AddressPolicy::Truncate,
            },
            secret: VisitorSecret::for_testing(7),
            class: KeyClass::Browser,
            client: "203.0.113.77",
            agent: "Agent/1",
            route: Route::One(EventType::Track),
            inherited: Vec::new(),
        }
    }
}

impl Request {
    fn stamp(&self, event: impl AsRef<[u8]>) -> Stamped {
        self.stamp_at(event, Place::Body)
    }

    fn stamp_at(&self, event: impl AsRef<[u8]>, place: Place) -> Stamped {
        Stamper {
            source: &self.source,
            class: self.class,
            key: "the-write-key",
            secret: &self.secret,
            received_at_ms: RECEIVED_MS,
            client: self.client.parse().unwrap(),
            agent: self.agent,
            route: self.route,
            sent_at: Some("2026-01-02T03:04:05Z"),
            inherited: &self.inherited,
            max_event_bytes: 32 << 10,
            fresh_id: || Uuid::from_u128(1),
        }
        .stamp(event.as_ref(), place)
        .unwrap()
    }

    fn batch(class: KeyClass) -> Request {
        Request {
            class,
            route: Route::Batch,
            ..Request::default()
        }
    }
}

fn envelope(stamped: &Stamped) -> Envelope<'_> {
    Envelope::from_slice(&stamped.record.value).unwrap()
}

fn call(stamped: &Stamped) -> &str {
    match envelope(stamped).body {
        Body::Call(call) => call.get(),
        Body::Rejected(rejected) => panic!("{rejected:?}"),
    }
}

fn rejection(stamped: &Stamped) -> Rejected<'_> {
    match envelope(stamped).body {
        Body::Call(call) => panic!("{call}"),
        Body::Rejected(rejected) => rejected,
    }
}

fn key(stamped: &Stamped) -> &str {
    std::str::from_utf8(&stamped.record.key).unwrap()
}

fn id_text(stamped: &Stamped) -> String {
    envelope(stamped).id.into_owned()
}

#[test]
fn a_plain_event_passes_byte_for_byte() {
    let event = r#"{ "event":"x", "messageId":"m1", "anonymousId":"a1", "n":1e999 }"#;
    let stamped = Request::default().stamp(event);
    assert_eq!(stamped.rejected, None);
    assert_eq!(stamped.record.topic, "events.web");
    assert_eq!(key(&stamped), "shop\0a1");
    assert_eq!(call(&stamped), event);
    let envelope = envelope(&stamped);
    assert_eq!(
        (&*envelope.id, &*envelope.source, &*envelope.platform),
        ("m1", "shop", "web")
    );
    assert_eq!(
        (&*envelope.r#type, &*envelope.agent, &*envelope.address),
        ("track", "Agent/1", "203.0.113.0")
    );
    assert_eq!(envelope.sent_at.as_deref(), Some("2026-01-02T03:04:05Z"));
    assert_eq!(envelope.received_at_ms, RECEIVED_MS);
    assert_eq!((envelope.visitor, envelope.warnings), (None, Vec::new()));
}

#[test]
fn the_key_is_anonymous_id_else_user_id_else_cookieless_visitor() {
    let request = Request::default();
    assert_eq!(
        key(&request.stamp(r#"{"anonymousId":"a","userId":"u"}"#)),
        "shop\0a"
    );
    assert_eq!(
        key(&request.stamp(r#"{"anonymousId":"","userId":"u"}"#)),
        "shop\0u"
    );
    assert_eq!(
        key(&request.stamp(r#"{"anonymousId":null,"userId":42}"#)),
        "shop\u{0}42"
    );
    let stamped = request.stamp("{}");
    let visitor = envelope(&stamped).visitor.unwrap().into_owned();
    assert_eq!(key(&stamped), format!("shop\0{visitor}"));
}

#[test]
fn an_id_is_the_clients_else_derived_else_fresh_with_a_warning() {
    let request = Request::default();
    assert_eq!(id_text(&request.stamp(r#"{"messageId":"m"}"#)), "m");
    let derived = request.stamp(r#"{"timestamp":"2026-01-02T03:04:05Z","event":"x"}"#);
    assert_eq!(
        Uuid::parse_str(&id_text(&derived))
            .unwrap()
            .get_version_num(),
        8
    );
    assert_eq!(envelope(&derived).warnings, ["no_visitor_id"]);
    let fresh = request.stamp(r#"{"event":"x","messageId":""}"#);
    assert_eq!(id_text(&fresh), Uuid::from_u128(1).to_string());
    assert_eq!(envelope(&fresh).warnings, ["no_event_id"]);
}

#[test]
fn an_event_whose_visitor_depends_on_the_request_says_so() {
    let warnings = |class, event| {
        let request = Request {
            class,
            ..Request::default()
        };
        let stamped = request.stamp(event);
        envelope(&stamped).warnings.join(" ")
    };
    let plain = r#"{"messageId":"m"}"#;
    let timed = r#"{"messageId":"m","timestamp":"2015-05-17T10:05:03Z"}"#;
    for class in [KeyClass::Browser, KeyClass::Mobile] {
        assert_eq!(warnings(class, plain), "no_visitor_id");
        assert_eq!(warnings(class, timed), "no_visitor_id");
        assert_eq!(warnings(class, r#"{"messageId":"m","userId":"u"}"#), "");
        assert_eq!(
            warnings(class, r#"{"messageId":"m","anonymousId":"a"}"#),
            ""
        );
    }
    assert_eq!(warnings(KeyClass::Server, plain), "no_visitor_id");
    // A server says itself when it was and whose address it had: every try says the same.
    assert_eq!(warnings(KeyClass::Server, timed), "");
}

#[test]
fn a_derived_id_is_the_same_for_every_try_and_no_other_event() {
    let request = Request::default();
    let first = id_text(&request.stamp(
        r#"{"timestamp":"t","event":"x","userId":"u","sentAt":"1","_metadata":{"retryCount":0}}"#,
    ));
    let again = id_text(&request.stamp(r#"{"timestamp":"t", "event":"x","userId":"u","sentAt":"2","_metadata":{"retryCount":1},"writeKey":"k"}"#));
    assert_eq!(first, again);
    let page = Request {
        route: Route::One(EventType::Page),
        ..Request::default()
    };
    let others = [
        id_text(&request.stamp(r#"{"timestamp":"u","event":"x","userId":"u"}"#)),
        id_text(&request.stamp(r#"{"timestamp":"t","event":"y","userId":"u"}"#)),
        id_text(&request.stamp(r#"{"timestamp":"t","event":"x","userId":"v"}"#)),
        id_text(&page.stamp(r#"{"timestamp":"t","event":"x","userId":"u"}"#)),
    ];
    assert!(!others.contains(&first));
}

#[test]
fn cookieless_visitors_differ_by_day_address_and_agent() {
    let visitor = |request: &Request, event: &str| {
        envelope(&request.stamp(event))
            .visitor
            .unwrap()
            .into_owned()
    };
    let request = Request::default();
    let own = visitor(&request, "{}");
    assert_eq!(
        own,
        visitor(&request, r#"{"timestamp":"2026-01-02T00:00:01Z"}"#)
    );
    assert_eq!(
        own,
        visitor(&request, r#"{"timestamp":"2016-01-02T00:00:01Z"}"#),
        "its clock is not believed"
    );
    assert_ne!(
        own,
        visitor(&request, r#"{"timestamp":"2026-01-01T00:00:01Z"}"#)
    );
    let elsewhere = Request {
        client: "203.0.113.78",
        ..Request::default()
    };
    assert_ne!(own, visitor(&elsewhere, "{}"));
    let otherwise = Request {
        agent: "Agent/2",
        ..Request::default()
    };
    assert_ne!(own, visitor(&otherwise, "{}"));
}

#[test]
fn only_server_keys_speak_for_others() {
    let event = r#"{"timestamp":"2015-05-17T10:05:03Z","context":{"ip":"198.51.100.9","userAgent":"Visitor/1"}}"#;
    let browser = Request::default().stamp(event);
    assert_eq!(
        (&*envelope(&browser).agent, &*envelope(&browser).address),
        ("Agent/1", "203.0.113.0")
    );
    let server = Request {
        class: KeyClass::Server,
        ..Request::default()
    };
    let stamped = server.stamp(event);
    assert_eq!(
        (&*envelope(&stamped).agent, &*envelope(&stamped).address),
        ("Visitor/1", "198.51.100.0")
    );
    assert!(call(&stamped).contains(r#""ip":"198.51.100.0""#));
    let day = 16_572;
    let address = "198.51.100.9".parse().ok();
    let expected = server.secret.visitor("shop", day, address, "Visitor/1");
    assert_eq!(
        envelope(&stamped).visitor.as_deref(),
        Some(expected.as_str())
    );
    let silent = server.stamp(r#"{"context":{"userAgent":""}}"#);
    assert_eq!(
        (&*envelope(&silent).agent, &*envelope(&silent).address),
        ("", "")
    );
    assert_eq!(envelope(&server.stamp("{}")).agent, "Agent/1");
}

#[test]
fn whole_addresses_reach_the_record_only_if_the_source_says_so() {
    let event = r#"{"messageId":"m","ip":"198.51.100.9","context":{"ip":"198.51.100.9"}}"#;
    let with = |address| {
        let mut request = Request::default();
        request.source.address = address;
        let stamped = request.stamp(event);
        (
            envelope(&stamped).address.into_owned(),
            call(&stamped).to_owned(),
        )
    };
    let (address, text) = with(AddressPolicy::Truncate);
    assert_eq!(address, "203.0.113.0");
    assert_eq!(
        text,
        r#"{"messageId":"m","ip":"198.51.100.0","context":{"ip":"198.51.100.0"}}"#
    );
    let (address, text) = with(AddressPolicy::Drop);
    assert_eq!(
        (address.as_str(), text.as_str()),
        ("", r#"{"messageId":"m","context":{}}"#)
    );
    let (address, text) = with(AddressPolicy::Keep);
    assert_eq!((address.as_str(), text.as_str()), ("203.0.113.77", event));
}

#[test]
fn rejected_events_lose_their_addresses_as_others_do() {
    let mut request = Request::batch(KeyClass::Browser);
    let event = r#"{"ip":["203.0.113.7","x"],"context":{"ip":"at[203.0.113.7"},"x":"1.2.3.4"}"#;
    assert_eq!(
        rejection(&request.stamp(event)).payload,
        r#"{"ip":["203.0.113.0"],"context":{},"x":"1.2.3.0"}"#
    );
    request.source.address = AddressPolicy::Keep;
    assert_eq!(rejection(&request.stamp(event)).payload, event);
}

#[test]
fn the_write_key_is_taken_out() {
    let stamped = Request::default().stamp(r#"{"messageId":"m","writeKey":"the-write-key"}"#);
    assert_eq!(call(&stamped), r#"{"messageId":"m"}"#);
    let request = Request::batch(KeyClass::Browser);
    let rejected = request.stamp(r#"{"a":1,"writeKey":"the-write-key"}"#);
    assert_eq!(rejection(&rejected).payload, r#"{"a":1}"#);
    let rejected = request.stamp(r#"{"writeKey":"the-write-key",}"#);
    assert_eq!(
        rejection(&rejected).payload,
        r#"{"writeKey":"[write key]",}"#
    );
}

#[test]
fn bad_events_of_a_batch_become_rejections_that_say_where_and_why() {
    let request = Request::batch(KeyClass::Browser);
    let cases: [(&[u8], RejectCode, &str, &str); 6] = [
        (
            b"{\"a\":NaN}",
            RejectCode::InvalidJson,
            "/batch/3",
            "line 1, column 6: expected value",
        ),
        (
            b"{\"a\":\"\xff\"}",
            RejectCode::InvalidJson,
            "/batch/3",
            "line 1, column 7: a byte that is no UTF-8",
        ),
        (
            b"5",
            RejectCode::NotAnObject,
            "/batch/3",
            "an event is an object; this is none",
        ),
        (
            b"{}",
            RejectCode::UnknownType,
            "/batch/3/type",
            "there is no type, a text: track, identify, page, screen, group or alias",
        ),
        (
            b"{\"type\":7}",
            RejectCode::UnknownType,
            "/batch/3/type",
            "there is no type, a text: track, identify, page, screen, group or alias",
        ),
        (
            b"{\"type\":\"Track\"}",
            RejectCode::UnknownType,
            "/batch/3/type",
            "type \"Track\" is none of track, identify, page, screen, group or alias",
        ),
    ];
    for (event, code, path, message) in cases {
        let stamped = request.stamp_at(event, Place::Batch(3));
        assert_eq!(stamped.rejected, Some(code));
        let rejection = rejection(&stamped);
        assert_eq!(
            (&*rejection.code, &*rejection.path, &*rejection.message),
            (code.as_str(), path, message)
        );
        assert_eq!(rejection.payload, String::from_utf8_lossy(event));
        assert_eq!(
            id_text(&stamped),
            id_text(&request.stamp(event)),
            "a repeat has the same id"
        );
    }
}

#[test]
fn a_too_large_event_keeps_its_id_key_and_the_head_of_its_text() {
    let event = format!(
        r#"{{"messageId":"m","userId":"u","ip":"203.0.113.77","x":"{}"}}"#,
        "ö".repeat(2 << 20)
    );
    let stamped = Request::default().stamp(&event);
    assert_eq!(stamped.rejected, Some(RejectCode::TooLarge));
    assert_eq!(
        (id_text(&stamped).as_str(), key(&stamped)),
        ("m", "shop\0u")
    );
    let rejection = rejection(&stamped);
    assert_eq!(
        rejection.message,
        format!("the event has {} bytes, the limit is 32768", event.len())
    );
    let payload = &rejection.payload;
    assert!(
        (16_380..=16_384).contains(&payload.len()),
        "{}",
        payload.len()
    );
    assert!(
        payload.starts_with(r#"{"messageId":"m","userId":"u","ip":"203.0.113.0","x":"öö"#),
        "{}",
        &payload[..80]
    );
}

#[test]
fn an_event_of_exactly_the_limit_is_taken() {
    let fill = |bytes: usize| format!(r#"{{"messageId":"m","x":"{}"}}"#, "x".repeat(bytes - 24));
    assert_eq!(fill(32_768).len(), 32_768);
    assert_eq!(Request::default().stamp(fill(32_768)).rejected, None);
    assert_eq!(
        Request::default().stamp(fill(32_769)).rejected,
        Some(RejectCode::TooLarge)
    );
}

#[test]
fn events_are_measured_before_and_after_they_inherit() {
    let text = |bytes: usize| -> &'static str {
        Box::leak(format!(r#"{{"b":"{}"}}"#, "x".repeat(bytes)).into_boxed_str())
    };
    let reject = |event: String, inherited: &'static str| {
        let request = Request {
            inherited: vec![("context", inherited)],
            ..Request::batch(KeyClass::Browser)
        };
        let stamped = request.stamp(event);
        assert_eq!(stamped.rejected, Some(RejectCode::TooLarge));
        let rejection = rejection(&stamped);
        (
            rejection.message.into_owned(),
            rejection.payload.contains("\"b\""),
        )
    };
    let event = |bytes: usize| {
        format!(
            r#"{{"type":"track","messageId":"m","x":"{}"}}"#,
            "x".repeat(bytes)
        )
    };
    let large = event(40_000);
    assert_eq!(
        reject(large.clone(), text(100)),
        (
            format!("the event has {} bytes, the limit is 32768", large.len()),
            false
        )
    );
    assert_eq!(
        reject(event(0), text(40_000)),
        (
            "what the batch says for all of its events has 40008 bytes, the limit of one event is 32768"
                .to_owned(),
            false
        )
    );
    let both = event(20_000).len() + text(20_000).len() + r#","context":"#.len();
    let (message, _) = reject(event(20_000), text(20_000));
    assert_eq!(
        message,
        format!("the event has {both} bytes, the limit is 32768")
    );
}

#[test]
fn an_event_of_any_depth_reaches_the_processor() {
    let deep = format!(
        r#"{{"messageId":"m","x":{}{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let stamped = Request::default().stamp(&deep);
    assert_eq!(call(&stamped), deep);
}

#[test]
fn what_kafka_finds_too_large_becomes_a_rejection() {
    let stamped = Request::default().stamp_at(
        format!(r#"{{"messageId":"m","x":"{}"}}"#, "x".repeat(30_000)),
        Place::Batch(2),
    );
    let smaller = reject_too_large(&stamped.record).unwrap();
    assert_eq!(
        (&smaller.key, smaller.topic),
        (&stamped.record.key, stamped.record.topic)
    );
    let rejected = Stamped {
        record: smaller,
        rejected: None,
    };
    let rejection = rejection(&rejected);
    assert_eq!(
        (&*rejection.code, &*rejection.path),
        ("too_large", "/batch/2")
    );
    assert_eq!(rejection.payload.len(), 16_384);
    assert_eq!(reject_too_large(&rejected.record), None);
}

#[test]
fn ids_of_any_length_leave_a_small_record() {
    let id = "i".repeat(1 << 20);
    let event =
        format!(r#"{{"messageId":"{id}","anonymousId":"{id}","type":"{id}","sentAt":"{id}"}}"#);
    for request in [Request::default(), Request::batch(KeyClass::Browser)] {
        let stamped = request.stamp(&event);
        assert_eq!(stamped.rejected, Some(RejectCode::TooLarge));
        assert!(stamped.record.value.len() < 20_000 && stamped.record.key.len() < 100);
        assert_eq!(stamped.record, request.stamp(&event).record);
    }
    let kept = "i".repeat(ID_MAX_BYTES);
    let event = format!(r#"{{"messageId":"{kept}","anonymousId":"{kept}"}}"#);
    let stamped = Request::default().stamp(&event);
    assert_eq!(
        (id_text(&stamped), key(&stamped)),
        (kept.clone(), format!("shop\0{kept}").as_str())
    );
}

#[test]
fn ids_that_the_event_schema_takes_are_kept_and_longer_ones_hashed() {
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../../schemas/common/event/1-0-0.json")).unwrap();
    let longest = &schema["properties"]["client_event_id"]["maxLength"];
    assert_eq!(longest.as_u64(), Some(ID_MAX_BYTES as u64));
    let long = "i".repeat(257);
    let stamped = Request::default().stamp(format!(r#"{{"messageId":"{long}"}}"#));
    assert_eq!(id_text(&stamped), blake3::hash(long.as_bytes()).to_string());
}

#[test]
fn agents_are_bounded() {
    let request = Request {
        agent: Box::leak("é".repeat(1000).into_boxed_str()),
        ..Request::default()
    };
    assert_eq!(envelope(&request.stamp("{}")).agent.len(), 1024);
}

proptest! {
    #[test]
    fn any_bytes_become_one_readable_record(bytes in prop::collection::vec(any::<u8>(), 0..200), index in any::<usize>()) {
        let stamped = Request::batch(KeyClass::Server).stamp_at(&bytes, Place::Batch(index));
        prop_assert!(Envelope::from_slice(&stamped.record.value).is_ok());
    }

    #[test]
    fn any_fields_become_one_readable_record(text in ".{0,30}", number in any::<f64>(), kind in "track|page|x") {
        let event = serde_json::json!({
            "type": kind, "messageId": text, "userId": number, "timestamp": text, "sentAt": text,
            "context": {"ip": text, "userAgent": text}, "properties": {&text: number},
        });
        for class in [KeyClass::Browser, KeyClass::Server] {
            let stamped = Request::batch(class).stamp(event.to_string());
            prop_assert!(Envelope::from_slice(&stamped.record.value).is_ok());
            prop_assert_eq!(stamped.rejected.is_some(), kind == "x");
        }
    }
}
