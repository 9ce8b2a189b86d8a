//! A compiled set of event schemas.

use crate::report::{child, report};
use crate::set::{self, EVENTS_DIR, Files};
use crate::{FieldError, LoadError, Version};
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Where the identifiers of a set begin; a file's `$id` is this and its path.
const BASE: &str = "weir:///";

/// Dialects that schemas may be written in.
const DIALECTS: [&str; 3] = [
    "https://json-schema.org/draft/2020-12/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-04/schema",
];

/// One version of one event's schema, compiled.
#[derive(Debug)]
pub struct Schema {
    name: String,
    version: Version,
    validator: Validator,
}

impl Schema {
    /// Returns the event's name, such as `order_completed`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns what is wrong with a canonical event in its JSON form; empty when it is valid. At most
    /// [`Registry::MAX_ERRORS`] errors.
    pub fn validate(&self, event: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        // The quick look first: nearly all events are valid, and collecting errors is the slow way.
        if self.validator.is_valid(event) {
            return errors;
        }
        for error in self.validator.iter_errors(event).take(Registry::MAX_ERRORS) {
            report(&error, &mut errors);
        }
        errors.truncate(Registry::MAX_ERRORS);
        errors
    }
}

/// A compiled set of event schemas. Immutable; share it behind an `Arc`.
#[derive(Debug)]
pub struct Registry {
    digest: String,
    schemas: BTreeMap<String, BTreeMap<Version, Schema>>,
}

impl Registry {
    /// Most errors reported about one event by one schema.
    pub const MAX_ERRORS: usize = 20;

    /// Returns the set this program was built with.
    ///
    /// # Errors
    /// [`LoadError`] names the file; a test of this crate keeps the embedded set loadable.
    pub fn embedded() -> Result<Self, LoadError> {
        Self::compile(&set::embedded()?)
    }

    /// Returns the set in a directory laid out like this crate (`events/`, `common/`).
    ///
    /// # Errors
    /// [`LoadError`] names the file and what is wrong with it; whoever edits the set should act.
    pub fn from_dir(dir: &Path) -> Result<Self, LoadError> {
        Self::compile(&set::in_dir(dir)?)
    }

    /// Returns 16 hex characters that differ when any schema of the set does.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the newest version of an event's schema.
    pub fn latest(&self, name: &str) -> Option<&Schema> {
        self.schemas
            .get(name)?
            .last_key_value()
            .map(|(_, schema)| schema)
    }

    /// Returns one version of an event's schema.
    pub fn get(&self, name: &str, version: Version) -> Option<&Schema> {
        self.schemas.get(name)?.get(&version)
    }

    /// Returns every version of every event's schema, by name and version.
    pub fn iter(&self) -> impl Iterator<Item = &Schema> {
        self.schemas.values().flat_map(BTreeMap::values)
    }

    fn compile(files: &Files) -> Result<Self, LoadError> {
        let mut documents = BTreeMap::new();
        for (path, text) in files {
            documents.insert(path.as_str(), read(path, text)?);
        }
        for (path, document) in &documents {
            check_references(path, document, files, &mut String::new())?;
        }
        let pairs = documents
            .iter()
            .map(|(path, document)| (format!("{BASE}{path}"), document));
        let shared = jsonschema::Registry::new()
            .extend(pairs)
            .and_then(jsonschema::RegistryBuilder::prepare)
            .map_err(|error| {
                unusable("", "", format!("the set does not hold together: {error}"))
            })?;
        let mut schemas: BTreeMap<String, BTreeMap<Version, Schema>> = BTreeMap::new();
        for (path, document) in &documents {
            let place = set::place(path)?;
            let validator = jsonschema::options()
                .with_registry(&shared)
                .with_base_uri(format!("{BASE}{path}"))
                .offline()
                .should_validate_formats(true)
                .should_ignore_unknown_formats(false)
                // No backtracking: no pattern and no text may make an event take long.
                .with_pattern_options(PatternOptions::regex())
                .build(document)
                .map_err(|error| {
                    unusable(path, error.instance_path().as_str(), error.to_string())
                })?;
            if place.dir == EVENTS_DIR {
                let name = place.name.to_owned();
                let schema = Schema {
                    name: name.clone(),
                    version: place.version,
                    validator,
                };
                schemas
                    .entry(name)
                    .or_default()
                    .insert(place.version, schema);
            }
        }
        Ok(Self {
            digest: set::digest(files),
            schemas,
        })
    }
}

/// Reads a file and checks what it says about itself.
fn read(path: &str, text: &str) -> Result<Value, LoadError> {
    set::place(path)?;
    let document: Value = serde_json::from_str(text).map_err(|error| LoadError::NotJson {
        file: path.to_owned(),
        message: error.to_string(),
    })?;
    let dialect = document
        .get("$schema")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !DIALECTS.contains(&dialect.trim_end_matches('#')) {
        let message = format!("must be one of the dialects {}", DIALECTS.join(", "));
        return Err(unusable(path, "/$schema", message));
    }
    let key = if dialect.contains("draft-04") {
        "id"
    } else {
        "$id"
    };
    let expected = format!("{BASE}{path}");
    if document.get(key).and_then(Value::as_str) != Some(&expected) {
        return Err(unusable(
            path,
            &format!("/{key}"),
            format!("must be {expected:?}, as the file's place says"),
        ));
    }
    Ok(document)
}

/// Checks that every `$ref` of a document leads to a file of the set.
fn check_references(
    path: &str,
    value: &Value,
    files: &Files,
    pointer: &mut String,
) -> Result<(), LoadError> {
    let length = pointer.len();
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                *pointer = child(pointer, key);
                if let ("$ref", Value::String(reference)) = (key.as_str(), inner) {
                    let target = target(path, reference);
                    if !target
                        .as_ref()
                        .is_some_and(|target| files.contains_key(target))
                    {
                        let message = format!(
                            "{reference:?} leads out of the set; only files of the set can be referred to"
                        );
                        return Err(unusable(path, pointer, message));
                    }
                }
                check_references(path, inner, files, pointer)?;
                pointer.truncate(length);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointer.push_str(&format!("/{index}"));
                check_references(path, item, files, pointer)?;
                pointer.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}

/// Returns the relative path of the file a reference leads to, seen from the file at `path`.
fn target(path: &str, reference: &str) -> Option<String> {
    let file = reference.split('#').next().unwrap_or_default();
    if file.is_empty() {
        return Some(path.to_owned());
    }
    if let Some(absolute) = file.strip_prefix(BASE) {
        return Some(absolute.to_owned());
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in file.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn unusable(file: &str, pointer: &str, message: String) -> LoadError {
    LoadError::Schema {
        file: file.to_owned(),
        pointer: pointer.to_owned(),
        message,
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
