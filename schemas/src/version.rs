//! Schema versions: MODEL-REVISION-ADDITION, ordered by their numbers.

use std::fmt;
use std::str::FromStr;

/// A schema version. A new model breaks readers, a revision may refuse old events, an addition accepts every
/// old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Breaking changes, from 1.
    pub model: u16,
    /// Changes that may refuse events which passed before.
    pub revision: u16,
    /// Changes that accept everything which passed before.
    pub addition: u16,
}

/// The text is not of the form `1-0-0` (numbers without leading zeros, model from 1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a version of the form MODEL-REVISION-ADDITION, such as 1-0-0")]
pub struct ParseVersionError(String);

impl FromStr for Version {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseVersionError(text.to_owned());
        let number = |part: Option<&str>| -> Result<u16, ParseVersionError> {
            let part = part.ok_or_else(error)?;
            let plain =
                part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
            if plain {
                part.parse().map_err(|_| error())
            } else {
                Err(error())
            }
        };
        let mut parts = text.split('-');
        let version = Self {
            model: number(parts.next())?,
            revision: number(parts.next())?,
            addition: number(parts.next())?,
        };
        if parts.next().is_some() || version.model == 0 {
            return Err(error());
        }
        Ok(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.model, self.revision, self.addition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number_and_print_as_they_were_read() {
        let parse = |text: &str| text.parse::<Version>().unwrap();
        assert!(parse("1-0-10") > parse("1-0-9"));
        assert!(parse("2-0-0") > parse("1-9-9"));
        assert_eq!(parse("1-12-3").to_string(), "1-12-3");
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "1",
            "1-0",
            "1-0-0-0",
            "0-1-0",
            "1-00-0",
            "1--0",
            "a-b-c",
            "1.0.0",
            "-1-0-0",
            "1-0-99999",
            "+1-0-0",
        ] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }
}
