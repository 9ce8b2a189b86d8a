//! From the validator's errors to [`FieldError`]s that people can act on: the pointer names the very
//! property, and no message repeats a value of any length.

use crate::FieldError;
use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

/// Longest text that a message repeats.
const MAX_QUOTED_BYTES: usize = 64;

/// Adds what `error` says to `out`; an error about several properties becomes several.
pub(crate) fn report(error: &ValidationError<'_>, out: &mut Vec<FieldError>) {
    let path = error.instance_path().as_str();
    let keyword = error.kind().keyword();
    match error.kind() {
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            out.push(FieldError::new(
                child(path, name),
                keyword,
                format!("{name:?} is required"),
            ));
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            out.extend(unexpected.iter().map(|name| {
                FieldError::new(
                    child(path, name),
                    keyword,
                    format!("{:?} is not a property of this object", shortened(name)),
                )
            }));
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            out.push(FieldError::new(path, keyword, alternatives(context)));
        }
        Kind::PropertyNames { error } => {
            out.push(FieldError::new(path, keyword, message(error)));
        }
        _ => out.push(FieldError::new(path, keyword, message(error))),
    }
}

/// What each alternative wanted; when each just wants a property, which ones.
fn alternatives(context: &[Vec<ValidationError<'static>>]) -> String {
    let wanted: Option<Vec<&str>> = context
        .iter()
        .map(|branch| match branch.as_slice() {
            [error] => match error.kind() {
                Kind::Required { property } => property.as_str(),
                _ => None,
            },
            _ => None,
        })
        .collect();
    match wanted {
        Some(names) => format!("one of {} is required", names.join(", ")),
        None => {
            let branches: Vec<_> = context
                .iter()
                .filter_map(|branch| branch.first())
                .map(message)
                .collect();
            format!("none of the alternatives holds: {}", branches.join("; or "))
        }
    }
}

fn message(error: &ValidationError<'_>) -> String {
    error.masked_with(quoted(error.instance())).to_string()
}

fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) if text.len() > MAX_QUOTED_BYTES => {
            format!("a text of {} characters", text.chars().count())
        }
        Value::Array(items) => format!("an array of {} items", items.len()),
        Value::Object(_) => "an object".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

fn shortened(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_QUOTED_BYTES)]
}

/// Returns the JSON pointer of the member `name` of the object at `path`.
pub(crate) fn child(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}
