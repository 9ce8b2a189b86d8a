//! The one way rows are written: one `INSERT … FORMAT RowBinary` over a connection of its own.
//!
//! Exactly-once delivery needs to know when the first byte of an insert leaves and that nobody sends it a second time
//! behind the caller's back. So there is no pool here: the caller takes a [`Connection`] first, the deadline check
//! runs on it right before the request is written, and a failure is reported, never retried.

mod line;

use std::fmt;
use std::mem;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::Instant;
use tower::ServiceExt;

use crate::compress::{Body, Json};
use crate::config::ClickHouseConfig;
use crate::error::Error;
use line::Line;

/// What an insert may take on the server. Part of the scheme: a successor waits at least this long before it takes
/// over what a predecessor may still be inserting.
pub const MAX_EXECUTION: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the kernel keeps what the server does not take. An insert must not wait in a send buffer and arrive when
/// a successor has taken over.
#[cfg(target_os = "linux")]
const UNTAKEN_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection idle for longer is not used again: servers close idle ones after 3 s or more, and a request that
/// meets the close is lost.
const MAX_IDLE: Duration = Duration::from_secs(2);
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// Above any batch, so that one insert is one block, here and in every view.
const BLOCK_ROWS: &str = "10000000";
const BLOCK_BYTES: &str = "4000000000";

/// Settings every insert carries.
const SETTINGS: &[(&str, &str)] = &[
    ("async_insert", "0"),
    ("insert_deduplicate", "1"),
    // Where an administrator's profile says "disable", the setting above has no effect.
    ("deduplicate_insert", "enable"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    ("max_partitions_per_insert_block", "0"),
    ("materialized_views_ignore_errors", "0"),
    ("max_execution_time", "30"),
    ("max_insert_block_size", BLOCK_ROWS),
    ("min_insert_block_size_rows", BLOCK_ROWS),
    ("min_insert_block_size_bytes", BLOCK_BYTES),
    (
        "min_insert_block_size_rows_for_materialized_views",
        BLOCK_ROWS,
    ),
    (
        "min_insert_block_size_bytes_for_materialized_views",
        BLOCK_BYTES,
    ),
    ("max_insert_threads", "1"),
    // Texts stay texts: by default JSON's strings that look like times are stored as times, and come back changed.
    ("input_format_try_infer_dates", "0"),
    ("input_format_try_infer_datetimes", "0"),
    // An error after the first answered byte could not change the status any more.
    ("wait_end_of_query", "1"),
];

/// Makes connections for inserts.
#[derive(Clone)]
pub struct Inserter {
    connector: HttpsConnector<HttpConnector>,
    uri: Uri,
    path: String,
    headers: HeaderMap,
}

/// One connection, used by one insert at a time.
#[derive(Debug)]
pub struct Connection {
    sender: Option<SendRequest<Full<Bytes>>>,
    line: Line,
    /// Whether an insert was tried on it before.
    is_used: bool,
    path: String,
    query_start: usize,
    headers: HeaderMap,
    last_used: Instant,
}

/// One insert.
#[derive(Clone, Debug)]
pub struct InsertRequest {
    /// Table, within the configured database.
    pub table: &'static str,
    /// Column list as SQL, in the order of the values in `body`: [`crate::rows::Encoder::column_list`].
    pub columns: std::sync::Arc<str>,
    /// Deduplication token: [`crate::SourcePartition::token`]. Without one, two equal inserts become one.
    pub token: String,
    /// Unique among running queries: [`crate::SourcePartition::query_id`].
    pub query_id: String,
    /// RowBinary rows.
    pub body: Body,
    /// How long to wait for the answer, sending included.
    pub timeout: Duration,
}

/// What the server reports about an insert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows written to the table and the views' targets together. No sign of whether the token was known.
    pub written_rows: u64,
    /// Uncompressed bytes of those rows.
    pub written_bytes: u64,
}

