//! What a client asks for: reads the URL, the headers and multipart bodies. Knows names and rules, runs nothing.

mod credentials;
mod encoding;
mod multipart;

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};

pub(crate) use credentials::Credentials;
pub(crate) use encoding::ContentEncoding;

use crate::engine::Engine;
use crate::exception::{Code, Exception};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// May do everything.
    Admin,
    /// May only read: `readonly=1`.
    Reader,
}

/// A request without its body.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Who asks.
    pub(crate) user: User,
    /// The part of the statement that is in the URL.
    pub(crate) query: Vec<u8>,
    /// Current database; empty is `default`.
    pub(crate) database: String,
    /// Output format of statements that name none.
    pub(crate) format: String,
    /// The query's id, the client's or a random one.
    pub(crate) query_id: String,
    /// Settings for this statement.
    pub(crate) settings: Vec<(String, String)>,
    /// Values for `{name:Type}`.
    pub(crate) parameters: Vec<(String, Vec<u8>)>,
    /// The value of `readonly`.
    pub(crate) readonly: u8,
    /// The answer is to be framed in ClickHouse's compressed blocks.
    pub(crate) compress: bool,
    /// The body is framed in ClickHouse's compressed blocks.
    pub(crate) decompress: bool,
    /// The answer is to begin only after the last row.
    pub(crate) wait_end: bool,
    /// How the body is encoded.
    pub(crate) content_encoding: ContentEncoding,
    /// How the answer may be encoded.
    pub(crate) accept_encoding: ContentEncoding,
    /// The boundary of a multipart body.
    pub(crate) boundary: Option<Vec<u8>>,
}

/// The only setting a reader may change, as in the profile production ships.
const CHANGEABLE_BY_READERS: &[&str] = &["max_execution_time"];

/// Parameters that are no settings and mean nothing here.
const IGNORED: &[&str] = &[
    "",
    "quota_key",
    "stacktrace",
    "buffer_size",
    "http_response_buffer_size",
    "password",
    "user",
];

/// Parameters that a server understands and this one does not.
const UNSUPPORTED: &[&str] = &[
    "session_id",
    "session_check",
    "session_timeout",
    "close_session",
    "role",
];

impl Request {
    /// Reads URL and headers.
    ///
    /// # Errors
    /// Wrong password, unknown or forbidden setting, nonsense.
    pub(crate) fn new(
        parts: &Parts,
        credentials: &Credentials,
        engine: &Engine,
    ) -> Result<Self, Exception> {
        let parameters = encoding::form(parts.uri.query().unwrap_or_default().as_bytes());
        let user = credentials.check(&parts.headers, &parameters)?;
        let header = |name| text_header(&parts.headers, name);
        let by_get = matches!(parts.method, Method::GET | Method::HEAD);
        let mut request = Self {
            user,
            query: Vec::new(),
            database: header("x-clickhouse-database"),
            format: header("x-clickhouse-format"),
            query_id: header("x-clickhouse-query-id"),
            settings: Vec::new(),
            parameters: Vec::new(),
            readonly: match user {
                User::Reader => 1,
                User::Admin if by_get => 2,
                User::Admin => 0,
            },
            compress: false,
            decompress: false,
            wait_end: false,
            content_encoding: ContentEncoding::of_body(&header("content-encoding"))?,
            accept_encoding: ContentEncoding::accepted(&header("accept-encoding")),
            boundary: multipart::boundary(&header("content-type")),
        };
        let mut http_compression = true;
        for (name, value) in parameters {
            if name == "enable_http_compression" {
                http_compression = flag(&name, &text(&name, value.clone())?)?;
            }
            request.parameter(name, value, engine)?;
        }
        if !http_compression {
            request.accept_encoding = ContentEncoding::Identity;
        }
        request.fill_in();
        Ok(request)
    }

    fn fill_in(&mut self) {
        if self.format.is_empty() {
            "TabSeparated".clone_into(&mut self.format);
        }
        if self.query_id.is_empty() {
            self.query_id = uuid::Uuid::new_v4().to_string();
        }
    }

