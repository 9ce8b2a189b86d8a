//! What can go wrong with ClickHouse, and what the caller must do about it.
//!
//! The judgement rests on ClickHouse's numeric exception code, never on the wording, with one exception: whether an
//! error of an insert was raised inside a materialized view can only be read off its text.

use std::time::Duration;

/// What the caller of a failed call must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Try the same bytes again, later: the network, the load or the state of the server was at fault. The call may
    /// have taken effect all the same.
    Retry,
    /// A row of the insert's body cannot be read by the base table, nothing of the insert was stored. Sending it again
    /// cannot help.
    UnreadableRow {
        /// Position of the row in the body, from 0, when the server named it.
        row: Option<u64>,
    },
    /// Tables, grants or settings are not as they should be: a person has to act, then the same bytes may be tried
    /// again. Also every code that is not known to be one of the others.
    Stop,
    /// The query was killed. Whoever killed it decided about it; if that was nobody, try again.
    Killed,
}

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server raised an exception.
    #[error("clickhouse refused with code {code}: {message}")]
    Server {
        /// ClickHouse's numeric exception code.
        code: u32,
        /// Text of the exception, without the code.
        message: String,
    },
    /// An answer without an exception code, such as a proxy's.
    #[error("http status {status} instead of an answer of clickhouse: {message}")]
    Status {
        /// HTTP status.
        status: u16,
        /// Beginning of the body.
        message: String,
    },
    /// No connection, or it broke.
    #[error("clickhouse cannot be reached or broke the connection")]
    Transport(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No answer in time. The server may still be at work on the call.
    #[error("clickhouse did not answer within {} s", after.as_secs())]
    Timeout {
        /// The limit that was hit.
        after: Duration,
    },
    /// The answer is not what the query asks for.
    #[error("unexpected answer of clickhouse: {0}")]
    Answer(String),
    /// The settings cannot work.
    #[error("clickhouse settings: {0}")]
    Config(String),
    /// The tables are not those this version of Weir needs.
    #[error("{0}")]
    Schema(String),
}

impl Error {
    /// Returns what the caller must do.
    pub fn class(&self) -> Class {
        match self {
            Self::Server { code, message } => classify(*code, message),
            Self::Status { status, .. } => classify_status(*status),
            Self::Transport(_) | Self::Timeout { .. } => Class::Retry,
            Self::Answer(_) | Self::Config(_) | Self::Schema(_) => Class::Stop,
        }
    }

    /// Returns ClickHouse's numeric exception code, if the server raised one.
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Server { code, .. } => Some(*code),
            Self::Status { .. }
            | Self::Transport(_)
            | Self::Timeout { .. }
            | Self::Answer(_)
            | Self::Config(_)
            | Self::Schema(_) => None,
        }
    }

    /// Returns the error without the values of rows that ClickHouse may quote, but with the view it was raised in: for
    /// logs.
    pub fn brief(&self) -> String {
        match self {
            Self::Server { code, message } => {
                let name = name_in_text(message).map(|name| format!(" ({name})"));
                let view =
                    view_in_text(message).map(|view| format!(" while pushing to view {view}"));
                format!(
                    "clickhouse refused with code {code}{}{}",
                    name.unwrap_or_default(),
                    view.unwrap_or_default()
                )
            }
            Self::Status { .. }
            | Self::Transport(_)
            | Self::Timeout { .. }
            | Self::Answer(_)
            | Self::Config(_)
            | Self::Schema(_) => self.to_string(),
        }
    }

    /// Builds the error of an HTTP answer from its status, the header `X-ClickHouse-Exception-Code` and the body.
    pub(crate) fn from_answer(status: u16, code: Option<u32>, body: &str) -> Self {
        match code.or_else(|| code_in_text(body)) {
            Some(code) => Self::server(code, body),
            None => Self::Status {
                status,
                message: shorten(body.trim()),
            },
        }
    }

    fn server(code: u32, text: &str) -> Self {
        Self::Server {
            code,
            message: shorten(without_code(code, text.trim())),
        }
    }
}

