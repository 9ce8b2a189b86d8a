//! Why a text was refused: the reason and the one place it was found at.

use crate::failure::Reason;
use weir_schemas::FieldError;

/// Longest pointer that is reported; what nests deeper is cut, since a pointer of megabytes helps nobody.
const MAX_POINTER_BYTES: usize = 512;

/// A refusal with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) errors: Vec<FieldError>,
    /// The event's name, when it got that far.
    pub(crate) name: String,
}

impl Refusal {
    pub(crate) fn new(
        reason: Reason,
        path: &str,
        keyword: &str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            reason,
            errors: vec![FieldError::new(path, keyword, message)],
            name: String::new(),
        }
    }
}

/// A step from a JSON value to one inside it.
#[derive(Debug, Clone)]
pub(crate) enum Step<'a> {
    Key(std::borrow::Cow<'a, str>),
    Index(usize),
}

/// Returns the JSON pointer (RFC 6901) made of `steps`, cut with an ellipsis when it is very long.
pub(crate) fn pointer(steps: &[Step<'_>]) -> String {
    let mut pointer = String::new();
    for step in steps {
        pointer.push('/');
        match step {
            Step::Index(index) => pointer.push_str(&index.to_string()),
            Step::Key(key) => push_escaped(&mut pointer, key),
        }
        if pointer.len() > MAX_POINTER_BYTES {
            pointer.truncate(pointer.floor_char_boundary(MAX_POINTER_BYTES));
            pointer.push('…');
            break;
        }
    }
    pointer
}

fn push_escaped(pointer: &mut String, key: &str) {
    for c in key.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            _ => pointer.push(c),
        }
    }
}

/// Returns the head of a text for use in a message, with an ellipsis when it was cut.
pub(crate) fn excerpt(text: &str) -> String {
    const MAX_BYTES: usize = 40;
    if text.len() <= MAX_BYTES {
        text.to_owned()
    } else {
        format!("{}…", &text[..text.floor_char_boundary(MAX_BYTES)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_escape_what_rfc_6901_escapes_and_stay_short() {
        let steps = [
            Step::Key("a/b~c".into()),
            Step::Index(3),
            Step::Key("".into()),
        ];
        assert_eq!(pointer(&steps), "/a~1b~0c/3/");
        let long: Vec<_> = (0..10_000).map(|_| Step::Key("é".into())).collect();
        assert!(pointer(&long).len() <= MAX_POINTER_BYTES + '…'.len_utf8());
    }
}