    fn parameter(
        &mut self,
        name: String,
        value: Vec<u8>,
        engine: &Engine,
    ) -> Result<(), Exception> {
        if let Some(parameter) = name.strip_prefix("param_") {
            self.parameters.push((parameter.to_owned(), value));
            return Ok(());
        }
        if name == "query" {
            self.query = value;
            return Ok(());
        }
        if IGNORED.contains(&name.as_str()) {
            return Ok(());
        }
        if UNSUPPORTED.contains(&name.as_str()) {
            let text = format!("This server has no HTTP sessions and no roles: '{name}'");
            return Err(Exception::new(Code::NotImplemented, text));
        }
        let value = text(&name, value)?;
        match name.as_str() {
            "database" if self.database.is_empty() => self.database = value,
            "default_format" if self.format.is_empty() => self.format = value,
            "database" | "default_format" => {}
            "query_id" => self.query_id = value,
            "compress" => self.compress = flag(&name, &value)?,
            "decompress" => self.decompress = flag(&name, &value)?,
            "wait_end_of_query" => self.wait_end = flag(&name, &value)?,
            "client_protocol_version" if value == "0" => {}
            "client_protocol_version" => {
                let text = "This server writes the Native format of protocol version 0 only";
                return Err(Exception::new(Code::NotImplemented, text));
            }
            _ => self.setting(name, value, engine)?,
        }
        Ok(())
    }

    fn setting(&mut self, name: String, value: String, engine: &Engine) -> Result<(), Exception> {
        let Some(default) = engine.setting(&name) else {
            let text = format!("Unknown setting '{name}'");
            return Err(Exception::new(Code::UnknownSetting, text));
        };
        let forbidden = match self.readonly {
            0 => false,
            current if name == "readonly" => value != current.to_string(),
            1 => value != default && !CHANGEABLE_BY_READERS.contains(&name.as_str()),
            _ => false,
        };
        if forbidden {
            let text = format!("Cannot modify '{name}' setting in readonly mode");
            return Err(Exception::new(Code::Readonly, text));
        }
        if name == "http_wait_end_of_query" {
            self.wait_end |= flag(&name, &value)?;
        }
        self.settings.push((name, value));
        Ok(())
    }

    /// Takes statement and parameters out of a multipart body.
    ///
    /// # Errors
    /// The body is no such thing, or has a file in it.
    pub(crate) fn take_multipart(&mut self, body: &[u8]) -> Result<(), Exception> {
        let Some(boundary) = self.boundary.take() else {
            return Ok(());
        };
        for (name, value) in multipart::fields(body, &boundary)? {
            if name == "query" {
                self.query.extend_from_slice(&value);
            } else if let Some(parameter) = name.strip_prefix("param_") {
                self.parameters.push((parameter.to_owned(), value));
            }
        }
        Ok(())
    }

    /// Tells whether the statement may only read.
    pub(crate) fn is_read_only(&self) -> bool {
        let asked = self
            .settings
            .iter()
            .any(|(name, value)| name == "readonly" && value != "0");
        self.readonly > 0 || asked
    }

    /// Returns the value of a boolean setting.
    pub(crate) fn is_set(&self, setting: &str) -> bool {
        self.settings
            .iter()
            .rev()
            .find(|(name, _)| name == setting)
            .is_some_and(|(_, value)| value == "1" || value == "true")
    }
}

fn text_header(headers: &HeaderMap, name: &str) -> String {
    headers
        .get(name)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .unwrap_or_default()
}

fn text(name: &str, value: Vec<u8>) -> Result<String, Exception> {
    String::from_utf8(value).map_err(|_| {
        let text = format!("The value of '{name}' is not valid UTF-8");
        Exception::new(Code::BadArguments, text)
    })
}

fn flag(name: &str, value: &str) -> Result<bool, Exception> {
    match value {
        "1" | "true" => Ok(true),
        "0" | "false" | "" => Ok(false),
        _ => {
            let text = format!("The value of '{name}' is neither 0 nor 1");
            Err(Exception::new(Code::BadArguments, text))
        }
    }
}
