//! ClickHouse's exceptions: numeric code, text and the HTTP status that goes with them.

use std::fmt;

/// An error as ClickHouse reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exception {
    /// ClickHouse's numeric code.
    pub(crate) code: i32,
    /// The whole text, `Code: N. DB::Exception: … (NAME)`, without the version.
    pub(crate) message: String,
}

/// Codes that are raised here, by their names in ClickHouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// The body ends inside a compressed block.
    CannotReadAllData = 33,
    /// A parameter makes no sense.
    BadArguments = 36,
    /// A compressed block was damaged on its way.
    ChecksumDoesntMatch = 40,
    /// Real ClickHouse can do this, this server cannot.
    NotImplemented = 48,
    /// The text is no statement, or more than one.
    SyntaxError = 62,
    /// The request is larger than this server takes.
    QueryIsTooLarge = 229,
    /// A compressed block claims to be too large.
    TooLargeSizeCompressed = 39,
    /// No such setting.
    UnknownSetting = 115,
    /// A write, or a change of settings, by someone who may only read.
    Readonly = 164,
    /// All connections are busy and the queue is full.
    TooManySimultaneousQueries = 202,
    /// The client stalls.
    SocketTimeout = 209,
    /// A query with this id runs already.
    QueryWithSameIdIsAlreadyRunning = 216,
    /// Buffers are full.
    MemoryLimitExceeded = 241,
    /// A compressed block cannot be decompressed.
    CannotDecompress = 271,
    /// Server-side files are for the server's own use.
    SupportIsDisabled = 344,
    /// `INTO OUTFILE` is for the command line client.
    IntoOutfileNotAllowed = 358,
    /// The server ends.
    QueryWasCancelled = 394,
    /// An unknown compression method.
    UnknownCodec = 432,
    /// Someone else's query.
    AccessDenied = 497,
    /// Wrong user or password.
    AuthenticationFailed = 516,
    /// Anything else.
    UnknownException = 1002,
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Self::CannotReadAllData => "CANNOT_READ_ALL_DATA",
            Self::BadArguments => "BAD_ARGUMENTS",
            Self::ChecksumDoesntMatch => "CHECKSUM_DOESNT_MATCH",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::SyntaxError => "SYNTAX_ERROR",
            Self::QueryIsTooLarge => "QUERY_IS_TOO_LARGE",
            Self::TooLargeSizeCompressed => "TOO_LARGE_SIZE_COMPRESSED",
            Self::UnknownSetting => "UNKNOWN_SETTING",
            Self::Readonly => "READONLY",
            Self::TooManySimultaneousQueries => "TOO_MANY_SIMULTANEOUS_QUERIES",
            Self::SocketTimeout => "SOCKET_TIMEOUT",
            Self::QueryWithSameIdIsAlreadyRunning => "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
            Self::MemoryLimitExceeded => "MEMORY_LIMIT_EXCEEDED",
            Self::CannotDecompress => "CANNOT_DECOMPRESS",
            Self::SupportIsDisabled => "SUPPORT_IS_DISABLED",
            Self::IntoOutfileNotAllowed => "INTO_OUTFILE_NOT_ALLOWED",
            Self::QueryWasCancelled => "QUERY_WAS_CANCELLED",
            Self::UnknownCodec => "UNKNOWN_CODEC",
            Self::AccessDenied => "ACCESS_DENIED",
            Self::AuthenticationFailed => "AUTHENTICATION_FAILED",
            Self::UnknownException => "UNKNOWN_EXCEPTION",
        }
    }
}

impl Exception {
    /// Makes an exception of this server's own.
    pub(crate) fn new(code: Code, text: impl fmt::Display) -> Self {
        let number = code as i32;
        Self {
            code: number,
            message: format!("Code: {number}. DB::Exception: {text}. ({})", code.name()),
        }
    }

    /// Takes over an exception of the engine, which wraps some into each other and appends its version to some.
    pub(crate) fn from_engine(message: &str) -> Self {
        let mut message = message.trim_end();
        while let Some((_, inner)) = message.split_once(" DB::Exception: ")
            && inner.starts_with("Code: ")
        {
            message = inner;
        }
        if let Some(at) = message.rfind(" (version ")
            && message[..at].ends_with(')')
        {
            message = &message[..at];
        }
        let code = message
            .strip_prefix("Code: ")
            .and_then(|rest| rest.split_once('.'))
            .and_then(|(number, _)| number.parse().ok());
        match code {
            Some(code) => Self {
                code,
                message: message.to_owned(),
            },
            None => Self::new(Code::UnknownException, message.trim_end_matches('.')),
        }
    }

    /// Returns the HTTP status a real server answers this code with.
    pub(crate) fn status(&self) -> u16 {
        match self.code {
            // Syntax, types and values: the client's mistake.
            6 | 8 | 15 | 25 | 26 | 27 | 36 | 37 | 38 | 41 | 44 | 53 | 62 | 72 | 117 | 123 | 167
            | 168 | 223 | 321 | 376 | 427 | 441 | 675 | 676 => 400,
            194 => 401,
            192 | 193 | 497 | 512 | 516 => 403,
            // Tables, columns, types, functions, formats and settings that do not exist.
            46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 152 | 336 | 511 => 404,
            159 => 408,
            381 => 411,
            229 => 413,
            779 => 415,
            48 => 501,
            76 | 202 | 209 | 439 => 503,
            _ => 500,
        }
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Exception {}

impl From<Exception> for std::io::Error {
    fn from(exception: Exception) -> Self {
        Self::other(exception)
    }
}

#[cfg(test)]
mod tests;
