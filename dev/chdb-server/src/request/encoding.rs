//! Encodings of URLs and bodies.

use crate::exception::{Code, Exception};

/// How HTTP encodes a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentEncoding {
    /// Not at all.
    Identity,
    /// LZ4 frames.
    Lz4,
    /// gzip.
    Gzip,
}

impl ContentEncoding {
    /// Reads `Content-Encoding`.
    ///
    /// # Errors
    /// An encoding that this server does not know.
    pub(super) fn of_body(header: &str) -> Result<Self, Exception> {
        match header {
            "" | "identity" => Ok(Self::Identity),
            "lz4" => Ok(Self::Lz4),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            _ => {
                let text = format!("This server does not know the content encoding '{header}'");
                Err(Exception::new(Code::NotImplemented, text))
            }
        }
    }

    /// Chooses from `Accept-Encoding`, in a server's order.
    pub(super) fn accepted(header: &str) -> Self {
        let accepts = |name: &str| {
            header
                .split(',')
                .filter_map(|item| item.split(';').next())
                .any(|item| item.trim() == name)
        };
        if accepts("lz4") {
            Self::Lz4
        } else if accepts("gzip") {
            Self::Gzip
        } else {
            Self::Identity
        }
    }

    /// Returns the header's value.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Lz4 => Some("lz4"),
            Self::Gzip => Some("gzip"),
        }
    }
}

/// Reads `a=b&c=d`. Values are bytes: parameters and queries need not be UTF-8.
pub(super) fn form(text: &[u8]) -> Vec<(String, Vec<u8>)> {
    text.split(|&byte| byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = match pair.iter().position(|&byte| byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            (
                String::from_utf8_lossy(&unescape(name)).into_owned(),
                unescape(value),
            )
        })
        .collect()
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let escaped = match (byte, digit(text.get(at + 1)), digit(text.get(at + 2))) {
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                at += 3;
            }
            None => {
                bytes.push(if byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::{ContentEncoding, form};

    #[test]
    fn forms_are_unescaped_bytewise() {
        assert_eq!(
            form(b"query=SELECT+%271%27%2B1&&param_x=%ff%&flag"),
            vec![
                ("query".to_owned(), b"SELECT '1'+1".to_vec()),
                ("param_x".to_owned(), b"\xff%".to_vec()),
                ("flag".to_owned(), Vec::new()),
            ]
        );
    }

    #[test]
    fn the_better_encoding_is_chosen() {
        assert_eq!(ContentEncoding::accepted("gzip, lz4"), ContentEncoding::Lz4);
        assert_eq!(
            ContentEncoding::accepted("deflate, gzip;q=1.0, br"),
            ContentEncoding::Gzip
        );
        assert_eq!(ContentEncoding::accepted("br"), ContentEncoding::Identity);
    }
}
