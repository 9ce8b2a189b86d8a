//! What can be wrong with settings, named so that the reader can mend it.

use figment::error::Kind;

/// A setting that cannot be used; every variant is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A settings file cannot be read.
    #[error("cannot read the settings file {path}")]
    Read {
        /// The file as it was named.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A settings file is not TOML.
    #[error("the settings file {path} is not valid TOML: {message}")]
    Syntax {
        /// The file as it was named.
        path: String,
        /// The parser's message with line and column.
        message: String,
    },
    /// Nobody knows this setting.
    #[error("unknown setting {setting} ({origin}); known are {known}")]
    Unknown {
        /// Its full name, such as `kafka.broker`.
        setting: String,
        /// Where it was set.
        origin: String,
        /// The names that exist beside it.
        known: String,
    },
    /// The value does not fit.
    #[error("setting {setting} ({origin}): {problem}")]
    Invalid {
        /// Its full name, such as `ingest.max_body_bytes`.
        setting: String,
        /// Where it was set.
        origin: String,
        /// What was found and what is expected.
        problem: String,
    },
}

impl ConfigError {
    /// Turns figment's error about section `section` into one that names the setting and its source.
    pub(crate) fn from_figment(section: &str, error: &figment::Error) -> Self {
        let mut path = error.path.clone();
        // Figment adds the path it was asked for at the wrong end.
        if path.last().is_some_and(|last| last == section) {
            path.pop();
        }
        path.insert(0, section.to_owned());
        let origin = error
            .metadata
            .as_ref()
            .map_or_else(|| "source unknown".to_owned(), |from| from.name.to_string());
        if let Kind::UnknownField(field, known) = &error.kind {
            if path.last() != Some(field) {
                path.push(field.clone());
            }
            return Self::Unknown {
                setting: path.join("."),
                origin,
                known: known.join(", "),
            };
        }
        Self::Invalid {
            setting: path.join("."),
            origin,
            problem: error.kind.to_string(),
        }
    }
}
