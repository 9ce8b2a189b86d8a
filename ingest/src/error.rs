//! Why a request is refused as a whole, and what its sender is told.
//!
//! Every refusal is answered with one JSON object:
//!
//! ```json
//! {"code":"malformed_body","message":"line 1, column 9: expected a value","hint":"…"}
//! ```
//!
//! `code` is for programs and never changes its meaning, `message` says what is wrong with this request, `hint`
//! what to do about it. 400 means that no retry can help, 503 with `Retry-After` that a later one will. One bad
//! event is never a refusal: it becomes a rejected record, and the request is answered 200.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Methods of the event routes, as `Allow` names them.
const ALLOW: &str = "POST, OPTIONS";

/// Seconds after which a refused request may come again when too many came at once.
const OVERLOADED_RETRY_SECONDS: u32 = 1;

/// Seconds after which a refused request may come again when Kafka was away.
const UNAVAILABLE_RETRY_SECONDS: u32 = 5;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The body cannot be split into events; says where and why.
    MalformedBody(String),
    /// No write key anywhere.
    MissingKey,
    /// The key is of no source.
    UnknownKey,
    /// The request shows two different keys.
    ConflictingKeys,
    /// There is no such route.
    NotFound,
    /// The route takes POST only.
    MethodNotAllowed,
    /// The body did not arrive in time.
    SlowBody,
    /// The body as sent is larger than the limit in bytes.
    EncodedTooLarge(u64),
    /// The decompressed body is larger than the limit in bytes.
    DecodedTooLarge(u64),
    /// There are more events than the limit.
    TooManyEvents(usize),
    /// The body is compressed in a way that is not read here.
    UnsupportedEncoding(String),
    /// A bug.
    Internal,
    /// More requests or bytes are under way than the limits allow.
    Overloaded,
    /// Kafka did not acknowledge the events, or is known to be away.
    KafkaUnavailable(String),
}

/// The answer's body.
#[derive(Debug, Serialize)]
struct Body<'a> {
    code: &'static str,
    message: String,
    hint: &'a str,
}

impl Refusal {
    /// Returns the HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Refusal::MalformedBody(_) => StatusCode::BAD_REQUEST,
            Refusal::MissingKey | Refusal::UnknownKey | Refusal::ConflictingKeys => {
                StatusCode::UNAUTHORIZED
            }
            Refusal::NotFound => StatusCode::NOT_FOUND,
            Refusal::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Refusal::EncodedTooLarge(_)
            | Refusal::DecodedTooLarge(_)
            | Refusal::TooManyEvents(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::UnsupportedEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Refusal::Overloaded | Refusal::KafkaUnavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns the name for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Refusal::MalformedBody(_) => "malformed_body",
            Refusal::MissingKey => "missing_key",
            Refusal::UnknownKey => "unknown_key",
            Refusal::ConflictingKeys => "conflicting_keys",
            Refusal::NotFound => "not_found",
            Refusal::MethodNotAllowed => "method_not_allowed",
            Refusal::SlowBody => "slow_body",
            Refusal::EncodedTooLarge(_) | Refusal::DecodedTooLarge(_) => "body_too_large",
            Refusal::TooManyEvents(_) => "too_many_events",
            Refusal::UnsupportedEncoding(_) => "unsupported_encoding",
            Refusal::Internal => "internal",
            Refusal::Overloaded => "overloaded",
            Refusal::KafkaUnavailable(_) => "kafka_unavailable",
        }
    }

    fn message(&self) -> String {
        match self {
            Refusal::MalformedBody(message) => message.clone(),
            Refusal::MissingKey => "the request has no write key".to_owned(),
            Refusal::UnknownKey => "the write key belongs to no source".to_owned(),
            Refusal::ConflictingKeys => "the request shows two different write keys".to_owned(),
            Refusal::NotFound => "there is no such route".to_owned(),
            Refusal::MethodNotAllowed => "this route takes POST".to_owned(),
            Refusal::SlowBody => "the body did not arrive in time".to_owned(),
            Refusal::EncodedTooLarge(limit) => {
                format!("the body is larger than {limit} bytes as sent")
            }
            Refusal::DecodedTooLarge(limit) => {
                format!("the body is larger than {limit} bytes after decompression")
            }
            Refusal::TooManyEvents(limit) => format!("the batch has more than {limit} events"),
            Refusal::UnsupportedEncoding(encoding) => {
                format!("content encoding {encoding:?} is not read here")
            }
            Refusal::Internal => "the collector failed on this request".to_owned(),
            Refusal::Overloaded => "the collector has as many requests as it can hold".to_owned(),
            Refusal::KafkaUnavailable(reason) => format!("the events could not be kept: {reason}"),
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Refusal::MalformedBody(_) => {
                "send one JSON object: an event, or {\"batch\":[…]} to /v1/batch; nothing of this request was kept"
            }
            Refusal::MissingKey => {
                "send it as the user name of Basic, as X-Write-Key, as Bearer, or as writeKey in body or query"
            }
            Refusal::UnknownKey => "compare it with the keys in the collector's sources file",
            Refusal::ConflictingKeys => {
                "send one key, or the same in header, body and query; a proxy may have added one"
            }
            Refusal::NotFound => {
                "events go to POST /v1/track, identify, page, screen, group, alias or batch"
            }
            Refusal::MethodNotAllowed => "send events with POST",
            Refusal::SlowBody => "send it again, in smaller batches if the line is slow",
            Refusal::EncodedTooLarge(_)
            | Refusal::DecodedTooLarge(_)
            | Refusal::TooManyEvents(_) => "send smaller batches; nothing of this request was kept",
            Refusal::UnsupportedEncoding(_) => "send the body as it is or with gzip",
            Refusal::Internal => "its log says more, under the request id of this answer",
            Refusal::Overloaded | Refusal::KafkaUnavailable(_) => {
                "send the same request again after the time in Retry-After; repeated events are stored once"
            }
        }
    }

    fn retry_after(&self) -> Option<u32> {
        match self {
            Refusal::Overloaded => Some(OVERLOADED_RETRY_SECONDS),
            Refusal::KafkaUnavailable(_) => Some(UNAVAILABLE_RETRY_SECONDS),
            Refusal::MalformedBody(_)
            | Refusal::MissingKey
            | Refusal::UnknownKey
            | Refusal::ConflictingKeys
            | Refusal::NotFound
            | Refusal::MethodNotAllowed
            | Refusal::SlowBody
            | Refusal::EncodedTooLarge(_)
            | Refusal::DecodedTooLarge(_)
            | Refusal::TooManyEvents(_)
            | Refusal::UnsupportedEncoding(_)
            | Refusal::Internal => None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Body {
            code: self.code(),
            message: self.message(),
            hint: self.hint(),
        };
        let mut response = (self.status(), Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            // Not Basic: browsers would ask their user for a password.
            let challenge = HeaderValue::from_static("Bearer realm=\"weir\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if self == Refusal::MethodNotAllowed {
            headers.insert(header::ALLOW, HeaderValue::from_static(ALLOW));
        }
        response
    }
}
