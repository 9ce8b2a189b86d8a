//! The envelope: what the collector writes to the raw topics and the processor reads.
//!
//! One JSON object a record: what the collector knows (source, times, agent, reduced address) beside the
//! client's own call, whose bytes are left as they came. An event refused at the edge travels in the same
//! envelope, with the refusal and the head of its text in place of the call, so that it too has coordinates
//! and a verdict.

use crate::decode::excerpt;
use crate::failure::Reason;
use crate::normalise::time;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The envelope version this code writes and reads.
pub const VERSION: u32 = 1;

/// Most bytes of a refused event's text that an envelope carries.
pub const REJECTED_PAYLOAD_MAX_BYTES: usize = 16 * 1024;

/// How far the holder of a write key is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyClass {
    /// In a page anyone can read.
    Browser,
    /// In an app anyone can take apart.
    Mobile,
    /// On a machine of the source's owner: may set agent, address and old times.
    Server,
}

/// Why the edge refused an event, as `rejected.code` in the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectCode {
    /// The event is larger than the limit.
    TooLarge,
    /// The event nests deeper than the limit.
    TooDeep,
    /// The event is not JSON.
    InvalidJson,
    /// The item of a batch is not an object.
    NotAnObject,
    /// No type, or one that is not a call of the dialect.
    UnknownType,
    /// A field the collector reads has the wrong type.
    InvalidField,
    /// Neither a user id nor an anonymous id, and no visitor can be derived.
    NoIdentity,
}

impl RejectCode {
    /// Every code, in the order of declaration.
    pub const ALL: [Self; 7] = [
        Self::TooLarge,
        Self::TooDeep,
        Self::InvalidJson,
        Self::NotAnObject,
        Self::UnknownType,
        Self::InvalidField,
        Self::NoIdentity,
    ];

    /// Returns the name used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::UnknownType => "unknown_type",
            Self::InvalidField => "invalid_field",
            Self::NoIdentity => "no_identity",
        }
    }

    /// Returns the reason this code's failures are stored with.
    pub fn reason(self) -> Reason {
        match self {
            Self::TooLarge | Self::TooDeep => Reason::Size,
            Self::InvalidJson => Reason::Decode,
            Self::NotAnObject | Self::UnknownType | Self::InvalidField | Self::NoIdentity => {
                Reason::Protocol
            }
        }
    }

    /// Returns the code of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }
}

/// A refusal at the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected<'a> {
    /// One of [`RejectCode`]'s names; another one comes from a newer collector.
    pub code: Cow<'a, str>,
    /// JSON pointer into the request body, such as `/batch/3`.
    pub path: Cow<'a, str>,
    /// What is wrong.
    pub message: Cow<'a, str>,
    /// The head of the event's text, at most [`REJECTED_PAYLOAD_MAX_BYTES`].
    pub payload: Cow<'a, str>,
}

/// What an envelope carries.
#[derive(Debug, Clone)]
pub enum Body<'a> {
    /// The client's call, bytes unchanged.
    Call(&'a RawValue),
    /// An event refused at the edge.
    Rejected(Rejected<'a>),
}

/// An envelope. Reading borrows from the record; writing borrows from the request.
#[derive(Debug, Clone)]
pub struct Envelope<'a> {
    /// The event's id, as sent or derived; never empty.
    pub id: Cow<'a, str>,
    /// The source's id.
    pub source: Cow<'a, str>,
    /// The source's platform.
    pub platform: Cow<'a, str>,
    /// The class of the key it came with.
    pub key_class: KeyClass,
    /// The call's type: the route's, in a batch the item's own. Of a refused event maybe empty.
    pub r#type: Cow<'a, str>,
    /// When the collector received it, Unix milliseconds. RFC 3339 in JSON.
    pub received_at_ms: i64,
    /// When the client says it sent the request, as sent.
    pub sent_at: Option<Cow<'a, str>>,
    /// The request's user agent; may be empty.
    pub agent: Cow<'a, str>,
    /// The peer's address, already reduced; may be empty.
    pub address: Cow<'a, str>,
    /// The cookieless visitor id.
    pub visitor: Option<Cow<'a, str>>,
    /// What the collector found doubtful, such as `no_event_id`.
    pub warnings: Vec<Cow<'a, str>>,
    /// The call or the refusal.
    pub body: Body<'a>,
}

