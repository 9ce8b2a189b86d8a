//! Taking fields out of the objects a client sent.
//!
//! What is used for a field of the canonical event leaves its object, so that nothing is stored twice; what
//! cannot be used stays where it was, so that nothing is lost.

use crate::decode::kind;
use serde_json::{Map, Value};
use weir_schemas::FieldError;

/// Takes the text `key` out of `map`; empty when it is absent or no text.
pub(crate) fn take_text(map: &mut Map<String, Value>, key: &str) -> String {
    match map.get_mut(key) {
        Some(Value::String(text)) => {
            let text = std::mem::take(text);
            map.remove(key);
            text
        }
        _ => String::new(),
    }
}

/// Takes `key` out of `map` when its value is this very text: it is stored already.
pub(crate) fn take_same(map: &mut Map<String, Value>, key: &str, text: &str) {
    if map.get(key).and_then(Value::as_str) == Some(text) {
        map.remove(key);
    }
}

/// Takes the first text `key` that is not empty out of `maps`, and the same text out of those that follow.
pub(crate) fn take_first(maps: &mut [&mut Map<String, Value>], key: &str) -> String {
    let mut found = String::new();
    for map in maps {
        if found.is_empty() {
            found = take_text(map, key);
        } else {
            take_same(map, key, &found);
        }
    }
    found
}

/// Takes the object `key` out of `map`; empty when it is absent or no object.
pub(crate) fn take_object(map: &mut Map<String, Value>, key: &str) -> Map<String, Value> {
    match map.get_mut(key) {
        Some(Value::Object(object)) => {
            let object = std::mem::take(object);
            map.remove(key);
            object
        }
        _ => Map::new(),
    }
}

/// Puts what is left of an object back where [`take_object`] found it.
pub(crate) fn give_back(map: &mut Map<String, Value>, key: &str, rest: Map<String, Value>) {
    if !rest.is_empty() {
        map.insert(key.to_owned(), Value::Object(rest));
    }
}

/// The members of a call, and what is wrong with those that must be of one type.
#[derive(Debug, Default)]
pub(crate) struct Members {
    pub(crate) map: Map<String, Value>,
    pub(crate) errors: Vec<FieldError>,
}

impl Members {
    /// Takes an id: a text, or an integer, which many backends use for ids. Blank is absent.
    pub(crate) fn id(&mut self, key: &str) -> String {
        match self.map.remove(key) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) if text.trim().is_empty() => String::new(),
            Some(Value::String(text)) => text,
            Some(Value::Number(number)) if !number.is_f64() => number.to_string(),
            Some(other) => {
                self.wrong_type(key, "a text", &other);
                String::new()
            }
        }
    }

    /// Takes a text.
    pub(crate) fn text(&mut self, key: &str) -> String {
        match self.map.remove(key) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text,
            Some(other) => {
                self.wrong_type(key, "a text", &other);
                String::new()
            }
        }
    }

    /// Takes an object.
    pub(crate) fn object(&mut self, key: &str) -> Map<String, Value> {
        match self.map.remove(key) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(object)) => object,
            Some(other) => {
                self.wrong_type(key, "an object", &other);
                Map::new()
            }
        }
    }

    /// Takes a time, which is a text or a number; whether it can be read is looked at later.
    pub(crate) fn time(&mut self, key: &str) -> Option<Value> {
        match self.map.remove(key) {
            None | Some(Value::Null) => None,
            Some(time @ (Value::String(_) | Value::Number(_))) => Some(time),
            Some(other) => {
                self.wrong_type(key, "a time, as a text or a number", &other);
                None
            }
        }
    }

    fn wrong_type(&mut self, key: &str, expected: &str, found: &Value) {
        let message = format!("{key} must be {expected}, this one is {}", kind(found));
        self.errors
            .push(FieldError::new(format!("/{key}"), "type", message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_is_used_leaves_and_what_is_not_stays() {
        let mut first = map(json!({"url": "", "title": 5}));
        let mut second = map(json!({"url": "/a", "title": "T"}));
        let mut third = map(json!({"url": "/a", "title": "other"}));
        let mut maps = [&mut first, &mut second, &mut third];
        assert_eq!(take_first(&mut maps, "url"), "/a");
        assert_eq!(take_first(&mut maps, "title"), "T");
        assert_eq!(
            (first, second, third),
            (
                map(json!({"title": 5})),
                Map::new(),
                map(json!({"title": "other"}))
            )
        );
    }

    #[test]
    fn ids_are_texts_or_integers() {
        let mut members = Members {
            map: map(
                json!({"a": "x", "b": 18_446_744_073_709_551_615_u64, "c": -7, "d": null, "e": "  ", "f": 1.5, "g": true, "h": ["x"]}),
            ),
            ..Members::default()
        };
        let ids = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|key| members.id(key));
        assert_eq!(
            ids,
            ["x", "18446744073709551615", "-7", "", "", "", "", "", ""]
        );
        let wrong: Vec<_> = members
            .errors
            .iter()
            .map(|error| error.path.as_str())
            .collect();
        assert_eq!(wrong, ["/f", "/g", "/h"]);
        assert_eq!(
            members.errors[2].message,
            "h must be a text, this one is an array"
        );
    }
}
