//! What becomes of calls: the rules that hold across the parts of the normaliser.

use crate::support::{RECEIVED_MS, accepted, failed, judge, judge_text};
use serde_json::{Value, json};
use weir_event::{Body, KeyClass, Reason, RejectCode, Rejected, bot, warning};

const HOUR_MS: i64 = 3_600_000;
const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

fn track(more: &Value) -> Value {
    let mut call = json!({"type": "track", "event": "Opened", "anonymousId": "a"});
    for (key, value) in more.as_object().unwrap() {
        call[key] = value.clone();
    }
    call
}

#[test]
fn a_uuid_sent_as_id_is_the_events_id() {
    let uuid = "0190163d-8694-739b-aea5-966c26f8ad91";
    let event = accepted(judge(&track(&json!({})), |envelope| {
        envelope.id = uuid.into()
    }));
    assert_eq!(
        (
            event.event_id.to_string().as_str(),
            event.client_event_id.as_str()
        ),
        (uuid, "")
    );
    let event = accepted(judge(&track(&json!({})), |_| {}));
    assert_eq!(
        (
            event.event_id.get_version_num(),
            event.client_event_id.as_str()
        ),
        (8, "m-1")
    );
}

#[test]
fn a_visitor_is_the_anonymous_id_else_the_user_else_the_cookieless_id() {
    let visitor = |more: Value| accepted(judge(&track(&more), |_| {})).visitor_id;
    let anonymous = visitor(json!({}));
    assert_eq!(
        visitor(json!({"userId": "u"})),
        anonymous,
        "before and after login"
    );
    let user = visitor(json!({"anonymousId": null, "userId": "u"}));
    let cookieless = visitor(json!({"anonymousId": " "}));
    assert!(anonymous != user && user != cookieless && cookieless != anonymous);
    let other = accepted(judge(&track(&json!({})), |envelope| {
        envelope.source = "other".into()
    }))
    .visitor_id;
    assert_ne!(anonymous, other);

    let nobody = judge(&track(&json!({"anonymousId": ""})), |envelope| {
        envelope.visitor = None
    });
    let failure = failed(nobody);
    assert_eq!(
        (failure.reason, &*failure.errors[0].path),
        (Reason::Protocol, "/anonymousId")
    );
}

#[test]
fn times_are_believed_as_far_as_the_key_allows() {
    let at = |class: KeyClass, ms: i64| {
        let call = track(&json!({"timestamp": ms}));
        let event = accepted(judge(&call, |envelope| envelope.key_class = class));
        (event.ts_ms, event.client_ts_ms, event.warnings)
    };
    let eight_days_ago = RECEIVED_MS - 8 * 24 * HOUR_MS;
    let clock = vec![warning::CLOCK.to_owned()];
    assert_eq!(
        at(KeyClass::Browser, eight_days_ago),
        (RECEIVED_MS, Some(eight_days_ago), clock.clone())
    );
    assert_eq!(
        at(KeyClass::Server, eight_days_ago),
        (eight_days_ago, Some(eight_days_ago), vec![])
    );
    assert_eq!(
        at(KeyClass::Server, RECEIVED_MS + 2 * HOUR_MS).0,
        RECEIVED_MS
    );

    for unreadable in [
        json!("yesterday"),
        json!("9999-01-01T00:00:00Z"),
        json!(1e300),
    ] {
        let event = accepted(judge(&track(&json!({"timestamp": unreadable})), |_| {}));
        assert_eq!(
            (event.ts_ms, event.client_ts_ms, event.warnings),
            (RECEIVED_MS, None, clock.clone())
        );
    }
    let call =
        track(&json!({"timestamp": null, "originalTimestamp": "2026-01-02T05:04:05.000+02:00"}));
    let event = accepted(judge(&call, |envelope| {
        envelope.sent_at = Some("2026-01-02T03:04:05.5Z".into())
    }));
    assert_eq!(
        (event.ts_ms, event.sent_at_ms),
        (RECEIVED_MS - 1_000, Some(RECEIVED_MS - 500))
    );
}

#[test]
fn only_server_keys_say_by_which_agent_and_address_the_visitor_came() {
    let call = track(&json!({"context": {"userAgent": GOOGLEBOT, "ip": "198.51.100.7"}}));
    let event = accepted(judge(&call, |_| {}));
    assert_eq!(
        (&*event.browser, event.is_bot, &*event.address),
        ("Firefox", false, "203.0.113.0")
    );
    assert_eq!(event.context["userAgent"], GOOGLEBOT);

    let event = accepted(judge(&call, |envelope| {
        envelope.key_class = KeyClass::Server
    }));
    assert_eq!(
        (&*event.browser, event.is_bot, &*event.address),
        ("Googlebot", true, "198.51.100.7")
    );
    assert_eq!(event.bot_reasons, [bot::SPIDER]);
    assert!(event.context.is_empty());
}

