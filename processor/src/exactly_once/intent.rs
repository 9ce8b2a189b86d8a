//! The intent: which range a processor is about to insert, kept in the metadata of Kafka's committed offset.

use serde::{Deserialize, Serialize};

use weir_clickhouse::OffsetRange;

/// The most bytes an intent may take in Kafka's offset metadata (the broker's own limit is 4,096).
pub const MAX_METADATA_BYTES: usize = 512;

const VERSION: u8 = 1;

/// A declared batch: committed with the offset `range.first` before the first insert of the range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The epoch of the topic the range belongs to.
    pub stream: u32,
    /// The declared offsets.
    pub range: OffsetRange,
    /// When the range was first declared, in Unix milliseconds; kept when the intent is committed again, so that it
    /// bounds the age of the oldest insert under the range's token.
    pub declared_at_ms: i64,
    /// Whether stored rows of the range were inserted under the range's own token, so that sending them again is safe.
    pub resend: bool,
    /// The ClickHouse shard that takes the range.
    pub shard: String,
}

/// Why a committed offset's metadata is not an intent.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IntentError {
    /// The text is not the JSON of an intent; an operator or another program committed it.
    #[error("offset metadata is not an intent: {0}")]
    Malformed(String),
    /// A later version of Weir wrote it; this one must not act on it.
    #[error("intent has version {0}, this processor knows version {VERSION}")]
    Version(u8),
    /// The last offset lies below the first.
    #[error("intent ends at {last}, before its first offset {first}")]
    Reversed {
        /// The committed offset.
        first: i64,
        /// The declared last offset.
        last: i64,
    },
    /// The intent does not fit the metadata.
    #[error("intent takes {0} bytes, over the limit of {MAX_METADATA_BYTES}")]
    TooLong(usize),
}

/// What the metadata of a committed offset says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Everything below the offset is accounted for; nothing is declared.
    Position {
        /// The epoch of the topic the offset belongs to.
        stream: u32,
    },
    /// A range is declared.
    Intent(Intent),
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    v: u8,
    stream: u32,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    declared: Option<Declared>,
}

#[derive(Serialize, Deserialize)]
struct Declared {
    last: i64,
    at: i64,
    resend: bool,
    shard: String,
}

impl Mark {
    /// Returns the epoch of the topic the committed offset belongs to.
    #[must_use]
    pub fn stream(&self) -> u32 {
        match self {
            Self::Position { stream } => *stream,
            Self::Intent(intent) => intent.stream,
        }
    }

    /// Returns the metadata text to commit: with `range.first` for an intent, with the next offset for a position.
    ///
    /// # Errors
    /// [`IntentError::TooLong`] when the shard's name makes it exceed [`MAX_METADATA_BYTES`].
    pub fn to_metadata(&self) -> Result<String, IntentError> {
        let declared = match self {
            Self::Position { .. } => None,
            Self::Intent(intent) => Some(Declared {
                last: intent.range.last,
                at: intent.declared_at_ms,
                resend: intent.resend,
                shard: intent.shard.clone(),
            }),
        };
        let text = serde_json::to_string(&Metadata {
            v: VERSION,
            stream: self.stream(),
            declared,
        })
        .map_err(|error| IntentError::Malformed(error.to_string()))?;
        if text.len() > MAX_METADATA_BYTES {
            return Err(IntentError::TooLong(text.len()));
        }
        Ok(text)
    }

    /// Reads the metadata that was committed with the offset `first`. An empty text says nothing.
    ///
    /// # Errors
    /// Every variant but [`IntentError::TooLong`]; the text was written by somebody else.
    pub fn from_metadata(first: i64, text: &str) -> Result<Option<Self>, IntentError> {
        if text.is_empty() {
            return Ok(None);
        }
        let metadata: Metadata = serde_json::from_str(text)
            .map_err(|error| IntentError::Malformed(error.to_string()))?;
        if metadata.v != VERSION {
            return Err(IntentError::Version(metadata.v));
        }
        let stream = metadata.stream;
        let Some(declared) = metadata.declared else {
            return Ok(Some(Self::Position { stream }));
        };
        if declared.last < first {
            return Err(IntentError::Reversed {
                first,
                last: declared.last,
            });
        }
        Ok(Some(Self::Intent(Intent {
            stream,
            range: OffsetRange {
                first,
                last: declared.last,
            },
            declared_at_ms: declared.at,
            resend: declared.resend,
            shard: declared.shard,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent() -> Intent {
        Intent {
            stream: 3,
            range: OffsetRange {
                first: 10,
                last: 20,
            },
            declared_at_ms: 1_700_000_000_000,
            resend: true,
            shard: "a".to_owned(),
        }
    }

    #[test]
    fn metadata_reads_back_as_written() {
        for mark in [Mark::Intent(intent()), Mark::Position { stream: 7 }] {
            let text = mark.to_metadata().unwrap();
            assert!(text.len() < MAX_METADATA_BYTES);
            assert_eq!(Mark::from_metadata(10, &text), Ok(Some(mark)));
        }
    }

    #[test]
    fn empty_metadata_says_nothing() {
        assert_eq!(Mark::from_metadata(10, ""), Ok(None));
    }

    #[test]
    fn foreign_metadata_is_an_error() {
        assert!(matches!(
            Mark::from_metadata(10, "consumer-7"),
            Err(IntentError::Malformed(_))
        ));
        let text = Mark::Intent(intent()).to_metadata().unwrap();
        assert_eq!(
            Mark::from_metadata(10, &text.replace("\"v\":1", "\"v\":9")),
            Err(IntentError::Version(9))
        );
        assert!(matches!(
            Mark::from_metadata(21, &text),
            Err(IntentError::Reversed { .. })
        ));
    }

    #[test]
    fn a_long_shard_name_is_refused() {
        let long = Mark::Intent(Intent {
            shard: "x".repeat(600),
            ..intent()
        });
        assert!(matches!(long.to_metadata(), Err(IntentError::TooLong(_))));
    }
}
