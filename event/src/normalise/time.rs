//! Client times: what SDKs send as a time, and when it is believed.
//!
//! There is no clock here: "now" is the time the collector received the event.

use crate::envelope::KeyClass;
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Date, Month, OffsetDateTime, Time};

const SECOND_MS: i64 = 1_000;
const HOUR_MS: i64 = 3_600 * SECOND_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// How far ahead of its arrival an event may claim to have happened.
pub const FUTURE_MS: i64 = HOUR_MS;
/// How long before its arrival an event from a browser or an app may claim to have happened.
pub const CLIENT_PAST_MS: i64 = 7 * DAY_MS;
/// How long before its arrival an event sent with a server key may claim to have happened: imports bring old
/// logs. Twenty years.
pub const SERVER_PAST_MS: i64 = 20 * 365 * DAY_MS + 5 * DAY_MS;

/// First and last time that is kept: what a `DateTime64(3)` column of ClickHouse can tell apart.
const KEPT_MS: std::ops::RangeInclusive<i64> = -2_208_988_800_000..=10_413_791_999_999;

/// Fewest digits of a text that counts seconds: `2026` is rather a year than half an hour after 1970 began.
const EPOCH_TEXT_MIN_DIGITS: usize = 9;

/// Returns the Unix milliseconds of an ISO 8601 time as SDKs write it, or of digits that count seconds or
/// milliseconds since 1970.
///
/// Read are RFC 3339 with any offset, a space instead of the `T`, offsets without colon or minutes, fractions
/// of any length, a missing offset (then UTC), a missing time of day (then midnight UTC), and a leap second
/// (then the second before it). `None` when it is none of these, or outside the years 1900 to 2299.
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let counts = text.len() >= EPOCH_TEXT_MIN_DIGITS
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if counts {
        epoch(text.parse().ok()?)
    } else {
        iso(text.as_bytes())
    }
}

/// Returns the Unix milliseconds of a JSON value: a text as in [`parse()`], or a number of seconds,
/// milliseconds, micro- or nanoseconds since 1970, told apart by their size. `None` when it is no time.
pub fn from_json(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => parse(text),
        Value::Number(number) => epoch(number.as_f64()?),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Returns RFC 3339 in UTC with milliseconds, such as `2026-01-02T03:04:05.678Z`; `None` outside the years 0
/// to 9999.
pub fn format(unix_ms: i64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000).ok()?;
    if !(0..=9_999).contains(&time.year()) {
        return None;
    }
    let (date, clock) = (time.date(), time.time());
    Some(format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second(),
        clock.millisecond()
    ))
}

/// Returns the Unix milliseconds of a strict RFC 3339 time, as envelopes have it.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    kept(time)
}

/// When an event happened: the client's time if a key of that class may claim it, else the time it was
/// received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Unix milliseconds.
    pub ts_ms: i64,
    /// The client's time was not believed.
    pub doubted: bool,
}

/// Returns when an event happened by the client's claim, the time it was received, and the class of the key
/// it came with.
pub fn settle(client_ms: Option<i64>, received_ms: i64, class: KeyClass) -> Settled {
    let Some(client_ms) = client_ms else {
        return Settled {
            ts_ms: received_ms,
            doubted: false,
        };
    };
    let past = match class {
        KeyClass::Browser | KeyClass::Mobile => CLIENT_PAST_MS,
        KeyClass::Server => SERVER_PAST_MS,
    };
    let age = received_ms.saturating_sub(client_ms);
    if (-FUTURE_MS..=past).contains(&age) {
        Settled {
            ts_ms: client_ms,
            doubted: false,
        }
    } else {
        Settled {
            ts_ms: received_ms,
            doubted: true,
        }
    }
}

/// Reads seconds, milliseconds, microseconds or nanoseconds since 1970: in any one unit, the next larger
/// unit's values for the years 1973 to 5138 do not overlap.
fn epoch(number: f64) -> Option<i64> {
    let ms = match number.abs() {
        size if size < 1e11 => number * 1e3,
        size if size < 1e14 => number,
        size if size < 1e17 => number / 1e3,
        size if size < 1e20 => number / 1e6,
        _ => return None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "below 1e14 in size, and rounding down is what is wanted"
    )]
    let ms = ms.floor() as i64;
    KEPT_MS.contains(&ms).then_some(ms)
}

