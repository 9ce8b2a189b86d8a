//! Durations as `"5s"` and sizes as `"32MiB"`, in settings, flags and messages.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};

const DURATION_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];
const DURATION_FORM: &str = "a duration such as \"250ms\", \"5s\", \"1h30m\" or \"7d\"";
const SIZE_FORM: &str = "a size such as \"512KiB\", \"32MiB\" or a number of bytes";

/// Says what a text should have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not {expected}")]
pub struct ParseHumanError {
    text: String,
    expected: &'static str,
}

/// A duration of whole milliseconds written with units: `ms`, `s`, `m`, `h`, `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HumanDuration(pub Duration);

/// A number of bytes written with a unit: `B`, `KiB`, `MiB`, `GiB`, or the decimal `KB`, `MB`, `GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HumanSize(pub u64);

impl From<HumanDuration> for Duration {
    fn from(value: HumanDuration) -> Self {
        value.0
    }
}

impl From<Duration> for HumanDuration {
    fn from(value: Duration) -> Self {
        Self(value)
    }
}

impl FromStr for HumanDuration {
    type Err = ParseHumanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseHumanError {
            text: text.to_owned(),
            expected: DURATION_FORM,
        };
        let mut rest = text.trim();
        let mut total: u64 = 0;
        let mut previous = u64::MAX;
        if rest.is_empty() {
            return Err(error());
        }
        while !rest.is_empty() {
            let (number, tail) = split_at_first(rest, |c| !c.is_ascii_digit());
            let (unit, tail) = split_at_first(tail, |c| c.is_ascii_digit());
            let factor = find_unit(&DURATION_UNITS, unit.trim()).ok_or_else(error)?;
            // "1s1h" and "5s5s" are slips rather than durations.
            if factor >= previous {
                return Err(error());
            }
            previous = factor;
            let number: u64 = number.parse().map_err(|_| error())?;
            total = number
                .checked_mul(factor)
                .and_then(|part| total.checked_add(part))
                .ok_or_else(error)?;
            rest = tail.trim_start();
        }
        Ok(Self(Duration::from_millis(total)))
    }
}

impl FromStr for HumanSize {
    type Err = ParseHumanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseHumanError {
            text: text.to_owned(),
            expected: SIZE_FORM,
        };
        let (number, unit) = split_at_first(text.trim(), |c| !c.is_ascii_digit());
        let factor = match unit.trim() {
            "" => 1,
            unit => find_unit(&SIZE_UNITS, unit).ok_or_else(error)?,
        };
        let number: u64 = number.parse().map_err(|_| error())?;
        number.checked_mul(factor).map(Self).ok_or_else(error)
    }
}

fn split_at_first(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

fn find_unit(units: &[(&str, u64)], name: &str) -> Option<u64> {
    let unit = units
        .iter()
        .find(|(unit, _)| unit.eq_ignore_ascii_case(name));
    unit.map(|(_, factor)| *factor)
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, factor) in DURATION_UNITS {
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

impl fmt::Display for HumanSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SIZE_UNITS
            .iter()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        match exact {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for HumanSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DurationVisitor;
        impl Visitor<'_> for DurationVisitor {
            type Value = HumanDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(DURATION_FORM)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let invalid = |_| E::invalid_value(Unexpected::Str(text), &self);
                text.parse().map_err(invalid)
            }
        }
        deserializer.deserialize_str(DurationVisitor)
    }
}

impl<'de> Deserialize<'de> for HumanSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;
        impl Visitor<'_> for SizeVisitor {
            type Value = HumanSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(SIZE_FORM)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let invalid = |_| E::invalid_value(Unexpected::Str(text), &self);
                text.parse().map_err(invalid)
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Self::Value, E> {
                Ok(HumanSize(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Self::Value, E> {
                let invalid = |_| E::invalid_value(Unexpected::Signed(bytes), &self);
                u64::try_from(bytes).map(HumanSize).map_err(invalid)
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_with_units() {
        for (text, ms) in [
            ("0s", 0),
            ("250ms", 250),
            ("5s", 5_000),
            ("1m30s", 90_000),
            ("36h", 129_600_000),
            ("7d", 604_800_000),
        ] {
            let parsed: HumanDuration = text.parse().unwrap();
            assert_eq!(parsed.0, Duration::from_millis(ms), "{text}");
            let again: HumanDuration = parsed.to_string().parse().unwrap();
            assert_eq!(again, parsed, "{text}");
        }
        assert_eq!(
            HumanDuration(Duration::from_secs(129_600)).to_string(),
            "1d12h"
        );
    }

    #[test]
    fn a_duration_needs_its_units_in_order() {
        for text in [
            "",
            "5",
            "s",
            "5x",
            "-5s",
            "1.5s",
            "30s1m",
            "5s5s",
            "99999999999999d",
        ] {
            let error = text.parse::<HumanDuration>().unwrap_err();
            assert!(error.to_string().contains("such as"), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_are_read_and_written_with_units() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("512KiB", 524_288),
            ("32 MiB", 33_554_432),
            ("2mb", 2_000_000),
            ("1GiB", 1_073_741_824),
        ] {
            let parsed: HumanSize = text.parse().unwrap();
            assert_eq!(parsed.0, bytes, "{text}");
            let again: HumanSize = parsed.to_string().parse().unwrap();
            assert_eq!(again, parsed, "{text}");
        }
        assert_eq!(HumanSize(1025).to_string(), "1025B");
        for text in ["", "MiB", "-1", "1.5MiB", "1 parsec"] {
            assert!(text.parse::<HumanSize>().is_err(), "{text}");
        }
    }
}
