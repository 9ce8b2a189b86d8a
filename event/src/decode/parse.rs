//! A strict JSON reader with limits, that names the place of whatever it refuses.
//!
//! `serde_json` alone will not do here: it turns integers beyond 64 bits into floats, lets the first or last
//! of two equal keys win without a word, and reports a line and column where people need a JSON pointer. This
//! reader refuses in one pass what no store can hold (numbers out of range, lone surrogates, NUL), enforces
//! [`Limits`], and notes equal keys. Its recursion ends at the depth limit. It deliberately knows nothing of
//! events.

use super::limits::Limits;
use super::refusal::{Refusal, Step, excerpt, pointer};
use crate::failure::Reason;
use serde_json::{Map, Value};
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

pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    pub(super) limits: &'a Limits,
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

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn accept(&mut self, byte: u8) -> bool {
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

    pub(super) fn syntax(&self, what: &str) -> Refusal {
        let found = match self.text[self.at..].chars().next() {
            Some(c) => format!("not JSON: {what}, found {c:?} at byte {}", self.at),
            None => format!("not JSON: {what}, found the end of the text"),
        };
        self.refuse(Reason::Decode, "json", found)
    }

    pub(super) fn truncated(&self, what: &str) -> Refusal {
        let message = format!(
            "not JSON: the text ends at byte {}, {what}; it seems cut off",
            self.text.len()
        );
        self.refuse(Reason::Decode, "json", message)
    }

    pub(super) fn refuse(&self, reason: Reason, keyword: &str, message: String) -> Refusal {
        Refusal::new(reason, &pointer(&self.steps), keyword, message)
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
