//! Takes out of an event what must not be kept: whole addresses, and the write key.
//!
//! Only the members concerned are rewritten; an event that holds none of them passes byte for byte.

use crate::address::{self, AddressPolicy};
use crate::json::{self, Elements, Members};

#[cfg(test)]
mod tests;

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
/// (`ip`, `$ip`, `request_ip`, `x-forwarded-for`, …, however they are written). Of a text, or a list of texts,
/// only the reduced addresses are left; a field that holds something else goes as a whole, for there is no telling
/// what address it hides. `event` must be valid JSON; anything else passes unchanged.
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
    if is_address_name(&name) {
        return change_address(value, policy);
    }
    if value.starts_with('{') {
        let inside = place
            .inside(&name)
            .and_then(|inside| reduce_object(value, policy, inside));
        return inside.map_or(Change::Keep, Change::Replace);
    }
    Change::Keep
}

/// Says what becomes of the value of an address field.
fn change_address(value: &str, policy: AddressPolicy) -> Change {
    if says_nothing(value) {
        return Change::Keep;
    }
    if policy == AddressPolicy::Drop {
        return Change::Drop;
    }
    let Some(mut elements) = Elements::open(value.as_bytes(), 0) else {
        return reduce_quoted(value, policy).map_or(Change::Drop, Change::Replace);
    };
    let mut reduced = Vec::new();
    while let Ok(Some(element)) = elements.next() {
        let element = &value[element];
        if says_nothing(element) {
            reduced.push(element.to_owned());
        } else {
            reduced.extend(reduce_quoted(element, policy));
        }
    }
    if reduced.is_empty() {
        return Change::Drop;
    }
    Change::Replace(format!("[{}]", reduced.join(",")))
}

/// Returns whether a value holds nothing that could be an address.
fn says_nothing(value: &str) -> bool {
    let inner = |open, close| value.strip_prefix(open)?.strip_suffix(close);
    let blank = |inner: Option<&str>| inner.is_some_and(|inner| inner.trim().is_empty());
    matches!(value, "null" | "true" | "false") || blank(inner('"', '"')) || blank(inner('[', ']'))
}

/// Returns the JSON of the addresses in a JSON text, reduced; `None` when there are none.
fn reduce_quoted(value: &str, policy: AddressPolicy) -> Option<String> {
    let text = json::string(value)?;
    let addresses: Vec<String> = text
        .split(SEPARATORS)
        .filter_map(|word| policy.reduce(address::parse(word)?))
        .map(|address| address.to_string())
        .collect();
    (!addresses.is_empty()).then(|| format!("\"{}\"", addresses.join(", ")))
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
