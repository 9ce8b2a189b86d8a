//! The sources file of a stack: one source per platform and one for imports, with random write keys.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use uuid::Uuid;

/// Id, platform and key class of each source.
const SOURCES: [(&str, &str, &str); 5] = [
    ("web", "web", "browser"),
    ("ios", "ios", "mobile"),
    ("android", "android", "mobile"),
    ("server", "server", "server"),
    ("import", "server", "server"),
];

#[derive(Deserialize)]
struct File {
    source: Vec<Source>,
}

#[derive(Deserialize)]
struct Source {
    id: String,
    #[serde(default)]
    key: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    key: String,
}

/// Writes the file unless it is there, and returns the first write key of each source in it.
///
/// # Errors
/// The file cannot be written, or was changed into something that is not a sources file.
pub(crate) fn write_keys(path: &Path) -> Result<BTreeMap<String, String>> {
    if !path.exists() {
        write_private(path, &text())?;
    }
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file: File =
        toml::from_str(&text).with_context(|| format!("{} is no sources file", path.display()))?;
    Ok(file
        .source
        .into_iter()
        .filter_map(|source| Some((source.id, source.key.into_iter().next()?.key)))
        .collect())
}

/// Replaces a file as a whole; only this user may read it.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let partial = path.with_extension(format!("partial-{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true).mode(0o600);
    options
        .open(&partial)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&partial, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn text() -> String {
    let mut text = "# Sources of the local stack; the keys were made at random.\n".to_owned();
    for (id, platform, class) in SOURCES {
        let key = Uuid::new_v4().simple();
        text.push_str(&format!(
            "\n[[source]]\nid = \"{id}\"\nname = \"Local {id}\"\nplatform = \"{platform}\"\ntimezone = \"UTC\"\n\n\
             [[source.key]]\nkey = \"{id}_{key}\"\nclass = \"{class}\"\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_made_once_and_only_their_owner_may_read_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sources.toml");
        let keys = write_keys(&path).unwrap();
        assert_eq!(
            keys.keys().collect::<Vec<_>>(),
            ["android", "import", "ios", "server", "web"]
        );
        assert_eq!(write_keys(&path).unwrap(), keys);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
}
