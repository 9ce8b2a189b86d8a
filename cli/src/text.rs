//! Text of strangers made harmless: whoever sends events must not command the terminal of whoever looks
//! at them.
//!
//! Control characters (C0, DEL, C1) and bytes that are no UTF-8 are escaped; all other text stays.

use std::borrow::Cow;

/// Returns bytes as one printable line: ASCII's control characters and bytes that are no UTF-8 as
/// `\xHH`, other control characters as `\u{HH}`.
pub(crate) fn show(bytes: &[u8]) -> Cow<'_, str> {
    escape(bytes, char::is_control)
}

/// As [`show`], but line feeds and tabs stay.
pub(crate) fn show_lines(bytes: &[u8]) -> Cow<'_, str> {
    escape(bytes, |c| c.is_control() && !matches!(c, '\n' | '\t'))
}

fn escape(bytes: &[u8], unfit: impl Fn(char) -> bool) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.contains(&unfit)
    {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match u32::from(c) {
                _ if !unfit(c) => shown.push(c),
                code @ ..=0x7f => shown.push_str(&format!("\\x{code:02x}")),
                code => shown.push_str(&format!("\\u{{{code:x}}}")),
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_other_text_is_not() {
        for (text, shown) in [
            ("/ünïcode 漢字 🦀\u{a0}x", "/ünïcode 漢字 🦀\u{a0}x"),
            ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
            ("a\r\n\tb\0\x7f", r"a\x0d\x0a\x09b\x00\x7f"),
            ("\u{80}\u{9b}2J\u{9f}", r"\u{80}\u{9b}2J\u{9f}"),
        ] {
            assert_eq!(show(text.as_bytes()), shown);
        }
        assert_eq!(show(b"\xff\x9b\xc3"), r"\xff\x9b\xc3");
    }

    #[test]
    fn line_feeds_and_tabs_may_stay() {
        assert_eq!(show_lines(b"a\n\tb\r\x1b"), "a\n\tb\\x0d\\x1b");
    }
}