fn kept(time: OffsetDateTime) -> Option<i64> {
    let ms = i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).ok()?;
    KEPT_MS.contains(&ms).then_some(ms)
}

/// Reads `YYYY-MM-DD[(T| )hh:mm[:ss[(.|,)f…]][ ](Z|±hh[[:]mm])]`.
fn iso(text: &[u8]) -> Option<i64> {
    let mut rest = text;
    let year = digits(&mut rest, 4)?;
    skip(&mut rest, b"-")?;
    let month = digits(&mut rest, 2)?;
    skip(&mut rest, b"-")?;
    let day = digits(&mut rest, 2)?;
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date =
        Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()?;
    let (clock, offset_s) = if rest.is_empty() {
        (Time::MIDNIGHT, 0)
    } else {
        skip(&mut rest, b"Tt ")?;
        (clock(&mut rest)?, offset(&mut rest)?)
    };
    let local = date.with_time(clock).assume_utc();
    kept(local.checked_sub(time::Duration::seconds(offset_s))?)
}

fn clock(rest: &mut &[u8]) -> Option<Time> {
    let hour = digits(rest, 2)?;
    skip(rest, b":")?;
    let minute = digits(rest, 2)?;
    let (mut second, mut nanos) = (0, 0);
    if skip(rest, b":").is_some() {
        second = digits(rest, 2)?;
        if skip(rest, b".,").is_some() {
            nanos = fraction(rest)?;
        }
    }
    if second == 60 {
        (second, nanos) = (59, 999_999_999);
    }
    let [hour, minute, second] =
        [hour, minute, second].map(|part| u8::try_from(part).unwrap_or(u8::MAX));
    Time::from_hms_nano(hour, minute, second, nanos).ok()
}

fn offset(rest: &mut &[u8]) -> Option<i64> {
    let _ = skip(rest, b" ");
    if rest.is_empty() || matches!(*rest, b"Z" | b"z" | b"UTC" | b"GMT") {
        return Some(0);
    }
    let sign = if skip(rest, b"-").is_some() {
        -1
    } else {
        skip(rest, b"+").map(|()| 1)?
    };
    let hours = digits(rest, 2)?;
    let mut minutes = 0;
    if !rest.is_empty() {
        let _ = skip(rest, b":");
        minutes = digits(rest, 2)?;
    }
    let valid = rest.is_empty() && hours <= 23 && minutes <= 59;
    valid.then_some(sign * (i64::from(hours) * 3_600 + i64::from(minutes) * 60))
}

fn digits(rest: &mut &[u8], count: usize) -> Option<u32> {
    let (head, tail) = rest.split_at_checked(count)?;
    let number = head.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + u32::from(byte - b'0'))
    })?;
    *rest = tail;
    Some(number)
}

fn skip(rest: &mut &[u8], any_of: &[u8]) -> Option<()> {
    let (first, tail) = rest.split_first()?;
    any_of.contains(first).then(|| *rest = tail)
}

