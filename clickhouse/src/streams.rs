//! Epochs of topics: which life of a topic an offset belongs to.
//!
//! A topic that is deleted and created again, or that loses records at its end, gives out offsets it gave out before.
//! A higher stream keeps the coordinates apart. Streams count from 1.

use crate::db::{self, Db, LOOKUP_TIMEOUT};
use crate::error::Error;

/// Why a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The topic is new.
    Created,
    /// The topic was created again.
    Recreated,
    /// The topic's end lies below what was read before.
    Truncated,
}

impl Reason {
    /// Returns the name in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Recreated => "recreated",
            Self::Truncated => "truncated",
        }
    }
}

/// Returns the current stream of a topic; `None` for a topic that never had one.
///
/// # Errors
///
/// Those of a read.
pub async fn current(db: &Db, topic: &str) -> Result<Option<u32>, Error> {
    let query = db
        .lookup("SELECT max(stream) FROM streams WHERE topic = {topic:String}")
        .param("topic", topic);
    let stream: u32 = db::row(query).await?;
    Ok((stream > 0).then_some(stream))
}

/// Begins the stream after `seen`, unless somebody else has already done so, and returns the current stream. All who
/// saw the same stream and raise it at the same time get the same next one.
///
/// # Errors
///
/// Those of a read or an insert.
pub async fn raise(db: &Db, topic: &str, seen: Option<u32>, reason: Reason) -> Result<u32, Error> {
    if let Some(stream) = current(db, topic).await?
        && Some(stream) > seen
    {
        return Ok(stream);
    }
    let next = seen.unwrap_or(0) + 1;
    let query = db
        .lookup(
            "INSERT INTO streams (topic, stream, reason) \
             SELECT {topic:String}, {stream:UInt32}, {reason:String}",
        )
        .param("topic", topic)
        .param("stream", next)
        .param("reason", reason.as_str());
    db::run(query, LOOKUP_TIMEOUT).await?;
    Ok(current(db, topic).await?.unwrap_or(next).max(next))
}

/// Returns the current stream of a topic, beginning the first one if there is none.
///
/// # Errors
///
/// Those of a read or an insert.
pub async fn current_or_first(db: &Db, topic: &str) -> Result<u32, Error> {
    match current(db, topic).await? {
        Some(stream) => Ok(stream),
        None => raise(db, topic, None, Reason::Created).await,
    }
}
