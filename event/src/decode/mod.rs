//! From bytes to an envelope and the call in it.
//!
//! Strict and bounded: whatever a producer puts into Kafka ends here as a call within [`Limits`] or as a
//! refusal with a reason, a place and a message. What the call means is none of this stage's business.

mod limits;
mod parse;
mod paths;
mod refusal;
mod tokens;

pub use limits::Limits;
pub(crate) use parse::{Parsed, parse};
pub(crate) use paths::conflict;
pub(crate) use refusal::{Refusal, excerpt};

use crate::envelope::{Envelope, EnvelopeError};
use crate::failure::Reason;
use serde_json::{Map, Value};

/// A call as the client sent it.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) fields: Map<String, Value>,
    pub(crate) duplicate_keys: bool,
    pub(crate) dotted_keys: bool,
}

/// Reads the record's value as an envelope, which is UTF-8 throughout.
pub(crate) fn envelope<'a>(payload: &'a [u8], limits: &Limits) -> Result<Envelope<'a>, Refusal> {
    let text = utf8(payload)?;
    Envelope::from_slice(payload).map_err(|error| no_envelope(text, &error, limits))
}

/// Returns when a record counts as received, Unix milliseconds, without judging it: the same time that its
/// verdict will have.
pub fn received_at_ms(payload: &[u8], timestamp_ms: i64) -> i64 {
    let envelope = std::str::from_utf8(payload)
        .ok()
        .and_then(|_| Envelope::from_slice(payload).ok());
    envelope.map_or_else(
        || arrival_ms(timestamp_ms),
        |envelope| envelope.received_at_ms,
    )
}

/// When a record that is no envelope counts as received. A record without a timestamp has -1.
pub(crate) fn arrival_ms(timestamp_ms: i64) -> i64 {
    timestamp_ms.max(0)
}

fn utf8(payload: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(payload).map_err(|error| {
        let at = error.valid_up_to();
        let byte = payload.get(at).copied().unwrap_or_default();
        let message =
            format!("not UTF-8: the byte 0x{byte:02x} at offset {at} begins no character");
        Refusal::new(Reason::Decode, "", "utf8", message)
    })
}

/// Says why a text is no envelope: rather that it is not JSON, and where, than the shape that is missing.
fn no_envelope(text: &str, error: &EnvelopeError, limits: &Limits) -> Refusal {
    let readable = match parse(text, limits) {
        Ok(parsed) => parsed.value,
        Err(refusal) => return refusal,
    };
    let (path, what) = match error {
        EnvelopeError::Field { path, message } => (*path, message.clone()),
        EnvelopeError::Json(error) => ("", error.to_string()),
    };
    let hint = if readable.is_object() {
        "records on this topic come from the collector"
    } else {
        "an envelope is a JSON object that the collector writes"
    };
    Refusal::new(
        Reason::Protocol,
        path,
        "envelope",
        format!("not an envelope: {what}; {hint}"),
    )
}

/// Reads the client's call.
pub(crate) fn call(text: &str, limits: &Limits) -> Result<Call, Refusal> {
    let Parsed {
        value,
        duplicate_keys,
        dotted_keys,
    } = parse(text, limits)?;
    match value {
        Value::Object(fields) => Ok(Call {
            fields,
            duplicate_keys,
            dotted_keys,
        }),
        other => {
            let message = format!("a call is a JSON object, this one is {}", kind(&other));
            Err(Refusal::new(Reason::Protocol, "", "type", message))
        }
    }
}

/// Returns what kind of value it is, for a message.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(payload: &[u8]) -> (Reason, String, String) {
        let refusal = envelope(payload, &Limits::default()).unwrap_err();
        let error = refusal.errors.into_iter().next().unwrap();
        (refusal.reason, error.keyword, error.message)
    }

    #[test]
    fn what_is_not_an_envelope_is_told_what_it_is() {
        let cases: [(&[u8], Reason, &str, &str); 8] = [
            (
                b"",
                Reason::Decode,
                "json",
                "not JSON: the text ends at byte 0, a value is missing; it seems cut off",
            ),
            (
                b"{\"v\":1,\"id\":\"\xff\"}",
                Reason::Decode,
                "utf8",
                "not UTF-8: the byte 0xff at offset 13 begins no character",
            ),
            (
                b"{\"v\":1,\"id\":\"a",
                Reason::Decode,
                "json",
                "not JSON: the text ends at byte 14, a text is not closed; it seems cut off",
            ),
            (
                b"hello",
                Reason::Decode,
                "json",
                "not JSON: expected a value, found 'h' at byte 0",
            ),
            (
                b"[1,2]",
                Reason::Protocol,
                "envelope",
                "an envelope is a JSON object",
            ),
            (
                b"{\"type\":\"track\"}",
                Reason::Protocol,
                "envelope",
                "not an envelope: missing field `v`",
            ),
            (
                b"{\"a.b\":1,\"a\":{\"b\":2}}",
                Reason::Protocol,
                "envelope",
                "missing field `v`",
            ),
            (
                b"{\"a\":1e999}",
                Reason::Decode,
                "number_range",
                "the number 1e999 is beyond the range",
            ),
        ];
        for (payload, reason, keyword, message) in cases {
            let found = refused(payload);
            assert_eq!(
                (found.0, found.1.as_str()),
                (reason, keyword),
                "{}",
                String::from_utf8_lossy(payload)
            );
            assert!(found.2.contains(message), "{}", found.2);
        }
    }

    #[test]
    fn a_call_that_is_no_object_is_refused() {
        let refusal = call("[1]", &Limits::default()).unwrap_err();
        assert_eq!(refusal.reason, Reason::Protocol);
        assert_eq!(
            refusal.errors[0].message,
            "a call is a JSON object, this one is an array"
        );
    }
}
