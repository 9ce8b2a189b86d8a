//! Ids: of the event, and of the visitor it belongs to.

use uuid::Uuid;

/// Whose id a visitor is known by, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VisitorKind {
    Anonymous,
    User,
    Cookieless,
}

/// Returns a number that stands for a visitor of a source: the first eight bytes, little endian, of the
/// BLAKE3 hash of source, kind and id, with a NUL between them.
pub(crate) fn visitor_id(source: &str, kind: VisitorKind, id: &str) -> u64 {
    let kind = match kind {
        VisitorKind::Anonymous => "anonymous",
        VisitorKind::User => "user",
        VisitorKind::Cookieless => "cookieless",
    };
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(source.as_bytes())
        .update(b"\0")
        .update(kind.as_bytes())
        .update(b"\0")
        .update(id.as_bytes());
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first)
}

/// Returns the event's id: the client's own when it is a UUID, else one of version 8 made of the BLAKE3 hash
/// of the client's text.
pub(crate) fn event_id(sent: &str) -> (Uuid, EventIdForm) {
    match Uuid::try_parse(sent) {
        Ok(id) => (id, EventIdForm::Uuid),
        Err(_) => {
            let mut first = [0; 16];
            blake3::Hasher::new()
                .update(sent.as_bytes())
                .finalize_xof()
                .fill(&mut first);
            (
                uuid::Builder::from_custom_bytes(first).into_uuid(),
                EventIdForm::Hashed,
            )
        }
    }
}

/// Whether the client's id was taken as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventIdForm {
    Uuid,
    Hashed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_kept_and_anything_else_is_hashed() {
        let text = "0190163d-8694-739b-aea5-966c26f8ad91";
        assert_eq!(event_id(text), (text.parse().unwrap(), EventIdForm::Uuid));
        assert_eq!(event_id(&text.to_uppercase()).0, event_id(text).0);
        let (id, form) = event_id("ajs-next-1767323045678-0190163d");
        assert_eq!(form, EventIdForm::Hashed);
        assert_eq!(id.get_version_num(), 8);
        assert_ne!(id, event_id("ajs-next-1767323045678-0190163e").0);
    }

    // Rows and partitions hang on these numbers: a change of the hash must be seen.
    #[test]
    fn the_hashes_do_not_change() {
        assert_eq!(
            event_id("m-1").0.to_string(),
            "4233aacb-1f6e-8f32-8af1-c300cd36e9ed"
        );
        assert_eq!(
            visitor_id("web", VisitorKind::Anonymous, "a"),
            18_141_029_513_215_456_000
        );
    }

    #[test]
    fn visitors_differ_by_source_kind_and_id() {
        let one = visitor_id("web", VisitorKind::Anonymous, "a");
        assert_eq!(one, visitor_id("web", VisitorKind::Anonymous, "a"));
        assert_ne!(one, visitor_id("ios", VisitorKind::Anonymous, "a"));
        assert_ne!(one, visitor_id("web", VisitorKind::User, "a"));
        assert_ne!(one, visitor_id("web", VisitorKind::Anonymous, "b"));
    }
}