/// Takes off an exception's text what the error says itself; ClickHouse may say it twice.
fn without_code(code: u32, mut text: &str) -> &str {
    let repeated = format!("Code: {code}. DB::Exception: ");
    while let Some(rest) = text.strip_prefix(&repeated) {
        text = rest;
    }
    text
}

/// Returns the view that an exception was raised in, read off the end of its text, where no row is quoted.
fn view_in_text(message: &str) -> Option<&str> {
    let (_, tail) = message.rsplit_once(": while pushing to view ")?;
    let view = tail.split([' ', '(']).next()?.trim_end_matches('.');
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '`');
    (!view.is_empty() && view.chars().all(named)).then_some(view)
}

impl From<clickhouse::error::Error> for Error {
    fn from(error: clickhouse::error::Error) -> Self {
        use clickhouse::error::Error as Client;
        match error {
            Client::BadResponse(text) => match (code_in_text(&text), status_in_text(&text)) {
                (Some(code), _) => Self::server(code, &text),
                (None, Some(status)) => Self::Status {
                    status,
                    message: shorten(&text),
                },
                (None, None) => Self::Answer(shorten(&text)),
            },
            Client::Network(source) => Self::Transport(source),
            Client::TimedOut => Self::Timeout {
                after: crate::db::LOOKUP_TIMEOUT,
            },
            // The crate's list is open; whatever else it reports is about the query or the shape of the answer.
            other => Self::Answer(other.to_string()),
        }
    }
}

/// Returns the class of an exception of the server: `code` decides, `message` only tells whether it was the body that
/// could not be read, and which row of it.
///
/// Errors that mean the rows do not fit the columns at all (32, 33, 128, 131) are no row's fault and stop.
pub fn classify(code: u32, message: &str) -> Class {
    if RETRY.contains(&code) {
        return Class::Retry;
    }
    if code == QUERY_WAS_CANCELLED {
        return Class::Killed;
    }
    if UNREADABLE.contains(&code)
        && let Some(head) = while_reading(message)
    {
        return Class::UnreadableRow {
            row: row_named(head),
        };
    }
    Class::Stop
}

const QUERY_WAS_CANCELLED: u32 = 394;

/// Load, network, disk, replication or shutdown of the server.
const RETRY: &[u32] = &[
    3,   // UNEXPECTED_END_OF_FILE
    40,  // CHECKSUM_DOESNT_MATCH: the compressed body was damaged on its way
    74,  // CANNOT_READ_FROM_FILE_DESCRIPTOR
    75,  // CANNOT_WRITE_TO_FILE_DESCRIPTOR
    76,  // CANNOT_OPEN_FILE
    86,  // RECEIVED_ERROR_FROM_REMOTE_IO_SERVER
    95,  // CANNOT_READ_FROM_SOCKET
    96,  // CANNOT_WRITE_TO_SOCKET
    159, // TIMEOUT_EXCEEDED
    160, // TOO_SLOW
    173, // CANNOT_ALLOCATE_MEMORY
    198, // DNS_ERROR
    201, // QUOTA_EXCEEDED
    202, // TOO_MANY_SIMULTANEOUS_QUERIES
    203, // NO_FREE_CONNECTION
    209, // SOCKET_TIMEOUT
    210, // NETWORK_ERROR
    216, // QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING
    225, // NO_ZOOKEEPER
    236, // ABORTED: the server shuts down
    241, // MEMORY_LIMIT_EXCEEDED
    242, // TABLE_IS_READ_ONLY: a replica without its keeper
    243, // NOT_ENOUGH_SPACE
    252, // TOO_MANY_PARTS
    254, // NO_ACTIVE_REPLICAS
    271, // CANNOT_DECOMPRESS: the compressed body was damaged on its way
    279, // ALL_CONNECTION_TRIES_FAILED
    285, // TOO_FEW_LIVE_REPLICAS
    286, // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
    305, // ALL_REPLICAS_LOST
    319, // UNKNOWN_STATUS_OF_INSERT
    415, // ALL_REPLICAS_ARE_STALE
    425, // SYSTEM_ERROR
    439, // CANNOT_SCHEDULE_TASK
    473, // DEADLOCK_AVOIDED
    499, // S3_ERROR
    519, // NO_RESERVATIONS_PROVIDED
    745, // SERVER_OVERLOADED
    999, // KEEPER_EXCEPTION
];

