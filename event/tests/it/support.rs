//! Records to put to the evaluator.

use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::{Arc, LazyLock};
use weir_event::{Body, Envelope, Evaluator, Event, Failure, KeyClass, Record, Verdict};
use weir_schemas::Registry;

/// 2026-01-02T03:04:06Z.
pub(crate) const RECEIVED_MS: i64 = 1_767_323_046_000;
/// When the broker appended the record: a little later.
pub(crate) const APPENDED_MS: i64 = RECEIVED_MS + 40;

pub(crate) const FIREFOX: &str =
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

static EVALUATOR: LazyLock<Evaluator> =
    LazyLock::new(|| Evaluator::new(Arc::new(Registry::embedded().unwrap())).unwrap());

pub(crate) fn evaluator() -> &'static Evaluator {
    &EVALUATOR
}

/// An envelope as the collector writes it for a browser of the source `shop`.
pub(crate) fn envelope<'a>(kind: &'a str, call: &'a RawValue) -> Envelope<'a> {
    Envelope {
        id: "m-1".into(),
        source: "shop".into(),
        platform: "web".into(),
        key_class: KeyClass::Browser,
        r#type: kind.into(),
        received_at_ms: RECEIVED_MS,
        sent_at: None,
        agent: FIREFOX.into(),
        address: "203.0.113.0".into(),
        visitor: Some("0123456789abcdef0123456789abcdef".into()),
        warnings: Vec::new(),
        body: Body::Call(call),
    }
}

pub(crate) fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

/// The verdict on a record with this value.
pub(crate) fn evaluate(payload: &[u8]) -> Verdict {
    let record = Record {
        topic: "events.web",
        partition: 0,
        offset: 7,
        timestamp_ms: APPENDED_MS,
        key: None,
        payload,
    };
    let verdict = evaluator().evaluate(&record);
    assert_eq!(
        verdict.received_at_ms(),
        weir_event::received_at_ms(payload, APPENDED_MS),
        "both ways to tell the arrival agree"
    );
    verdict
}

/// The verdict on a call, in an envelope that `edit` may change.
pub(crate) fn judge(call: &Value, edit: impl FnOnce(&mut Envelope<'_>)) -> Verdict {
    judge_text(
        call["type"].as_str().unwrap_or("track"),
        &call.to_string(),
        edit,
    )
}

pub(crate) fn judge_text(kind: &str, call: &str, edit: impl FnOnce(&mut Envelope<'_>)) -> Verdict {
    let call = raw(call);
    let mut envelope = envelope(kind, &call);
    edit(&mut envelope);
    evaluate(&envelope.to_vec().unwrap())
}

pub(crate) fn accepted(verdict: Verdict) -> Event {
    match verdict {
        Verdict::Accepted(event) => *event,
        Verdict::Failed(failure) => panic!("{}: {:?}", failure.reason, failure.errors),
    }
}

pub(crate) fn failed(verdict: Verdict) -> Failure {
    match verdict {
        Verdict::Failed(failure) => {
            assert!(!failure.errors.is_empty(), "a failure says what is wrong");
            *failure
        }
        Verdict::Accepted(event) => panic!("accepted: {event:?}"),
    }
}
