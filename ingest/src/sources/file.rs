//! The sources file: its shape, its checks, and errors that name the line.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use weir_event::KeyClass;

use super::{Access, Platform, Source, Sources, hash};
use crate::address::AddressPolicy;

#[cfg(test)]
mod tests;

/// Keys shorter than this are warned of: they can be guessed.
const SHORT_KEY_BYTES: usize = 16;

/// Names of the IANA database's zones and links (release 2025b), sorted.
const ZONES: &str = include_str!("zones.txt");

/// What is wrong with a sources file.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// It could not be read.
    #[error("sources file {} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Its text is wrong.
    #[error("{file}:{line}: {message}")]
    Text {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong there, without any key.
        message: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "source")]
    sources: Vec<Spanned<FileSource>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSource {
    id: Spanned<String>,
    name: Option<String>,
    platform: Platform,
    timezone: Option<Spanned<String>>,
    #[serde(default)]
    address: AddressPolicy,
    #[serde(default, rename = "key")]
    keys: Vec<FileKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileKey {
    key: Spanned<String>,
    class: FileClass,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FileClass {
    Browser,
    Mobile,
    Server,
}

impl From<FileClass> for KeyClass {
    fn from(class: FileClass) -> KeyClass {
        match class {
            FileClass::Browser => KeyClass::Browser,
            FileClass::Mobile => KeyClass::Mobile,
            FileClass::Server => KeyClass::Server,
        }
    }
}

/// Turns byte offsets of the text into errors with its name and the line.
struct Place<'a> {
    text: &'a str,
    name: &'a str,
}

impl Place<'_> {
    fn line(&self, at: usize) -> usize {
        self.text
            .bytes()
            .take(at)
            .filter(|byte| *byte == b'\n')
            .count()
            + 1
    }

    fn error(&self, span: &Range<usize>, message: impl Into<String>) -> SourcesError {
        SourcesError::Text {
            file: self.name.to_owned(),
            line: self.line(span.start),
            message: message.into(),
        }
    }
}

pub(super) fn parse(text: &str, name: &str) -> Result<Sources, SourcesError> {
    let place = Place { text, name };
    let file: File = toml::from_str(text).map_err(|error| {
        // Only the message: the error's own text quotes the line, and the line may hold a key.
        place.error(&error.span().unwrap_or(0..0), error.message())
    })?;
    if file.sources.is_empty() {
        return Err(place.error(
            &(0..0),
            "there is no [[source]]; without one nobody can send",
        ));
    }
    let mut sources = Sources::default();
    let mut lines_of_ids = HashMap::new();
    let mut lines_of_keys = HashMap::new();
    for source in file.sources {
        let span = source.span();
        let source = source.into_inner();
        check_id(&source.id, &place)?;
        let line = place.line(source.id.span().start);
        if let Some(first) = lines_of_ids.insert(source.id.get_ref().clone(), line) {
            let message = format!(
                "source id {:?} is taken in line {first}",
                source.id.get_ref()
            );
            return Err(place.error(&source.id.span(), message));
        }
        if source.keys.is_empty() {
            let message = format!("source {:?} has no [[source.key]]", source.id.get_ref());
            return Err(place.error(&span, message));
        }
        add(source, &mut sources, &mut lines_of_keys, &place)?;
    }
    Ok(sources)
}

fn add(
    source: FileSource,
    sources: &mut Sources,
    lines_of_keys: &mut HashMap<[u8; 32], usize>,
    place: &Place<'_>,
) -> Result<(), SourcesError> {
    let id = source.id.into_inner();
    let timezone = match source.timezone {
        None => "UTC".to_owned(),
        Some(zone) if is_zone(zone.get_ref()) => zone.into_inner(),
        Some(zone) => {
            let message = format!(
                "timezone {:?} is not a name of the IANA database, such as \"Europe/Vienna\"",
                zone.get_ref()
            );
            return Err(place.error(&zone.span(), message));
        }
    };
    let shared = Arc::new(Source {
        name: source.name.unwrap_or_else(|| id.clone()),
        id,
        platform: source.platform,
        timezone,
        address: source.address,
    });
    for key in source.keys {
        check_key(&key.key, &shared.id, place)?;
        let span = key.key.span();
        let hash = hash(key.key.get_ref());
        if let Some(first) = lines_of_keys.insert(hash, place.line(span.start)) {
            return Err(place.error(&span, format!("the key is the same as in line {first}")));
        }
        let access = Access {
            source: Arc::clone(&shared),
            class: key.class.into(),
        };
        sources.by_key.insert(hash, access);
    }
    sources.sources.push(shared);
    Ok(())
}

fn is_zone(name: &str) -> bool {
    ZONES.lines().any(|zone| zone == name)
}

fn check_id(id: &Spanned<String>, place: &Place<'_>) -> Result<(), SourcesError> {
    let text = id.get_ref();
    let fits = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if fits {
        return Ok(());
    }
    let message = format!(
        "source id {text:?} must have 1 to 64 characters: letters, digits, \"_\", \"-\", \".\""
    );
    Err(place.error(&id.span(), message))
}

fn check_key(key: &Spanned<String>, source: &str, place: &Place<'_>) -> Result<(), SourcesError> {
    let text = key.get_ref();
    // What a header, a query and the user of Basic can all carry as it is.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.~".contains(&byte);
    if !(1..=256).contains(&text.len()) || !text.bytes().all(plain) {
        let message = format!(
            "a key of source {source:?} must have 1 to 256 characters: letters, digits, \"_\", \"-\", \".\", \"~\""
        );
        return Err(place.error(&key.span(), message));
    }
    if text.len() < SHORT_KEY_BYTES {
        let line = place.line(key.span().start);
        tracing::warn!(source, line, "a write key is short enough to be guessed");
    }
    Ok(())
}
