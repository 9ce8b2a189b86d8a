//! Why an event is rejected, in the words its record will have.

use weir_event::RejectCode;

/// A rejection in the making.
pub(super) struct Fault {
    pub(super) code: RejectCode,
    /// Appended to the event's own pointer.
    pub(super) path: &'static str,
    pub(super) message: String,
}

impl Fault {
    /// Returns what is wrong with the size of an event, or of what it inherits, all in bytes.
    pub(super) fn of_size(event: usize, inherited: usize, limit: usize) -> Option<Fault> {
        let message = if event > limit {
            format!("the event has {event} bytes, the limit is {limit}")
        } else if inherited > limit {
            format!(
                "what the batch says for all of its events has {inherited} bytes, the limit of one event is {limit}"
            )
        } else {
            return None;
        };
        Some(Fault {
            code: RejectCode::TooLarge,
            path: "",
            message,
        })
    }

    /// Returns that a batch's event has no type, or one that is no call of the dialect.
    pub(super) fn unknown_type(kind: Option<&str>) -> Fault {
        let known = "track, identify, page, screen, group or alias";
        let message = match kind {
            Some(kind) => format!("type {:?} is none of {known}", super::cut(kind, 64)),
            None => format!("there is no type, a text: {known}"),
        };
        Fault {
            code: RejectCode::UnknownType,
            path: "/type",
            message,
        }
    }
}
