//! The files of a set, before anyone looks at what they say: found in a directory or built into the program.

use crate::{LoadError, Version};
use include_dir::{Dir, DirEntry, include_dir};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

static EVENTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/events");
static COMMON: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/common");

/// Longest event name; more is no name.
const MAX_NAME_BYTES: usize = 200;

/// Directories of a set. Events can be chosen for validation; what is common can only be referred to.
pub(crate) const EVENTS_DIR: &str = "events";
const COMMON_DIR: &str = "common";

/// Text of each file by its path relative to the set, such as `events/track/1-0-0.json`.
pub(crate) type Files = BTreeMap<String, String>;

/// A file's place in the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) dir: &'a str,
    pub(crate) name: &'a str,
    pub(crate) version: Version,
}

/// Returns the files built into this program.
pub(crate) fn embedded() -> Result<Files, LoadError> {
    let mut files = Files::new();
    for (root, dir) in [(EVENTS_DIR, &EVENTS), (COMMON_DIR, &COMMON)] {
        let mut open = vec![dir];
        while let Some(dir) = open.pop() {
            for entry in dir.entries() {
                match entry {
                    DirEntry::Dir(dir) => open.push(dir),
                    DirEntry::File(file) => {
                        let path = format!("{root}/{}", file.path().display()).replace('\\', "/");
                        let text = file.contents_utf8().ok_or_else(|| not_utf8(&path))?;
                        files.insert(path, text.to_owned());
                    }
                }
            }
        }
    }
    Ok(files)
}

/// Returns the files of the set in a directory. Names that begin with a dot are passed over: editors and
/// mounted volumes leave such.
pub(crate) fn in_dir(root: &Path) -> Result<Files, LoadError> {
    let mut files = Files::new();
    for dir in [EVENTS_DIR, COMMON_DIR] {
        let path = root.join(dir);
        if path.exists() {
            read_dir(&path, dir, 0, &mut files)?;
        }
    }
    if files.is_empty() {
        return Err(LoadError::Empty {
            dir: root.display().to_string(),
        });
    }
    Ok(files)
}

fn read_dir(dir: &Path, relative: &str, depth: usize, files: &mut Files) -> Result<(), LoadError> {
    let failed = |path: &Path| {
        let file = path.display().to_string();
        move |source| LoadError::Read { file, source }
    };
    for entry in fs::read_dir(dir).map_err(failed(dir))? {
        let entry = entry.map_err(failed(dir))?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let relative = format!("{relative}/{name}");
        // Links are followed, and a link may lead back up: the layout has two levels, so a third ends it.
        if fs::metadata(&path).map_err(failed(&path))?.is_dir() {
            if depth > 0 {
                return Err(LoadError::Misplaced {
                    file: relative,
                    message: LAYOUT.to_owned(),
                });
            }
            read_dir(&path, &relative, depth + 1, files)?;
        } else {
            let bytes = fs::read(&path).map_err(failed(&path))?;
            let text = String::from_utf8(bytes).map_err(|_| not_utf8(&relative))?;
            files.insert(relative, text);
        }
    }
    Ok(())
}

const LAYOUT: &str = "expected events/<name>/<M-R-A>.json or common/<name>/<M-R-A>.json";

/// Returns the place that a relative path names.
pub(crate) fn place(path: &str) -> Result<Place<'_>, LoadError> {
    let misplaced = |message: String| LoadError::Misplaced {
        file: path.to_owned(),
        message,
    };
    let mut parts = path.split('/');
    let (Some(dir), Some(name), Some(file), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(misplaced(LAYOUT.to_owned()));
    };
    let version = file
        .strip_suffix(".json")
        .ok_or_else(|| misplaced(LAYOUT.to_owned()))?;
    let version = version
        .parse()
        .map_err(|error| misplaced(format!("{error}")))?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let ends = |byte: Option<&u8>| byte.is_some_and(|byte| *byte != b'_');
    let bytes = name.as_bytes();
    if !bytes.iter().all(|byte| plain(*byte))
        || !ends(bytes.first())
        || !ends(bytes.last())
        || name.contains("__")
        || name.len() > MAX_NAME_BYTES
    {
        return Err(misplaced(format!(
            "{name:?} is no event name; names are snake_case letters and digits"
        )));
    }
    Ok(Place { dir, name, version })
}

/// Returns 16 hex characters of a hash over all paths and texts.
pub(crate) fn digest(files: &Files) -> String {
    let mut hasher = blake3::Hasher::new();
    for (path, text) in files {
        for part in [path, text] {
            hasher
                .update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes())
                .update(part.as_bytes());
        }
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

fn not_utf8(file: &str) -> LoadError {
    LoadError::NotJson {
        file: file.to_owned(),
        message: "not UTF-8".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_directory_event_and_version() {
        let found = place("events/order_completed/1-0-2.json").unwrap();
        assert_eq!(
            (found.dir, found.name, found.version.to_string()),
            ("events", "order_completed", "1-0-2".to_owned())
        );
        for path in [
            "events/track.json",
            "events/track/1-0-0.yaml",
            "events/track/latest.json",
            "events/Track/1-0-0.json",
            "events/_x/1-0-0.json",
            "events/a__b/1-0-0.json",
            "events//1-0-0.json",
            "events/a/b/1-0-0.json",
        ] {
            assert!(
                matches!(place(path), Err(LoadError::Misplaced { file, .. }) if file == path),
                "{path}"
            );
        }
    }

    #[test]
    fn the_digest_changes_with_any_path_or_text() {
        let set = |pairs: &[(&str, &str)]| {
            digest(
                &pairs
                    .iter()
                    .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                    .collect(),
            )
        };
        let one = set(&[("a", "bc"), ("d", "")]);
        assert_eq!(one.len(), 16);
        assert_eq!(one, set(&[("d", ""), ("a", "bc")]));
        for other in [
            set(&[("ab", "c"), ("d", "")]),
            set(&[("a", "bc")]),
            set(&[("a", "bd"), ("d", "")]),
            set(&[("a", "bcd")]),
        ] {
            assert_ne!(one, other);
        }
    }
}
