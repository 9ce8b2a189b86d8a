//! One event as the collector sees it: valid JSON, and the few fields that routing needs.
//!
//! What a field means is not known here; a field of the wrong type counts as absent, and the processor says so.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::value::RawValue;

use crate::json::{self, Members};

/// Why the bytes of an event are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// They are no JSON; says where and why.
    InvalidJson(String),
    /// They are JSON, but no object.
    NotAnObject,
}

/// One event.
#[derive(Debug)]
pub(crate) struct Item<'a> {
    /// Its text, without white space around it.
    pub(crate) raw: &'a RawValue,
    /// Its fields.
    pub(crate) fields: Fields<'a>,
}

/// The fields that routing needs. Of repeated members the last one counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields<'a> {
    /// `type`, if it is a text.
    pub(crate) kind: Option<Cow<'a, str>>,
    /// `messageId`.
    pub(crate) message_id: Option<Cow<'a, str>>,
    /// `anonymousId`.
    pub(crate) anonymous_id: Option<Cow<'a, str>>,
    /// `userId`.
    pub(crate) user_id: Option<Cow<'a, str>>,
    /// The JSON of `timestamp`, if it is a text or number.
    pub(crate) timestamp: Option<&'a str>,
    /// The JSON of `originalTimestamp`, if it is a text or number.
    pub(crate) original_timestamp: Option<&'a str>,
    /// Whether there is a `nonce`.
    pub(crate) has_nonce: bool,
    /// `sentAt`, if it is a text.
    pub(crate) sent_at: Option<Cow<'a, str>>,
    /// `writeKey`, if it is a text.
    pub(crate) write_key: Option<Cow<'a, str>>,
    /// The JSON of `context`.
    pub(crate) context: Option<&'a str>,
}

impl<'a> Item<'a> {
    /// Reads the text of an event.
    ///
    /// # Errors
    ///
    /// It is no JSON object in UTF-8.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Item<'a>, Flaw> {
        let raw = strict(bytes)?;
        if !raw.get().starts_with('{') {
            return Err(Flaw::NotAnObject);
        }
        Ok(Item {
            raw,
            fields: Fields::read(raw.get()),
        })
    }
}

/// Returns bytes as one JSON value, checked to its last byte, at any depth and without recursion.
///
/// # Errors
///
/// They are none.
pub(crate) fn strict(bytes: &[u8]) -> Result<&RawValue, Flaw> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (line, column) = json::line_and_column(bytes, error.valid_up_to());
        Flaw::InvalidJson(format!(
            "line {line}, column {column}: a byte that is no UTF-8"
        ))
    })?;
    serde_json::from_str(text).map_err(|error| {
        // The parser's text ends in the position, which is said first here.
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or_default();
        Flaw::InvalidJson(format!(
            "line {}, column {}: {what}",
            error.line(),
            error.column()
        ))
    })
}

impl<'a> Fields<'a> {
    fn read(event: &'a str) -> Fields<'a> {
        let mut fields = Fields::default();
        for (name, value) in members(event) {
            match &*name {
                "type" => fields.kind = json::string(value),
                "messageId" => fields.message_id = id(value),
                "anonymousId" => fields.anonymous_id = id(value),
                "userId" => fields.user_id = id(value),
                "timestamp" => fields.timestamp = scalar(value),
                "originalTimestamp" => fields.original_timestamp = scalar(value),
                "nonce" => fields.has_nonce = scalar(value).is_some_and(|nonce| nonce != "\"\""),
                "sentAt" => fields.sent_at = json::string(value),
                "writeKey" => fields.write_key = json::string(value),
                "context" => fields.context = Some(value),
                _ => {}
            }
        }
        fields
    }

    /// Says whether the event carries something that two different events would not share.
    pub(crate) fn tells_events_apart(&self) -> bool {
        let times = [self.timestamp, self.original_timestamp];
        self.has_nonce || times.into_iter().flatten().any(|time| time != "\"\"")
    }

    /// Returns the text of a member of the context.
    pub(crate) fn context_text(&self, name: &str) -> Option<Cow<'a, str>> {
        let context = self.context?;
        members(context)
            .filter(|(member, _)| member == name)
            .last()
            .and_then(|(_, value)| json::string(value))
    }
}

/// Returns names and values of an object's members; nothing for other values.
pub(crate) fn members(object: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    ranges(object).filter_map(|(name, value)| Some((json::string(&object[name])?, &object[value])))
}

/// Returns where names and values of an object's members stand.
pub(crate) fn ranges(object: &str) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let mut members = Members::open(object.as_bytes(), 0);
    std::iter::from_fn(move || {
        let member = members.as_mut()?.next().ok()??;
        Some((member.name, member.value))
    })
}