#[test]
fn no_agent_is_a_bot_and_a_backends_own_agent_is_nobodys() {
    let of = |class: KeyClass, agent: &'static str, context: Value| {
        let event = accepted(judge(&track(&json!({"context": context})), |envelope| {
            envelope.key_class = class;
            envelope.agent = agent.into();
        }));
        (event.agent, event.browser, event.bot_reasons)
    };
    assert_eq!(of(KeyClass::Browser, "", json!({})).2, [bot::NO_AGENT]);
    assert_eq!(of(KeyClass::Server, "", json!({})).2, [bot::NO_AGENT]);
    assert_eq!(
        of(KeyClass::Server, "Java/17", json!({"userAgent": ""})).2,
        [bot::NO_AGENT]
    );
    assert_eq!(
        of(KeyClass::Server, "Java/17", json!({})),
        ("Java/17".to_owned(), String::new(), vec![])
    );
    assert_eq!(of(KeyClass::Browser, GOOGLEBOT, json!({})).2, [bot::SPIDER]);
}

#[test]
fn names_are_normalised_and_those_of_calls_are_not_taken() {
    let event = accepted(judge(&track(&json!({"event": "Plan Selected"})), |_| {}));
    assert_eq!(
        (&*event.name, &*event.name_sent, &*event.schema_version),
        ("plan_selected", "Plan Selected", "track/1-0-0")
    );
    let event = accepted(judge(&track(&json!({"event": "Page"})), |_| {}));
    assert_eq!(
        (&*event.name, &*event.schema_version),
        ("page", "track/1-0-0")
    );
}

#[test]
fn what_the_dialect_does_not_know_is_kept_with_a_warning() {
    let event = accepted(judge(
        &track(&json!({"props": {"a": 1}, "_metadata": {}})),
        |_| {},
    ));
    assert_eq!(event.context["unknown_members"], json!({"props": {"a": 1}}));
    assert_eq!(event.warnings, [warning::UNKNOWN_MEMBER]);

    let event = accepted(judge_text(
        "track",
        r#"{"event":"a","event":"Opened","anonymousId":"a"}"#,
        |envelope| {
            envelope.warnings = vec![warning::NO_EVENT_ID.into()];
        },
    ));
    assert_eq!(
        (&*event.name, event.warnings),
        (
            "opened",
            vec![
                warning::NO_EVENT_ID.to_owned(),
                warning::DUPLICATE_KEY.to_owned()
            ]
        )
    );
}

#[test]
fn a_schemas_error_is_named_in_both_forms() {
    let failure = failed(judge(
        &json!({"type": "identify", "userId": "u", "traits": {"email": "x"}}),
        |_| {},
    ));
    assert_eq!(
        (failure.reason, &*failure.name),
        (Reason::SchemaInvalid, "identify")
    );
    assert_eq!(failure.errors[0].path, "/properties/email");
    assert_eq!(
        failure.errors[0].message,
        r#""x" does not match "^[^@\s]+@[^@\s]+$" (sent as /traits/email)"#
    );
    let failure = failed(judge(&json!({"type": "track", "anonymousId": "a"}), |_| {}));
    assert_eq!(
        failure.errors[0].message,
        "\"name\" is required (sent as /event)"
    );
}

#[test]
fn a_refusal_at_the_edge_is_a_failure_with_the_edges_words() {
    let reject = |code: &'static str| {
        failed(judge(&track(&json!({})), |envelope| {
            envelope.body = Body::Rejected(Rejected {
                code: code.into(),
                path: "/batch/3".into(),
                message: "35000 bytes, 32768 are allowed".into(),
                payload: "{\"type\":\"tra".into(),
            });
        }))
    };
    for code in RejectCode::ALL {
        assert_eq!(reject(code.as_str()).reason, code.reason());
    }
    let failure = reject("too_large");
    assert_eq!(failure.reason, Reason::Size);
    let error = &failure.errors[0];
    assert_eq!(
        (&*error.path, &*error.keyword, &*error.message),
        ("/batch/3", "too_large", "35000 bytes, 32768 are allowed")
    );
    assert_eq!(
        (&*failure.event_id, &*failure.source_id, &*failure.r#type),
        ("m-1", "shop", "track")
    );
    assert_eq!(reject("from_the_future").reason, Reason::Protocol);
}
