//! Every example of every schema: the valid ones become the events in `tests/golden`, the invalid ones fail
//! where they say.
//!
//! `WEIR_UPDATE_GOLDEN=1 cargo test -p weir-event` writes the golden files anew; read the difference before
//! committing it.

use crate::support::{accepted, evaluator, failed, judge};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use weir_event::Reason;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn examples(name: &str, version: &str, kind: &str) -> Vec<PathBuf> {
    let dir = here()
        .join("../schemas/examples")
        .join(name)
        .join(version)
        .join(kind);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} has examples", dir.display());
    paths
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Gives the envelope the id that the collector would.
fn id(call: &Value, path: &Path) -> String {
    let own = call["messageId"].as_str().map(str::to_owned);
    own.unwrap_or_else(|| format!("example {}", path.file_stem().unwrap().display()))
}

#[test]
fn valid_examples_become_their_golden_events() {
    let update = std::env::var_os("WEIR_UPDATE_GOLDEN").is_some();
    for schema in evaluator().registry().iter() {
        let version = schema.version().to_string();
        for path in examples(schema.name(), &version, "valid") {
            let call = read(&path);
            let event = accepted(judge(&call, |envelope| {
                envelope.id = id(&call, &path).into();
                envelope.sent_at = call["sentAt"].as_str().map(|text| text.to_owned().into());
            }));
            assert_eq!(
                event.schema_version,
                format!("{}/{version}", schema.name()),
                "{}",
                path.display()
            );
            let event = serde_json::to_value(&event).unwrap();
            let file = path.file_name().unwrap();
            let golden = here()
                .join("tests/golden")
                .join(schema.name())
                .join(&version)
                .join(file);
            if update {
                fs::create_dir_all(golden.parent().unwrap()).unwrap();
                fs::write(&golden, format!("{event:#}\n")).unwrap();
            }
            assert_eq!(event, read(&golden), "{}", golden.display());
        }
    }
}

#[test]
fn invalid_examples_fail_where_they_say_and_nowhere_else() {
    for schema in evaluator().registry().iter() {
        for path in examples(schema.name(), &schema.version().to_string(), "invalid") {
            let example = read(&path);
            let call = &example["call"];
            assert!(
                example["description"].is_string(),
                "{} says what is wrong with it",
                path.display()
            );
            let failure = failed(judge(call, |envelope| {
                envelope.id = id(call, &path).into();
            }));
            assert_eq!(
                failure.reason,
                Reason::SchemaInvalid,
                "{}: {:?}",
                path.display(),
                failure.errors
            );
            let found: BTreeSet<_> = failure
                .errors
                .iter()
                .map(|error| json!({"path": error.path, "keyword": error.keyword}).to_string())
                .collect();
            let expected: BTreeSet<_> = example["fails"]
                .as_array()
                .unwrap()
                .iter()
                .map(Value::to_string)
                .collect();
            let expected: BTreeSet<_> = expected
                .iter()
                .map(|text| serde_json::from_str::<Value>(text).unwrap())
                .map(|fails| {
                    json!({"path": fails["path"], "keyword": fails["keyword"]}).to_string()
                })
                .collect();
            assert_eq!(found, expected, "{}: {:?}", path.display(), failure.errors);
        }
    }
}

#[test]
fn every_directory_of_examples_belongs_to_a_schema() {
    let known: BTreeSet<_> = evaluator()
        .registry()
        .iter()
        .map(|schema| format!("{}/{}", schema.name(), schema.version()))
        .collect();
    let mut found = BTreeSet::new();
    for name in fs::read_dir(here().join("../schemas/examples")).unwrap() {
        let name = name.unwrap();
        for version in fs::read_dir(name.path()).unwrap() {
            let version = version.unwrap().file_name();
            found.insert(format!(
                "{}/{}",
                name.file_name().display(),
                version.display()
            ));
        }
    }
    assert_eq!(found, known);
}