/// Why an insert did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// The caller's check forbade it. No byte was sent, the connection stays usable.
    #[error("the insert was withheld by its deadline check")]
    Withheld,
    /// The connection, which had been used before, was closed before the insert was handed over. No byte was sent; take
    /// a fresh connection at once. On a fresh one this is [`Error::Transport`]: a server that closes those is in trouble.
    #[error("the connection was closed before the insert")]
    Closed,
    /// The insert failed; see [`Error::class`].
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Checks that a URL can be talked to.
pub(crate) fn check_url(url: &str) -> Result<Uri, Error> {
    let uri: Uri = url
        .parse()
        .map_err(|error| Error::Config(format!("url is not valid: {error}")))?;
    // A URL is shown in logs.
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err(Error::Config(
            "url must not hold credentials: user and password are settings of their own".into(),
        ));
    }
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some() => Ok(uri),
        _ => Err(Error::Config(
            "url must begin with http:// or https:// and name a host".into(),
        )),
    }
}

impl Inserter {
    /// Creates a maker of connections. None is made yet.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the URL or the credentials cannot be sent over HTTP.
    pub fn new(config: &ClickHouseConfig) -> Result<Self, Error> {
        let uri = check_url(&config.url)?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        http.set_keepalive(Some(Duration::from_secs(60)));
        #[cfg(target_os = "linux")]
        http.set_tcp_user_timeout(Some(UNTAKEN_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("database", &config.database);
        query.extend_pairs(SETTINGS);
        let path = format!("{}?{}", uri.path(), query.finish());
        Ok(Self {
            connector,
            headers: headers(config, &uri)?,
            uri,
            path,
        })
    }

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// [`Error::Transport`] and [`Error::Timeout`], both to be retried.
    pub async fn connect(&self) -> Result<Connection, Error> {
        let connecting = async {
            let stream = self
                .connector
                .clone()
                .oneshot(self.uri.clone())
                .await
                .map_err(Error::Transport)?;
            line::close_hard(&stream).map_err(|error| Error::Transport(error.into()))?;
            handshake(stream)
                .await
                .map_err(|error| Error::Transport(error.into()))
        };
        let (sender, driver) = tokio::time::timeout(2 * CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| Error::Timeout {
                after: 2 * CONNECT_TIMEOUT,
            })??;
        Ok(Connection {
            sender: Some(sender),
            line: Line::run(driver),
            is_used: false,
            path: self.path.clone(),
            query_start: self.uri.path().len() + 1,
            headers: self.headers.clone(),
            last_used: Instant::now(),
        })
    }

    /// Returns the connection in `slot` if it can still be used, else puts a fresh one there first.
    ///
    /// # Errors
    ///
    /// As [`Inserter::connect`].
    pub async fn reuse<'a>(
        &self,
        slot: &'a mut Option<Connection>,
    ) -> Result<&'a mut Connection, Error> {
        match slot.take() {
            Some(connection) if connection.is_usable() => Ok(slot.insert(connection)),
            _ => Ok(slot.insert(self.connect().await?)),
        }
    }
}

impl fmt::Debug for Inserter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inserter")
            .field("uri", &self.uri)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Returns whether the connection is open, free and was used lately enough to be trusted.
    pub fn is_usable(&self) -> bool {
        self.last_used.elapsed() < MAX_IDLE
            && self
                .sender
                .as_ref()
                .is_some_and(|sender| !sender.is_closed())
    }

    /// Sends one insert and waits for the answer. `may_send` is asked last: when it returns true, the request is
    /// handed to the socket at once.
    ///
    /// # Errors
    ///
    /// [`InsertError::Withheld`] when `may_send` returned false and [`InsertError::Closed`] when the connection was used
    /// before and gone by then: nothing was sent. [`InsertError::Failed`] else; see [`Error::class`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection, and what the server was not sent yet is thrown away. The insert may
    /// or may not take place.
    pub async fn insert(
        &mut self,
        insert: &InsertRequest,
        may_send: impl FnOnce() -> bool,
    ) -> Result<Summary, InsertError> {
        let request = self.request(insert)?;
        let was_used = mem::replace(&mut self.is_used, true);
        let gone = || match was_used {
            true => InsertError::Closed,
            false => Error::Transport(InsertError::Closed.into()).into(),
        };
        // Taken out, so that a dropped future leaves no connection with half an answer on it.
        let mut sender = self.sender.take().ok_or_else(gone)?;
        match tokio::time::timeout(CONNECT_TIMEOUT, sender.ready()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(gone()),
        }
        if !may_send() {
            self.sender = Some(sender);
            return Err(InsertError::Withheld);
        }
        let exchange = async {
            let answer = sender
                .send_request(request)
                .await
                .map_err(|error| Error::Transport(error.into()))?;
            read_answer(answer).await
        };
        let answer = tokio::time::timeout(insert.timeout, exchange)
            .await
            .map_err(|_| Error::Timeout {
                after: insert.timeout,
            })??;
        self.sender = Some(sender);
        self.last_used = Instant::now();
        answer.map_err(InsertError::Failed)
    }

    fn request(&self, insert: &InsertRequest) -> Result<Request<Full<Bytes>>, Error> {
        let statement = format!(
            "INSERT INTO {} ({}) FORMAT RowBinary",
            insert.table, insert.columns
        );
        let mut query =
            url::form_urlencoded::Serializer::for_suffix(self.path.clone(), self.query_start);
        query.append_pair("query", &statement);
        query.append_pair("query_id", &insert.query_id);
        query.append_pair("insert_deduplication_token", &insert.token);
        let json_as_text = match insert.body.json() {
            Json::Text => "1",
            Json::Binary => "0",
        };
        query.append_pair("input_format_binary_read_json_as_string", json_as_text);
        if insert.body.is_compressed() {
            query.append_pair("decompress", "1");
        }
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(query.finish())
            .body(Full::new(insert.body.bytes()))
            .map_err(|error| {
                Error::Config(format!("the insert makes no valid request: {error}"))
            })?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.line.hang_up(self.sender.is_some());
    }
}

