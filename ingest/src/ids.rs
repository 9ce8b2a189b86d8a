//! Ids of events, derived where the client gave none.

use std::borrow::Cow;

use uuid::Uuid;
use weir_event::EventType;

use crate::item;

/// Most bytes of an id that stands in a record's header or key as it was sent; real ones are shorter. The schema
/// of events takes ids of as many characters.
pub(crate) const ID_MAX_BYTES: usize = 256;

/// Members that differ between two tries of the same event.
const RETRY_MEMBERS: [&str; 4] = ["sentAt", "_metadata", "retryCount", "receivedAt"];

/// Returns the id of an event that has none of its own but tells itself apart: the same for every try, whatever
/// its address was before it was reduced.
pub(crate) fn derived_id(source: &str, identity: &str, kind: EventType, call: &str) -> Uuid {
    let mut hasher = blake3::Hasher::new();
    let mut update = |part: &str| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    };
    update("weir event id");
    update(source);
    update(identity);
    update(kind.as_str());
    for (name, value) in item::members(call) {
        if !RETRY_MEMBERS.contains(&&*name) {
            update(&name);
            update(value);
        }
    }
    id_of(&hasher)
}

/// Returns the id of a rejected event that has none of its own; `payload` is what is kept of it.
pub(crate) fn rejected_id(source: &str, payload: &str) -> Uuid {
    let mut hasher = blake3::Hasher::new();
    for part in ["weir rejected event id", source, "\0", payload] {
        hasher.update(part.as_bytes());
    }
    id_of(&hasher)
}

/// Returns an id, or in place of a very long one its hash: a rejected event's record must be small.
pub(crate) fn bounded(id: &str) -> Cow<'_, str> {
    if id.len() <= ID_MAX_BYTES {
        return Cow::Borrowed(id);
    }
    Cow::Owned(blake3::hash(id.as_bytes()).to_hex().as_str().to_owned())
}

fn id_of(hasher: &blake3::Hasher) -> Uuid {
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
