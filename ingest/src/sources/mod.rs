//! Sources: who may send events, by which keys, and what becomes of their visitors' addresses.
//!
//! A TOML file read once at the start. Write keys are kept as hashes only and appear in no message.

mod file;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use weir_event::KeyClass;

use crate::address::AddressPolicy;

pub use file::SourcesError;

/// Where a source's events happen; each platform has a topic of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Pages.
    Web,
    /// Apps on Apple's devices.
    Ios,
    /// Apps on Android.
    Android,
    /// Back ends and imports.
    Server,
}

impl Platform {
    /// Every platform.
    pub const ALL: [Platform; 4] = [
        Platform::Web,
        Platform::Ios,
        Platform::Android,
        Platform::Server,
    ];

    /// Returns the name used in settings, records and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Platform::Web => "web",
            Platform::Ios => "ios",
            Platform::Android => "android",
            Platform::Server => "server",
        }
    }

    /// Returns the topic of the platform's events.
    pub fn topic(self) -> &'static str {
        match self {
            Platform::Web => "events.web",
            Platform::Ios => "events.ios",
            Platform::Android => "events.android",
            Platform::Server => "events.server",
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One source of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its id: the first part of record keys and the `source_id` of rows.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Where its events happen.
    pub platform: Platform,
    /// The IANA time zone its reports are read in.
    pub timezone: String,
    /// What is kept of its visitors' addresses.
    pub address: AddressPolicy,
}

/// What a known write key stands for.
#[derive(Debug, Clone)]
pub struct Access {
    /// The source that the key belongs to.
    pub source: Arc<Source>,
    /// How far its holder is trusted.
    pub class: KeyClass,
}

/// All sources with their keys.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    by_key: HashMap<KeyHash, Access>,
    sources: Vec<Arc<Source>>,
}

/// A write key's hash: looking it up takes the same time whatever the key shares with a real one.
type KeyHash = [u8; 32];

fn hash(key: &str) -> KeyHash {
    *blake3::hash(key.as_bytes()).as_bytes()
}

impl Sources {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// Says what is wrong and in which line; the operator mends the file.
    pub fn load(path: &Path) -> Result<Sources, SourcesError> {
        let text = std::fs::read_to_string(path).map_err(|source| SourcesError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads the text of a file; `name` is what errors call it.
    ///
    /// # Errors
    /// Says what is wrong and in which line.
    pub fn parse(text: &str, name: &str) -> Result<Sources, SourcesError> {
        file::parse(text, name)
    }

    /// Returns what `key` stands for.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Access> {
        self.by_key.get(&hash(key))
    }

    /// Returns every source, in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().map(AsRef::as_ref)
    }

    /// Returns the topics that the sources write to, each once.
    #[must_use]
    pub fn topics(&self) -> Vec<&'static str> {
        let used = |platform: &Platform| self.iter().any(|source| source.platform == *platform);
        Platform::ALL
            .into_iter()
            .filter(used)
            .map(Platform::topic)
            .collect()
    }
}
