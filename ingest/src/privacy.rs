//! Takes out of an event what must not be kept: whole addresses, and the write key.
//!
//! Only the members concerned are rewritten; an event that holds none of them passes byte for byte.

use crate::address::{self, AddressPolicy};
use crate::json::{self, Members};

/// Names of address fields, lower case, without anything but letters and digits.
const ADDRESS_NAMES: [&str; 16] = [
    "addressip",
    "cip",
    "clientip",
    "ip",
    "ipaddress",
    "ipv4",
    "ipv6",
    "realip",
    "remoteaddr",
    "remoteaddress",
    "remoteip",
    "requestip",
    "userip",
    "visitorip",
    "xforwardedfor",
    "xrealip",
];

/// What stands between the addresses of a list.
const SEPARATORS: [char; 3] = [',', ' ', ';'];

/// Which object of an event is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The event itself.
    Event,
    /// Its context.
    Context,
    /// Properties and traits, whose own objects are left alone.
    Leaf,
}

impl Place {
    /// Returns what the object member `name` is to this object, if it is looked into at all.
    fn inside(self, name: &str) -> Option<Place> {
        match (self, name) {
            (Place::Event, "context") => Some(Place::Context),
            (Place::Event, "properties" | "traits")
            | (Place::Context, "traits" | "device" | "network") => Some(Place::Leaf),
            (Place::Event | Place::Context | Place::Leaf, _) => None,
        }
    }
}

/// Returns the event without write key and with its addresses reduced; `None` when nothing had to change.
///
/// Address fields are looked for in the event itself, its context, properties and traits, under the usual names
/// (`ip`, `$ip`, `request_ip`, `x-forwarded-for`, …, however they are written). A field is changed only if its
/// text holds an address. `event` must be valid JSON; anything else passes unchanged.
pub(crate) fn reduce(event: &str, policy: AddressPolicy) -> Option<String> {
    reduce_object(event, policy, Place::Event)
}

fn reduce_object(object: &str, policy: AddressPolicy, place: Place) -> Option<String> {
    let mut members = Members::open(object.as_bytes(), 0)?;
    // What was kept so far, once something was not kept as it is.
    let mut rewritten: Option<String> = None;
    let mut kept_until = 0;
    while let Ok(Some(member)) = members.next() {
        let (name, value) = (&object[member.name.clone()], &object[member.value.clone()]);
        let change = change(name, value, policy, place);
        if matches!(change, Change::Keep) {
            if let Some(text) = &mut rewritten {
                push_member(text, name, value);
            }
        } else {
            let text = rewritten.get_or_insert_with(|| object[..kept_until.max(1)].to_owned());
            if let Change::Replace(value) = change {
                push_member(text, name, &value);
            }
        }
        kept_until = member.value.end;
    }
    let mut text = rewritten?;
    text.push('}');
    Some(text)
}

fn push_member(text: &mut String, name: &str, value: &str) {
    if !text.ends_with('{') {
        text.push(',');
    }
    text.push_str(name);
    text.push(':');
    text.push_str(value);
}

enum Change {
    Keep,
    Drop,
    Replace(String),
}

fn change(quoted_name: &str, value: &str, policy: AddressPolicy, place: Place) -> Change {
    let Some(name) = json::string(quoted_name) else {
        return Change::Keep;
    };
    if place == Place::Event && name == "writeKey" {
        return Change::Drop;
    }
    if policy == AddressPolicy::Keep {
        return Change::Keep;
    }
    if value.starts_with('{') {
        let inside = place
            .inside(&name)
            .and_then(|inside| reduce_object(value, policy, inside));
        return inside.map_or(Change::Keep, Change::Replace);
    }
    if !value.starts_with('"') || !is_address_name(&name) {
        return Change::Keep;
    }
    let Some(text) = json::string(value) else {
        return Change::Keep;
    };
    match (reduce_list(&text, policy), policy) {
        (None, _) => Change::Keep,
        (Some(_), AddressPolicy::Drop) => Change::Drop,
        (Some(text), AddressPolicy::Truncate | AddressPolicy::Keep) => {
            serde_json::to_string(&text).map_or(Change::Drop, Change::Replace)
        }
    }
}

fn is_address_name(name: &str) -> bool {
    // Longer than any name of the list with its separators.
    if name.len() > 24 {
        return false;
    }
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    ADDRESS_NAMES.binary_search(&plain.as_str()).is_ok()
}

/// Reduces every address of a list as `X-Forwarded-For` has it; `None` when there is none in it.
fn reduce_list(text: &str, policy: AddressPolicy) -> Option<String> {
    let mut found = false;
    let mut reduced = String::with_capacity(text.len());
    for piece in text.split_inclusive(SEPARATORS) {
        let word = piece.trim_end_matches(SEPARATORS);
        match address::parse(word) {
            Some(address) => {
                found = true;
                if let Some(address) = policy.reduce(address) {
                    reduced.push_str(&address.to_string());
                }
                reduced.push_str(&piece[word.len()..]);
            }
            None => reduced.push_str(piece),
        }
    }
    found.then_some(reduced)
}

