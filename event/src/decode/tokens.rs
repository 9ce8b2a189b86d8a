//! The texts and numbers of JSON, and what no store can hold of them.

use super::parse::Parser;
use super::refusal::{Refusal, excerpt};
use crate::failure::Reason;
use serde_json::{Number, Value};
use std::borrow::Cow;

impl<'a> Parser<'a> {
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Refusal> {
        self.at += 1;
        let start = self.at;
        let end = self.plain_run();
        if self.peek() == Some(b'"') {
            self.at += 1;
            return self.checked(Cow::Borrowed(&self.text[start..end]));
        }
        let mut text = String::from(&self.text[start..end]);
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return self.checked(Cow::Owned(text));
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => {
                    return Err(self.syntax("a control character inside a text must be escaped"));
                }
                None => return Err(self.truncated("a text is not closed")),
            }
            let start = self.at;
            let end = self.plain_run();
            text.push_str(&self.text[start..end]);
        }
    }

    /// Skips to the next quote, backslash, control character or the end, and returns where that is.
    fn plain_run(&mut self) -> usize {
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest
            .iter()
            .position(|&b| b == b'"' || b == b'\\' || b < 0x20);
        self.at += length.unwrap_or(rest.len());
        self.at
    }

    fn checked(&self, text: Cow<'a, str>) -> Result<Cow<'a, str>, Refusal> {
        if text.len() > self.limits.string_bytes {
            let message = format!(
                "a text of {} bytes, {} are allowed",
                text.len(),
                self.limits.string_bytes
            );
            return Err(self.refuse(Reason::Size, "string_length", message));
        }
        Ok(text)
    }

    fn escape(&mut self) -> Result<char, Refusal> {
        let escape = self.text.as_bytes().get(self.at + 1).copied();
        let plain = match escape {
            Some(b'u') => return self.unicode_escape(),
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(_) => return Err(self.syntax("unknown escape in a text")),
            None => return Err(self.truncated("a text is not closed")),
        };
        self.at += 2;
        Ok(plain)
    }

    fn unicode_escape(&mut self) -> Result<char, Refusal> {
        let start = self.at;
        let unit = self.code_unit()?;
        let code = match unit {
            0xd800..=0xdbff if self.text[self.at..].starts_with("\\u") => {
                let low = self.code_unit()?;
                if !(0xdc00..=0xdfff).contains(&low) {
                    return Err(self.lone_surrogate(start));
                }
                0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
            }
            0xd800..=0xdfff => return Err(self.lone_surrogate(start)),
            0 => {
                let message = format!(
                    "a text contains the character NUL (\\u0000, at byte {start}); remove it"
                );
                return Err(self.refuse(Reason::Decode, "nul", message));
            }
            _ => unit,
        };
        char::from_u32(code).ok_or_else(|| self.lone_surrogate(start))
    }

    fn code_unit(&mut self) -> Result<u32, Refusal> {
        let digits = self.text.as_bytes().get(self.at + 2..self.at + 6);
        let Some(digits) = digits else {
            return Err(self.truncated("a text is not closed"));
        };
        let mut unit = 0;
        for digit in digits {
            let Some(digit) = char::from(*digit).to_digit(16) else {
                return Err(self.syntax("`\\u` must be followed by four hexadecimal digits"));
            };
            unit = unit * 16 + digit;
        }
        self.at += 6;
        Ok(unit)
    }

    fn lone_surrogate(&self, start: usize) -> Refusal {
        let escape = self.text.get(start..start + 6).unwrap_or_default();
        let message = format!(
            "a text contains {escape} (at byte {start}), half of a surrogate pair and no character; send valid Unicode"
        );
        self.refuse(Reason::Decode, "surrogate", message)
    }

    pub(super) fn number(&mut self) -> Result<Value, Refusal> {
        let start = self.at;
        let negative = self.accept(b'-');
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            Some(_) => return Err(self.syntax("expected a digit")),
            None => return Err(self.truncated("a number is not finished")),
        }
        let mut integer = true;
        if self.accept(b'.') {
            integer = false;
            self.some_digits()?;
        }
        if self.accept(b'e') || self.accept(b'E') {
            integer = false;
            if !self.accept(b'-') {
                self.accept(b'+');
            }
            self.some_digits()?;
        }
        let text = &self.text[start..self.at];
        let number = if !integer {
            text.parse::<f64>().ok().and_then(Number::from_f64)
        } else if negative {
            text.parse::<i64>().ok().map(Number::from)
        } else {
            text.parse::<u64>().ok().map(Number::from)
        };
        number.map(Value::Number).ok_or_else(|| {
            let (keyword, what) = if integer {
                (
                    "integer_range",
                    "does not fit into 64 bits; send it as a text",
                )
            } else {
                ("number_range", "is beyond the range of a 64-bit float")
            };
            self.refuse(
                Reason::Decode,
                keyword,
                format!("the number {} {what}", excerpt(text)),
            )
        })
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), Refusal> {
        match self.peek() {
            Some(b'0'..=b'9') => {
                self.digits();
                Ok(())
            }
            Some(_) => Err(self.syntax("expected a digit")),
            None => Err(self.truncated("a number is not finished")),
        }
    }
}
