//! What validation reports about an event, and why a set of schemas does not load.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One thing that is wrong with an event, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// JSON pointer of the offending value; for a missing or unexpected property, the pointer of that
    /// property. `""` is the whole event.
    pub path: String,
    /// The rule that was broken: a JSON Schema keyword such as `required` or `maxLength`, or the name of a
    /// limit such as `depth`.
    pub keyword: String,
    /// What is wrong, in words a person who sends events can act on.
    pub message: String,
}

impl FieldError {
    /// Returns an error at `path` that names the broken rule and says what is wrong.
    pub fn new(
        path: impl Into<String>,
        keyword: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            path: path.into(),
            keyword: keyword.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() {
            "(event)"
        } else {
            &self.path
        };
        write!(f, "{path}: {} [{}]", self.message, self.keyword)
    }
}

/// Why a set of schemas or topics does not load. Whoever edited the named file should act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file or directory cannot be read.
    #[error("cannot read {file}")]
    Read {
        /// Path as given to the loader.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not UTF-8 JSON.
    #[error("{file} is not JSON: {message}")]
    NotJson {
        /// Path relative to the set.
        file: String,
        /// Parser's words with line and column.
        message: String,
    },
    /// A file lies where no file of the set belongs.
    #[error("{file} is out of place: {message}")]
    Misplaced {
        /// Path relative to the set.
        file: String,
        /// What was expected.
        message: String,
    },
    /// A schema is not valid, or breaks a rule of this registry.
    #[error("{file} is not usable at {pointer:?}: {message}")]
    Schema {
        /// Path relative to the set.
        file: String,
        /// JSON pointer inside the file.
        pointer: String,
        /// What is wrong.
        message: String,
    },
    /// The set holds no event schema at all.
    #[error("{dir} holds no event schemas (expected events/<name>/<M-R-A>.json)")]
    Empty {
        /// The directory that was read.
        dir: String,
    },
}
