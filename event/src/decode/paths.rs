//! Two values for one path, as ClickHouse's JSON type sees it.
//!
//! It joins nested names by dots, so `{"a.b":1}` and `{"a":{"b":2}}` are one path, and it refuses the row
//! that has both. A null and an empty object have no path; an array is one value, and each object inside it
//! is a document of its own.

use super::refusal::{Step, pointer};
use serde_json::{Map, Value};
use std::collections::HashMap;
use weir_schemas::FieldError;

/// Returns an error at the second of the first two values below `root` whose paths are equal once joined by
/// dots.
pub(crate) fn conflict(map: &Map<String, Value>, root: &'static str) -> Option<FieldError> {
    let mut steps = vec![Step::Key(root.into())];
    document(map, &mut steps)
}

fn document<'a>(map: &'a Map<String, Value>, steps: &mut Vec<Step<'a>>) -> Option<FieldError> {
    let mut paths = Paths::default();
    paths.members(map, steps)
}

/// The paths of one document.
#[derive(Default)]
struct Paths {
    /// Names from the document's root to here, joined by dots; `None` at the root.
    joined: Option<String>,
    /// Pointer of the value at each joined path.
    seen: HashMap<String, String>,
}

impl Paths {
    fn members<'a>(
        &mut self,
        map: &'a Map<String, Value>,
        steps: &mut Vec<Step<'a>>,
    ) -> Option<FieldError> {
        for (key, value) in map {
            let parent = self.joined.clone();
            self.joined = Some(match &parent {
                Some(parent) => format!("{parent}.{key}"),
                None => key.clone(),
            });
            steps.push(Step::Key(key.as_str().into()));
            let found = match value {
                Value::Null => None,
                Value::Object(inner) => self.members(inner, steps),
                Value::Array(items) => self.leaf(steps).or_else(|| elements(items, steps)),
                Value::Bool(_) | Value::Number(_) | Value::String(_) => self.leaf(steps),
            };
            if found.is_some() {
                return found;
            }
            steps.pop();
            self.joined = parent;
        }
        None
    }

    fn leaf(&mut self, steps: &[Step<'_>]) -> Option<FieldError> {
        let joined = self.joined.clone().unwrap_or_default();
        let here = pointer(steps);
        let other = self.seen.insert(joined.clone(), here.clone())?;
        let message = format!(
            "has the same path {joined:?} as {other} once nested names are joined by dots; rename one of them"
        );
        Some(FieldError::new(here, "path_conflict", message))
    }
}

fn elements<'a>(items: &'a [Value], steps: &mut Vec<Step<'a>>) -> Option<FieldError> {
    for (index, item) in items.iter().enumerate() {
        steps.push(Step::Index(index));
        let found = match item {
            Value::Object(map) => document(map, steps),
            Value::Array(items) => elements(items, steps),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        };
        if found.is_some() {
            return found;
        }
        steps.pop();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conflict_in(text: &str) -> Option<String> {
        let map: Map<String, Value> = serde_json::from_str(text).unwrap();
        conflict(&map, "properties").map(|error| error.path)
    }

    // Each case was put to ClickHouse 26.7's JSON type; it refuses exactly the first list.

    #[test]
    fn equal_paths_are_found_with_their_pointer() {
        let cases = [
            (r#"{"a.b":1,"a":{"b":2}}"#, "/properties/a.b"),
            (r#"{"a":{"b.c":1},"a.b":{"c":2}}"#, "/properties/a.b/c"),
            (r#"{"x":[{"b.c":1,"b":{"c":2}}]}"#, "/properties/x/0/b.c"),
            (
                r#"{"x":[[1],[{"b.c":1,"b":{"c":2}}]]}"#,
                "/properties/x/1/0/b.c",
            ),
            (r#"{"a.":1,"a":{"":2}}"#, "/properties/a."),
            (r#"{"a..b":1,"a":{".b":2}}"#, "/properties/a..b"),
            (r#"{"a.b":[],"a":{"b":2}}"#, "/properties/a.b"),
        ];
        for (text, pointer) in cases {
            assert_eq!(conflict_in(text).as_deref(), Some(pointer), "{text}");
        }
    }

    #[test]
    fn different_paths_nulls_and_empty_objects_do_not_conflict() {
        for text in [
            r#"{"a":1,"a.b":2}"#,
            r#"{"a.b":1,"a":{"b":{"c":2}}}"#,
            r#"{"a.b":null,"a":{"b":2}}"#,
            r#"{"a.b":{},"a":{"b":2}}"#,
            r#"{"a.b":null,"a":{"b":null}}"#,
            r#"{"a":{"b":1,"c":{}},"a.c":5}"#,
            r#"{"a.b":1,"x":[{"a":{"b":1}},{"a.b":1}]}"#,
            r#"{"":{"a":1},"a":2}"#,
            r#"{".":1,"":2}"#,
        ] {
            assert_eq!(conflict_in(text), None, "{text}");
        }
    }
}
