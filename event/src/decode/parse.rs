//! A strict JSON reader with limits, that names the place of whatever it refuses.
//!
//! `serde_json` alone will not do here: it turns integers beyond 64 bits into floats, lets the first or last of two equal keys win without a
//! word, and reports a line and column where people need a JSON pointer. This reader refuses in one pass what no store can hold (numbers out
//! of range, lone surrogates, NUL), enforces [`Limits`], and notes equal keys. Its recursion ends at the depth limit. It deliberately knows
//! nothing of events.

use super::limits::Limits;
use super::refusal::{Refusal, Step, excerpt, pointer};
use crate::failure::Reason;
use serde_json::{Map, Number, Value};
use std::borrow::Cow;

/// A text that was read.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) value: Value,
    /// Some object had two members of one name; the last one won.
    pub(crate) duplicate_keys: bool,
    /// Some member's name contains a dot, so that two paths may be equal once joined by dots.
    pub(crate) dotted_keys: bool,
}

/// Top-level members whose JSON text has a limit of its own.
const MEASURED: [&str; 3] = ["properties", "traits", "context"];

/// Reads one JSON text.
pub(crate) fn parse(text: &str, limits: &Limits) -> Result<Parsed, Refusal> {
    let mut parser = Parser {
        text,
        at: 0,
        limits,
        steps: Vec::new(),
        keys: 0,
        duplicate_keys: false,
        dotted_keys: false,
    };
    let value = parser.value()?;
    parser.skip_space();
    if parser.at < text.len() {
        return Err(parser.syntax("the text goes on after the end of its value"));
    }
    Ok(Parsed {
        value,
        duplicate_keys: parser.duplicate_keys,
        dotted_keys: parser.dotted_keys,
    })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    limits: &'a Limits,
    /// Where the reader is: one step for each object or array it is inside of.
    steps: Vec<Step<'a>>,
    keys: usize,
    duplicate_keys: bool,
    dotted_keys: bool,
}

impl<'a> Parser<'a> {
    fn value(&mut self) -> Result<Value, Refusal> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => self.string().map(|text| Value::String(text.into_owned())),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            Some(_) => Err(self.syntax("expected a value")),
            None => Err(self.truncated("a value is missing")),
        }
    }

    fn object(&mut self) -> Result<Value, Refusal> {
        self.descend()?;
        let mut map = Map::new();
        if self.accept_after_space(b'}') {
            return Ok(Value::Object(map));
        }
        loop {
            self.skip_space();
            match self.peek() {
                Some(b'"') => {}
                Some(_) => return Err(self.syntax("expected a member name in double quotes")),
                None => return Err(self.truncated("an object is not closed")),
            }
            let key = self.key()?;
            if !self.accept_after_space(b':') {
                return Err(
                    self.expected("expected `:` after a member name", "a member has no value")
                );
            }
            self.skip_space();
            let start = self.at;
            self.steps.push(Step::Key(key.clone()));
            let value = self.value()?;
            self.measure(&key, start)?;
            self.steps.pop();
            self.duplicate_keys |= map.insert(key.into_owned(), value).is_some();
            if self.accept_after_space(b'}') {
                return Ok(Value::Object(map));
            }
            if !self.accept_after_space(b',') {
                return Err(self.expected("expected `,` or `}`", "an object is not closed"));
            }
        }
    }

    fn array(&mut self) -> Result<Value, Refusal> {
        self.descend()?;
        let mut items = Vec::new();
        if self.accept_after_space(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            self.steps.push(Step::Index(items.len()));
            items.push(self.value()?);
            self.steps.pop();
            if self.accept_after_space(b']') {
                return Ok(Value::Array(items));
            }
            if !self.accept_after_space(b',') {
                return Err(self.expected("expected `,` or `]`", "an array is not closed"));
            }
        }
    }

    /// Enters an object or array; the depth check here bounds the recursion of the whole reader.
    fn descend(&mut self) -> Result<(), Refusal> {
        if self.steps.len() >= self.limits.depth {
            let message = format!("nested deeper than {} levels", self.limits.depth);
            return Err(self.refuse(Reason::Size, "depth", message));
        }
        self.at += 1;
        Ok(())
    }

    fn key(&mut self) -> Result<Cow<'a, str>, Refusal> {
        self.keys += 1;
        if self.keys > self.limits.keys {
            let message = format!("more than {} object members in one event", self.limits.keys);
            return Err(self.refuse(Reason::Size, "keys", message));
        }
        let key = self.string()?;
        if key.len() > self.limits.key_bytes {
            let message = format!(
                "the member name {:?} has {} bytes, {} are allowed",
                excerpt(&key),
                key.len(),
                self.limits.key_bytes
            );
            return Err(self.refuse(Reason::Size, "key_length", message));
        }
        self.dotted_keys |= key.contains('.');
        Ok(key)
    }

    fn measure(&self, key: &str, start: usize) -> Result<(), Refusal> {
        let bytes = self.at - start;
        if self.steps.len() == 1 && bytes > self.limits.properties_bytes && MEASURED.contains(&key)
        {
            let message = format!(
                "has {bytes} bytes of JSON, {} are allowed",
                self.limits.properties_bytes
            );
            return Err(self.refuse(Reason::Size, "bytes", message));
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Refusal> {
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

    fn number(&mut self) -> Result<Value, Refusal> {
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

    fn literal(&mut self, name: &str, value: Value) -> Result<Value, Refusal> {
        let rest = &self.text[self.at..];
        if rest.starts_with(name) {
            self.at += name.len();
            Ok(value)
        } else if name.starts_with(rest) {
            Err(self.truncated("a value is not finished"))
        } else {
            Err(self.syntax("expected a value"))
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn accept_after_space(&mut self, byte: u8) -> bool {
        self.skip_space();
        self.accept(byte)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn expected(&self, what: &str, missing: &str) -> Refusal {
        if self.at < self.text.len() {
            self.syntax(what)
        } else {
            self.truncated(missing)
        }
    }

    fn syntax(&self, what: &str) -> Refusal {
        let found = match self.text[self.at..].chars().next() {
            Some(c) => format!("not JSON: {what}, found {c:?} at byte {}", self.at),
            None => format!("not JSON: {what}, found the end of the text"),
        };
        self.refuse(Reason::Decode, "json", found)
    }

    fn truncated(&self, what: &str) -> Refusal {
        let message = format!(
            "not JSON: the text ends at byte {}, {what}; it seems cut off",
            self.text.len()
        );
        self.refuse(Reason::Decode, "json", message)
    }

    fn refuse(&self, reason: Reason, keyword: &str, message: String) -> Refusal {
        Refusal::new(reason, &pointer(&self.steps), keyword, message)
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