/// Returns an id: a text that is not blank, or a number as it is written.
fn id(value: &str) -> Option<Cow<'_, str>> {
    if value.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Some(Cow::Borrowed(value));
    }
    json::string(value).filter(|text| !text.trim().is_empty())
}

/// Returns the JSON of a text or number.
fn scalar(value: &str) -> Option<&str> {
    value
        .starts_with(|first: char| matches!(first, '"' | '-' | '0'..='9'))
        .then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_fields_that_routing_needs_are_read() {
        let text = br#" {"type":"page","messageId":"m","anonymousId":"a\u0062","userId":42,"timestamp":"2026-01-02T03:04:05Z",
            "originalTimestamp":null,"nonce":1,"sentAt":"s","writeKey":"k","context":{"ip":"1.2.3.4","n":[{}]},"x":{"userId":"no"}} "#;
        let item = Item::read(text).unwrap();
        assert!(item.raw.get().starts_with('{') && item.raw.get().ends_with('}'));
        let fields = item.fields;
        assert_eq!(fields.kind.as_deref(), Some("page"));
        assert_eq!(fields.message_id.as_deref(), Some("m"));
        assert_eq!(fields.anonymous_id.as_deref(), Some("ab"));
        assert_eq!(fields.user_id.as_deref(), Some("42"));
        assert_eq!(fields.timestamp, Some("\"2026-01-02T03:04:05Z\""));
        assert_eq!(fields.original_timestamp, None);
        assert!(fields.has_nonce && fields.tells_events_apart());
        assert_eq!(fields.sent_at.as_deref(), Some("s"));
        assert_eq!(fields.write_key.as_deref(), Some("k"));
        assert_eq!(fields.context_text("ip").as_deref(), Some("1.2.3.4"));
        assert_eq!(fields.context_text("n"), None);
    }

    #[test]
    fn of_repeated_members_the_last_one_counts() {
        let item =
            Item::read(br#"{"messageId":"a","messageId":"b","userId":"u","userId":null}"#).unwrap();
        assert_eq!(item.fields.message_id.as_deref(), Some("b"));
        assert_eq!(item.fields.user_id, None);
    }

    #[test]
    fn fields_of_the_wrong_type_count_as_absent() {
        let item = Item::read(
            br#"{"type":1,"messageId":{},"anonymousId":"\ud800","userId":" ","timestamp":{},"nonce":""}"#,
        )
        .unwrap();
        assert_eq!(item.fields, Fields::default());
        assert!(!item.fields.tells_events_apart());
    }

    #[test]
    fn what_is_no_event_says_where() {
        let invalid = |text: &str| Err(Flaw::InvalidJson(text.to_owned()));
        let read = |bytes: &'static [u8]| Item::read(bytes).map(|item| item.raw.get());
        assert_eq!(
            read(b"{\n\"a\":NaN}"),
            invalid("line 2, column 5: expected value")
        );
        assert_eq!(
            read(b"{\"a\":\"\xff\"}"),
            invalid("line 1, column 7: a byte that is no UTF-8")
        );
        assert_eq!(
            read(b"{\"a\":1"),
            invalid("line 1, column 6: EOF while parsing an object")
        );
        assert_eq!(
            read(b"{\"a\":\"\x00\"}"),
            invalid(
                "line 1, column 6: control character (\\u0000-\\u001F) found while parsing a string"
            )
        );
        assert_eq!(read(b"[]"), Err(Flaw::NotAnObject));
        assert_eq!(read(b"5"), Err(Flaw::NotAnObject));
    }

    #[test]
    fn depth_is_no_flaw_and_needs_no_stack() {
        let deep = format!(
            "{{\"messageId\":\"m\",\"a\":{}{}}}",
            "[".repeat(1_000_000),
            "]".repeat(1_000_000)
        );
        assert_eq!(
            Item::read(deep.as_bytes())
                .unwrap()
                .fields
                .message_id
                .as_deref(),
            Some("m")
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(Item::read(&bytes));
        }

        #[test]
        fn the_fields_agree_with_a_full_parse(id in ".{0,20}", user in any::<i64>(), noise in ".{0,20}") {
            let value = serde_json::json!({ &noise: { "messageId": "x" }, "messageId": id, "userId": user });
            let text = value.to_string();
            let item = Item::read(text.as_bytes()).unwrap();
            let expected = value["messageId"].as_str().filter(|id| !id.trim().is_empty());
            prop_assert_eq!(item.fields.message_id.as_deref(), expected);
            let user = value["userId"].to_string();
            prop_assert_eq!(item.fields.user_id.as_deref(), Some(user.as_str()));
        }
    }
}
