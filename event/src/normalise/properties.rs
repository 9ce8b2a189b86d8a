//! What is particular to each call: its name, its traits or properties, and where its leftover members go.

use super::fields::{Members, give_back, take_object};
use super::name::snake_case;
use crate::event::EventType;
use serde_json::{Map, Value};

/// Members that steer delivery and say nothing about what happened. They are dropped without a word; the raw
/// topic still has them.
const TRANSPORT: [&str; 13] = [
    "type",
    "messageId",
    "writeKey",
    "api_key",
    "token",
    "sentAt",
    "receivedAt",
    "timestamp",
    "originalTimestamp",
    "channel",
    "version",
    "_metadata",
    "request_ip",
];

/// Member of the canonical context that holds the members of a call which the dialect does not know.
const UNKNOWN_MEMBERS: &str = "unknown_members";

/// What a call is called: the canonical name and the one that was sent.
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) sent: String,
}

/// Takes the call's name. A track call is named by its event; the others by their type, and a page's or
/// screen's own name is what was sent.
pub(crate) fn name(kind: EventType, members: &mut Members) -> Name {
    match kind {
        EventType::Track => {
            let sent = members.text("event");
            Name {
                name: snake_case(&sent),
                sent,
            }
        }
        EventType::Page | EventType::Screen => Name {
            name: kind.as_str().to_owned(),
            sent: members.text("name"),
        },
        EventType::Identify | EventType::Group | EventType::Alias => Name {
            name: kind.as_str().to_owned(),
            sent: String::new(),
        },
    }
}

/// Takes the call's properties. Identify and group calls are described by their traits; some SDKs send those
/// of an identify call in the context. A page's or screen's name and category are properties as well, as the
/// dialect has it.
pub(crate) fn properties(
    kind: EventType,
    members: &mut Members,
    context: &mut Map<String, Value>,
    sent: &str,
) -> Map<String, Value> {
    let mut properties = members.object("properties");
    match kind {
        EventType::Identify | EventType::Group => {
            let mut traits = members.object("traits");
            if kind == EventType::Identify {
                add_missing(&mut traits, take_object(context, "traits"));
            }
            add_missing(&mut traits, properties);
            traits
        }
        EventType::Page | EventType::Screen => {
            let category = members.text("category");
            for (key, text) in [("name", sent), ("category", &category)] {
                if !text.is_empty() && !properties.contains_key(key) {
                    properties.insert(key.to_owned(), text.into());
                }
            }
            properties
        }
        EventType::Track | EventType::Alias => properties,
    }
}

/// Whether a call had members that the dialect does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leftover {
    None,
    Unknown,
}

/// Moves what is left of a call into its context: `integrations` under its own name, unknown members under
/// [`UNKNOWN_MEMBERS`].
pub(crate) fn leftover(members: &mut Members, context: &mut Map<String, Value>) -> Leftover {
    let mut rest = std::mem::take(&mut members.map);
    for key in TRANSPORT {
        rest.remove(key);
    }
    let integrations = take_object(&mut rest, "integrations");
    if !context.contains_key("integrations") {
        give_back(context, "integrations", integrations);
    }
    rest.retain(|_, value| !value.is_null());
    if rest.is_empty() {
        return Leftover::None;
    }
    context.insert(UNKNOWN_MEMBERS.to_owned(), Value::Object(rest));
    Leftover::Unknown
}

fn add_missing(map: &mut Map<String, Value>, more: Map<String, Value>) {
    for (key, value) in more {
        map.entry(key).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    fn members(value: Value) -> Members {
        Members {
            map: map(value),
            ..Members::default()
        }
    }

    #[test]
    fn traits_describe_identify_and_group_calls_wherever_they_were_sent() {
        let mut context = map(json!({"traits": {"plan": "old", "age": 5}, "os": {}}));
        let mut call = members(json!({"traits": {"plan": "pro"}, "properties": {"extra": 1}}));
        let found = properties(EventType::Identify, &mut call, &mut context, "");
        assert_eq!(found, map(json!({"plan": "pro", "age": 5, "extra": 1})));
        assert_eq!(context, map(json!({"os": {}})));

        let mut context = map(json!({"traits": {"plan": "old"}}));
        let mut call = members(json!({"properties": {"total": 1}}));
        assert_eq!(
            properties(EventType::Track, &mut call, &mut context, ""),
            map(json!({"total": 1}))
        );
        assert!(context.contains_key("traits"));
    }

    #[test]
    fn a_pages_name_and_category_are_properties_unless_it_has_them() {
        let mut call =
            members(json!({"name": "Home", "category": "Docs", "properties": {"category": "own"}}));
        let sent = name(EventType::Page, &mut call);
        assert_eq!((&*sent.name, &*sent.sent), ("page", "Home"));
        let found = properties(EventType::Page, &mut call, &mut Map::new(), &sent.sent);
        assert_eq!(found, map(json!({"name": "Home", "category": "own"})));
    }

    #[test]
    fn unknown_members_are_kept_in_the_context_and_transport_is_not() {
        let mut context = Map::new();
        let mut call = members(
            json!({"writeKey": "secret", "sentAt": "x", "integrations": {"All": false}, "props": {"a": 1}, "nothing": null}),
        );
        assert_eq!(leftover(&mut call, &mut context), Leftover::Unknown);
        assert_eq!(
            context,
            map(json!({"integrations": {"All": false}, "unknown_members": {"props": {"a": 1}}}))
        );
        let mut context = Map::new();
        assert_eq!(
            leftover(
                &mut members(json!({"_metadata": {"a": 1}, "integrations": {}})),
                &mut context
            ),
            Leftover::None
        );
        assert!(context.is_empty());
    }
}