/// A value that its column cannot take.
const UNREADABLE: &[u32] = &[
    6,   // CANNOT_PARSE_TEXT
    26,  // CANNOT_PARSE_QUOTED_STRING
    27,  // CANNOT_PARSE_INPUT_ASSERTION_FAILED
    38,  // CANNOT_PARSE_DATE
    41,  // CANNOT_PARSE_DATETIME
    53,  // TYPE_MISMATCH
    69,  // ARGUMENT_OUT_OF_BOUND
    72,  // CANNOT_PARSE_NUMBER
    117, // INCORRECT_DATA: what the JSON type answers to everything it refuses
    321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
    349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
    691, // UNKNOWN_ELEMENT_OF_ENUM
];

/// Returns what stands before the mark that an exception was raised while the body was read, if it was. The mark is
/// looked for at the very end, where the engine puts it: what stands before may quote a row.
fn while_reading(message: &str) -> Option<&str> {
    let (text, _) = split_name(message)?;
    let text = text.strip_suffix("While executing BinaryRowInputFormat.")?;
    Some(text.trim_end_matches([':', ' ', '\n']))
}

/// Finds the name of the code, as in `… (INCORRECT_DATA) (version 26.7.2.1)`.
fn name_in_text(message: &str) -> Option<&str> {
    split_name(message).map(|(_, name)| name)
}

/// Parts an exception's text from its end: the code's name and the server's version.
fn split_name(message: &str) -> Option<(&str, &str)> {
    let text = message.trim_end();
    let text = match text.rfind(" (version ") {
        Some(end) if text.ends_with(')') => &text[..end],
        _ => text,
    };
    let (text, name) = text.strip_suffix(')')?.rsplit_once(" (")?;
    let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    name.bytes().all(is_name).then_some((text, name))
}

/// Reads the position off `… (at row 3)`, which counts from 1.
fn row_named(head: &str) -> Option<u64> {
    let (_, row) = head.strip_suffix(')')?.rsplit_once("(at row ")?;
    row.parse::<u64>().ok()?.checked_sub(1)
}

fn classify_status(status: u16) -> Class {
    match status {
        408 | 425 | 429 | 500..=599 => Class::Retry,
        _ => Class::Stop,
    }
}

/// Finds the code in `Code: 60. DB::Exception: …`, the way every ClickHouse error begins.
fn code_in_text(text: &str) -> Option<u32> {
    let start = text.find("Code: ")? + "Code: ".len();
    let digits = text[start..].split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Finds the status in `502 Bad Gateway`, the way the client crate reports an answer without a body.
fn status_in_text(text: &str) -> Option<u16> {
    let status = text.split(' ').next()?.parse().ok()?;
    (100..600).contains(&status).then_some(status)
}

/// Cuts the middle out of a long text: an exception's end tells where it was raised.
fn shorten(text: &str) -> String {
    const KEPT_BYTES: usize = 1_000;
    if text.len() <= 2 * KEPT_BYTES {
        return text.to_owned();
    }
    let head = &text[..text.floor_char_boundary(KEPT_BYTES)];
    let tail = &text[text.ceil_char_boundary(text.len() - KEPT_BYTES)..];
    format!("{head} … {tail}")
}

#[cfg(test)]
mod tests;
