//! The Kafka topics Weir uses, as `topics.json` declares them.

use crate::LoadError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicKind {
    /// Envelopes as the collector writes them; the processor's input.
    Raw,
    /// Written by the processor, at least once.
    Output,
}

/// One declared topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// Name in Kafka.
    pub name: String,
    /// What it is for.
    pub kind: TopicKind,
    /// The platform whose events a raw topic holds; absent on outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Number of partitions at creation; growing it later is an operation of its own.
    pub partitions: u32,
    /// Topic settings handed to Kafka as they are.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// What it holds, its key, who writes and who reads it.
    pub description: String,
}

/// The declaration this program was built with.
const DECLARED: &str = include_str!("../topics.json");

/// Longest topic name Kafka takes.
const MAX_NAME_BYTES: usize = 249;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declaration {
    topics: Vec<Topic>,
}

/// Returns the declared topics in the order of the file.
///
/// # Errors
/// [`LoadError`] when the embedded declaration is not usable; a test of this crate keeps that from happening.
pub fn topics() -> Result<Vec<Topic>, LoadError> {
    parse(DECLARED)
}

fn parse(text: &str) -> Result<Vec<Topic>, LoadError> {
    let declaration: Declaration =
        serde_json::from_str(text).map_err(|error| LoadError::NotJson {
            file: "topics.json".to_owned(),
            message: error.to_string(),
        })?;
    for (index, topic) in declaration.topics.iter().enumerate() {
        let unusable = |field: &str, message: String| LoadError::Schema {
            file: "topics.json".to_owned(),
            pointer: format!("/topics/{index}/{field}"),
            message,
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let name = topic.name.as_str();
        if name.is_empty()
            || name.len() > MAX_NAME_BYTES
            || !name.bytes().all(plain)
            || matches!(name, "." | "..")
        {
            return Err(unusable(
                "name",
                format!("{name:?} is no topic name that Kafka takes"),
            ));
        }
        if topic.partitions == 0 {
            return Err(unusable(
                "partitions",
                "a topic has at least one partition".to_owned(),
            ));
        }
        if (topic.kind == TopicKind::Raw) != topic.platform.is_some() {
            return Err(unusable(
                "platform",
                "a raw topic has a platform, an output has none".to_owned(),
            ));
        }
        let earlier = &declaration.topics[..index];
        if earlier.iter().any(|other| other.name == topic.name) {
            return Err(unusable("name", format!("{name:?} is declared twice")));
        }
        if topic.platform.is_some() && earlier.iter().any(|other| other.platform == topic.platform)
        {
            return Err(unusable(
                "platform",
                "another topic has this platform".to_owned(),
            ));
        }
    }
    Ok(declaration.topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_platform_has_a_raw_topic_stamped_by_the_broker() {
        let topics = topics().unwrap();
        let names: Vec<_> = topics.iter().map(|topic| topic.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "events.web",
                "events.ios",
                "events.android",
                "events.server",
                "events.valid",
                "events.failed"
            ]
        );
        for topic in topics.iter().filter(|topic| topic.kind == TopicKind::Raw) {
            assert_eq!(
                Some(&topic.name[..]),
                topic
                    .platform
                    .as_ref()
                    .map(|platform| format!("events.{platform}"))
                    .as_deref()
            );
            assert_eq!(topic.config["message.timestamp.type"], "LogAppendTime");
        }
        assert!(topics.iter().all(|topic| !topic.description.is_empty()));
    }

    #[test]
    fn a_declaration_that_cannot_work_is_refused_with_its_place() {
        let one = |name: &str, kind: &str, rest: &str| {
            format!(r#"{{"name":"{name}","kind":"{kind}","description":"d"{rest}}}"#)
        };
        let raw = one("a", "raw", r#","platform":"web","partitions":1"#);
        let cases = [
            (one("a b", "output", r#","partitions":1"#), "/topics/0/name"),
            (
                one("a", "output", r#","partitions":0"#),
                "/topics/0/partitions",
            ),
            (one("a", "raw", r#","partitions":1"#), "/topics/0/platform"),
            (
                one("a", "output", r#","partitions":1,"platform":"web""#),
                "/topics/0/platform",
            ),
            (format!("{raw},{raw}"), "/topics/1/name"),
            (
                format!("{raw},{}", raw.replace(r#""a""#, r#""b""#)),
                "/topics/1/platform",
            ),
        ];
        for (topics, place) in cases {
            let error = parse(&format!(r#"{{"topics":[{topics}]}}"#)).unwrap_err();
            assert!(
                matches!(&error, LoadError::Schema { pointer, .. } if pointer == place),
                "{error}"
            );
        }
        assert!(matches!(parse("{}"), Err(LoadError::NotJson { .. })));
    }
}