/// A text that is not an envelope, or an envelope that cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Not JSON, or not of the envelope's shape; the parser's words with line and column.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Of the right shape, but a field's value is not usable.
    #[error("{path}: {message}")]
    Field {
        /// JSON pointer of the field.
        path: &'static str,
        /// What is wrong with it.
        message: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    v: u32,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    platform: Cow<'a, str>,
    key_class: KeyClass,
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    received_at: Cow<'a, str>,
    #[serde(borrow, default)]
    sent_at: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    agent: Cow<'a, str>,
    #[serde(borrow, default)]
    address: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    visitor: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Cow<'a, str>>,
    #[serde(
        borrow,
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    call: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    rejected: Option<WireRejected<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    payload: Option<Cow<'a, str>>,
}

/// Reads a call that is there, `null` included: that is a call as well, if not a good one.
fn present<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Serialize, Deserialize)]
struct WireRejected<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
    #[serde(borrow, default)]
    path: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

fn field(path: &'static str, message: impl Into<String>) -> EnvelopeError {
    EnvelopeError::Field {
        path,
        message: message.into(),
    }
}

impl<'a> Envelope<'a> {
    /// Reads an envelope, borrowing from `text`.
    ///
    /// # Errors
    /// [`EnvelopeError`]; the record is then none of the collector's.
    pub fn from_slice(text: &'a [u8]) -> Result<Self, EnvelopeError> {
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Err(field("", "it does not begin with `{`"));
        }
        let wire: Wire<'a> = serde_json::from_slice(text)?;
        if wire.v != VERSION {
            return Err(field(
                "/v",
                format!(
                    "envelope version {} is unknown; this program reads version {VERSION}",
                    wire.v
                ),
            ));
        }
        let received_at_ms = time::parse_rfc3339(&wire.received_at).ok_or_else(|| {
            let sent = excerpt(&wire.received_at);
            field(
                "/received_at",
                format!("{sent:?} is no RFC 3339 time of the years 1900 to 2299"),
            )
        })?;
        let body = match (wire.call, wire.rejected) {
            (Some(call), None) => Body::Call(call),
            (None, Some(rejected)) => Body::Rejected(Rejected {
                code: rejected.code,
                path: rejected.path,
                message: rejected.message,
                payload: wire.payload.unwrap_or_default(),
            }),
            (Some(_), Some(_)) => {
                return Err(field(
                    "",
                    "an envelope has either a call or a refusal, this one has both",
                ));
            }
            (None, None) => {
                return Err(field(
                    "",
                    "an envelope has either a call or a refusal, this one has neither",
                ));
            }
        };
        Ok(Self {
            id: wire.id,
            source: wire.source,
            platform: wire.platform,
            key_class: wire.key_class,
            r#type: wire.r#type,
            received_at_ms,
            sent_at: wire.sent_at,
            agent: wire.agent,
            address: wire.address,
            visitor: wire.visitor,
            warnings: wire.warnings,
            body,
        })
    }

    /// Writes the envelope as JSON.
    ///
    /// # Errors
    /// [`EnvelopeError::Field`] when `received_at_ms` lies outside the years 0 to 9999.
    pub fn to_vec(&self) -> Result<Vec<u8>, EnvelopeError> {
        let received_at = time::format(self.received_at_ms).ok_or_else(|| {
            field(
                "/received_at",
                format!("{} ms is outside the years 0 to 9999", self.received_at_ms),
            )
        })?;
        let (call, rejected, payload) = match &self.body {
            Body::Call(call) => (Some(*call), None, None),
            Body::Rejected(rejected) => (
                None,
                Some(WireRejected {
                    code: Cow::Borrowed(&rejected.code),
                    path: Cow::Borrowed(&rejected.path),
                    message: Cow::Borrowed(&rejected.message),
                }),
                Some(Cow::Borrowed(&*rejected.payload)),
            ),
        };
        let wire = Wire {
            v: VERSION,
            id: Cow::Borrowed(&self.id),
            source: Cow::Borrowed(&self.source),
            platform: Cow::Borrowed(&self.platform),
            key_class: self.key_class,
            r#type: Cow::Borrowed(&self.r#type),
            received_at: Cow::Owned(received_at),
            sent_at: self.sent_at.as_deref().map(Cow::Borrowed),
            agent: Cow::Borrowed(&self.agent),
            address: Cow::Borrowed(&self.address),
            visitor: self.visitor.as_deref().map(Cow::Borrowed),
            warnings: self
                .warnings
                .iter()
                .map(|warning| Cow::Borrowed(&**warning))
                .collect(),
            call,
            rejected,
            payload,
        };
        Ok(serde_json::to_vec(&wire)?)
    }
}