/// Reads a fraction of a second of one or more digits; those after the ninth change nothing.
fn fraction(rest: &mut &[u8]) -> Option<u32> {
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (head, tail) = rest.split_at(length);
    let nanos = (0..9).fold(0, |nanos, i| {
        nanos * 10 + head.get(i).map_or(0, |byte| u32::from(byte - b'0'))
    });
    *rest = tail;
    (length > 0).then_some(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const T: i64 = 1_767_323_045_678; // 2026-01-02T03:04:05.678Z

    #[test]
    fn times_as_sdks_write_them_are_read() {
        for text in [
            "2026-01-02T03:04:05.678Z",
            "2026-01-02t03:04:05.678z",
            "2026-01-02T03:04:05.678+00:00",
            "2026-01-02T05:34:05.678+02:30",
            "2026-01-02T05:34:05.678+0230",
            "2026-01-01T22:04:05.678-05",
            "2026-01-02 03:04:05.678",
            "2026-01-02 03:04:05.678 UTC",
            "2026-01-02 03:04:05,678 +0000",
            "2026-01-02T03:04:05.678999999999Z",
            "  2026-01-02T03:04:05.678Z ",
            "1767323045678",
            "1767323045.678",
        ] {
            assert_eq!(parse(text), Some(T), "{text}");
        }
        assert_eq!(parse("2026-01-02T03:04Z"), Some(T - 5_678));
        assert_eq!(
            parse("2026-01-02"),
            Some(T - 5_678 - 4 * 60_000 - 3 * HOUR_MS)
        );
        assert_eq!(parse("1767323045"), Some(T - 678));
        assert_eq!(parse("2016-12-31T23:59:60Z"), Some(1_483_228_799_999));
        assert_eq!(parse("1969-12-31T23:59:59.9995Z"), Some(-1));
    }

    #[test]
    fn numbers_are_seconds_milliseconds_microseconds_or_nanoseconds() {
        for value in [
            json!(T),
            json!(1_767_323_045.678),
            json!(1_767_323_045_678_901_i64),
            json!(1_767_323_045_678_901_234_i64),
        ] {
            assert_eq!(from_json(&value), Some(T), "{value}");
        }
        assert_eq!(from_json(&json!(0)), Some(0));
        for value in [
            json!(1e300),
            json!(-1e13),
            json!(true),
            json!(null),
            json!([1]),
            json!({}),
        ] {
            assert_eq!(from_json(&value), None, "{value}");
        }
    }

    #[test]
    fn what_is_no_time_is_not_read() {
        for text in [
            "",
            "now",
            "yesterday",
            "2026",
            "2026-13-01",
            "2026-02-30",
            "2026-01-02T",
            "2026-01-02T25:00:00Z",
            "2026-01-02T03:61:00Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05+",
            "2026-01-02T03:04:05+99:00",
            "2026-01-02T03:04:05ZZ",
            "02/01/2026",
            "2026-1-2",
            "0000-01-01",
            "9999-12-31T00:00:00Z",
            "1899-12-31",
            "-1",
            "1e9",
            "١٢٣٤",
            "2026-01-02X03:04:05",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_client_is_believed_within_the_window_of_its_key() {
        let believed = |client: i64, class| {
            settle(Some(client), T, class)
                == Settled {
                    ts_ms: client,
                    doubted: false,
                }
        };
        let doubted = |client: i64, class| {
            settle(Some(client), T, class)
                == Settled {
                    ts_ms: T,
                    doubted: true,
                }
        };
        for class in [KeyClass::Browser, KeyClass::Mobile] {
            assert!(believed(T - CLIENT_PAST_MS, class) && doubted(T - CLIENT_PAST_MS - 1, class));
            assert!(believed(T + FUTURE_MS, class) && doubted(T + FUTURE_MS + 1, class));
        }
        assert!(
            believed(T - SERVER_PAST_MS, KeyClass::Server)
                && doubted(T - SERVER_PAST_MS - 1, KeyClass::Server)
        );
        assert!(
            believed(T + FUTURE_MS, KeyClass::Server)
                && doubted(T + FUTURE_MS + 1, KeyClass::Server)
        );
        assert_eq!(
            settle(None, T, KeyClass::Browser),
            Settled {
                ts_ms: T,
                doubted: false
            }
        );
    }

    proptest! {
        #[test]
        fn a_formatted_time_is_read_back(ms in KEPT_MS) {
            let text = format(ms).unwrap();
            prop_assert_eq!(parse(&text), Some(ms));
            prop_assert_eq!(parse_rfc3339(&text), Some(ms));
        }

        #[test]
        fn any_text_is_a_kept_time_or_none(text in "[0-9TZ:+. ,-]{0,32}") {
            if let Some(ms) = parse(&text) {
                prop_assert!(KEPT_MS.contains(&ms));
            }
        }

        #[test]
        fn strict_times_read_the_same_in_both_readers(ms in KEPT_MS, minutes in -1_439_i64..=1_439) {
            let text = format(ms - ms.rem_euclid(1_000) + minutes * 60_000).map(|utc| {
                let sign = if minutes < 0 { '-' } else { '+' };
                format!("{}{sign}{:02}:{:02}", &utc[..19], minutes.abs() / 60, minutes.abs() % 60)
            });
            if let Some(text) = text.filter(|text| (1900..=2299).contains(&text[..4].parse::<i32>().unwrap())) {
                prop_assert_eq!(parse(&text), parse_rfc3339(&text), "{}", text);
            }
        }
    }
}