/// Reduces every quoted address in a text that need not be JSON: what is kept of a rejected event.
pub(crate) fn reduce_text(text: &str, policy: AddressPolicy) -> String {
    if policy == AddressPolicy::Keep {
        return text.to_owned();
    }
    let mut reduced = String::with_capacity(text.len());
    for (index, part) in text.split('"').enumerate() {
        if index > 0 {
            reduced.push('"');
        }
        // Long parts are no addresses, nor lists of a few.
        match (part.len() <= 256)
            .then(|| reduce_list(part, policy))
            .flatten()
        {
            Some(part) => reduced.push_str(&part),
            None => reduced.push_str(part),
        }
    }
    reduced
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn truncated(event: &str) -> String {
        reduce(event, AddressPolicy::Truncate).unwrap_or_else(|| event.to_owned())
    }

    #[test]
    fn the_list_of_names_is_sorted() {
        assert!(ADDRESS_NAMES.is_sorted());
    }

    #[test]
    fn an_event_without_addresses_passes_byte_for_byte() {
        let event = r#"{ "event" : "x", "context":{"ip": null,"page":{"url":"/"}},"properties":{"ip":"none","n":1.0} }"#;
        assert_eq!(reduce(event, AddressPolicy::Truncate), None);
        assert_eq!(reduce(event, AddressPolicy::Drop), None);
    }

    #[test]
    fn known_address_fields_are_truncated_wherever_they_stand() {
        assert_eq!(
            truncated(
                r#"{"ip":"203.0.113.7","request_ip":"203.0.113.7:80","context":{"a":1,"ip":"2001:db8:1:2::3","traits":{"IP_Address":"203.0.113.7"}},"properties":{"$ip":"203.0.113.7","x":2},"traits":{"ip":"1.2.3.4"}}"#
            ),
            r#"{"ip":"203.0.113.0","request_ip":"203.0.113.0","context":{"a":1,"ip":"2001:db8:1::","traits":{"IP_Address":"203.0.113.0"}},"properties":{"$ip":"203.0.113.0","x":2},"traits":{"ip":"1.2.3.0"}}"#
        );
    }

    #[test]
    fn lists_of_addresses_are_truncated_one_by_one() {
        assert_eq!(
            truncated(r#"{"context":{"X-Forwarded-For":"203.0.113.7, unknown,198.51.100.9"}}"#),
            r#"{"context":{"X-Forwarded-For":"203.0.113.0, unknown,198.51.100.0"}}"#
        );
    }

    #[test]
    fn dropping_removes_the_members() {
        let event = r#"{"ip":"203.0.113.7", "a":1 ,"context":{"ip":"203.0.113.7"},"properties":{"b":2,"ip":"203.0.113.7"}}"#;
        assert_eq!(
            reduce(event, AddressPolicy::Drop).as_deref(),
            Some(r#"{"a":1,"context":{},"properties":{"b":2}}"#)
        );
    }

    #[test]
    fn keeping_keeps_addresses_but_never_the_write_key() {
        let event = r#"{"writeKey":"secret","ip":"203.0.113.7"}"#;
        assert_eq!(
            reduce(event, AddressPolicy::Keep).as_deref(),
            Some(r#"{"ip":"203.0.113.7"}"#)
        );
        assert_eq!(
            reduce(r#"{"a":1, "writeKey":"secret" }"#, AddressPolicy::Drop).as_deref(),
            Some(r#"{"a":1}"#)
        );
        assert_eq!(
            reduce(r#"{"writeKey":"secret"}"#, AddressPolicy::Drop).as_deref(),
            Some("{}")
        );
    }

    #[test]
    fn names_written_with_escapes_are_seen() {
        assert_eq!(
            truncated(r#"{"\u0069p":"203.0.113.7"}"#),
            r#"{"\u0069p":"203.0.113.0"}"#
        );
        assert_eq!(
            truncated(r#"{"ip":"203.0.113.\u0037"}"#),
            r#"{"ip":"203.0.113.0"}"#
        );
    }

    #[test]
    fn repeated_members_are_all_reduced() {
        assert_eq!(
            truncated(r#"{"ip":"1.2.3.4","ip":"5.6.7.8"}"#),
            r#"{"ip":"1.2.3.0","ip":"5.6.7.0"}"#
        );
    }

    #[test]
    fn free_text_loses_its_quoted_addresses() {
        assert_eq!(
            reduce_text(
                r#"{"ip" "203.0.113.7", NaN, "1.2.3.4"#,
                AddressPolicy::Truncate
            ),
            r#"{"ip" "203.0.113.0", NaN, "1.2.3.0"#
        );
        assert_eq!(
            reduce_text(r#"{"ip":"203.0.113.7"}"#, AddressPolicy::Drop),
            r#"{"ip":""}"#
        );
    }

    proptest! {
        #[test]
        fn what_is_rewritten_is_json_and_differs_in_the_addresses_only(
            before in "[a-z]{1,3}", number in any::<u32>(), octets in any::<[u8; 4]>(), space in "[ \n]{0,2}"
        ) {
            let ip = IpAddr::from(octets);
            let event = format!(
                r#"{{{space}"{before}x"{space}:{space}{number}{space},{space}"context":{{"ip":"{ip}","n":[1,{{}}]}},"writeKey":"k"}}"#
            );
            let reduced = reduce(&event, AddressPolicy::Truncate).unwrap();
            let mut expected: serde_json::Value = serde_json::from_str(&event).unwrap();
            expected["context"]["ip"] = AddressPolicy::Truncate.reduce(ip).unwrap().to_string().into();
            expected.as_object_mut().unwrap().remove("writeKey");
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&reduced).unwrap(), expected);
        }

        #[test]
        fn any_text_is_reduced_without_a_panic(text in ".{0,80}") {
            drop(reduce(&text, AddressPolicy::Drop));
            drop(reduce_text(&text, AddressPolicy::Truncate));
        }
    }
}