/// Reads an answer whole. The outer error is one of the connection, the inner one the server's.
async fn read_answer(
    answer: Response<hyper::body::Incoming>,
) -> Result<Result<Summary, Error>, Error> {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, MAX_ANSWER_BYTES)
        .collect()
        .await
        .map_err(Error::Transport)?
        .to_bytes();
    let text = String::from_utf8_lossy(&body);
    let code =
        header(&head.headers, "x-clickhouse-exception-code").and_then(|code| code.parse().ok());
    // An insert answers with an empty body: anything there is an exception that came too late for the status.
    if head.status != StatusCode::OK || code.is_some() || !text.trim().is_empty() {
        return Ok(Err(Error::from_answer(head.status.as_u16(), code, &text)));
    }
    Ok(Ok(header(&head.headers, "x-clickhouse-summary")
        .map(summary)
        .unwrap_or_default()))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Reads `{"written_rows":"5","written_bytes":"40",…}`; numbers are in quotes.
fn summary(json: &str) -> Summary {
    let fields: std::collections::HashMap<String, serde_json::Value> =
        serde_json::from_str(json).unwrap_or_default();
    let number = |name: &str| {
        let text = fields.get(name).and_then(|value| value.as_str());
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    Summary {
        written_rows: number("written_rows"),
        written_bytes: number("written_bytes"),
    }
}

fn headers(config: &ClickHouseConfig, uri: &Uri) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let value = |text: &str, what: &str| {
        HeaderValue::from_str(text)
            .map_err(|_| Error::Config(format!("{what} cannot be sent over http")))
    };
    headers.insert(HOST, value(host, "url")?);
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("weir/", env!("CARGO_PKG_VERSION"))),
    );
    headers.insert("x-clickhouse-user", value(&config.user, "user")?);
    if !config.password.is_empty() {
        let mut password = value(&config.password, "password")?;
        password.set_sensitive(true);
        headers.insert("x-clickhouse-key", password);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_must_be_of_http_and_without_credentials() {
        for url in [
            "http://localhost:8123",
            "https://clickhouse.example/path/",
            "http://[::1]:8123",
        ] {
            assert!(check_url(url).is_ok(), "{url}");
        }
        for url in [
            "localhost:8123",
            "ftp://localhost",
            "http://",
            "/path",
            "http://me:secret@localhost:8123",
        ] {
            let error = check_url(url).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_summary_reads_as_zero_where_it_says_nothing() {
        let told = summary(r#"{"read_rows":"3","written_rows":"12","written_bytes":"340"}"#);
        assert_eq!((told.written_rows, told.written_bytes), (12, 340));
        assert_eq!(summary("{}"), Summary::default());
        assert_eq!(summary("nonsense"), Summary::default());
    }
}
