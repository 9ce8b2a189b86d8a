//! Clocks and their text form; all instants are milliseconds since the Unix epoch, UTC.
//!
//! Pure code takes the time as an argument; this module is for the shells that pass it in.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// Returns the wall clock in milliseconds since the epoch.
#[must_use]
pub fn now_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

/// Returns the time since the machine booted, suspension included, in milliseconds.
///
/// Unlike [`std::time::Instant`] it goes on while the machine sleeps, and unlike the wall clock
/// nobody can set it: deadlines that must hold after a suspend are measured with it.
#[must_use]
pub fn boot_ms() -> u64 {
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
    // macOS counts sleep in its monotonic clock.
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;
    // Neither clock can fail on a kernel that runs Rust's standard library.
    let now = clock_gettime(CLOCK).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Returns `ms` as RFC 3339 with three decimals, such as `2026-01-02T03:04:05.678Z`.
///
/// Instants outside the years 0 to 9999 are clamped to them.
#[must_use]
pub fn rfc3339(ms: i64) -> String {
    const FORMAT: &[time::format_description::BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    const YEAR_0_MS: i64 = -62_167_219_200_000;
    const YEAR_9999_END_MS: i64 = 253_402_300_799_999;
    let ms = ms.clamp(YEAR_0_MS, YEAR_9999_END_MS);
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .ok()
        .and_then(|at| at.format(FORMAT).ok())
        .unwrap_or_default()
}

/// Returns the instant that RFC 3339 `text` names, with any offset, cut to milliseconds, or `None`
/// if it is no such text.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let nanos = at.to_offset(UtcOffset::UTC).unix_timestamp_nanos();
    i64::try_from(nanos.div_euclid(1_000_000)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_survive_the_way_to_text_and_back() {
        for ms in [0, 1, 999, 1_767_323_045_678, -1, -62_167_219_200_000] {
            assert_eq!(parse_rfc3339(&rfc3339(ms)), Some(ms), "{}", rfc3339(ms));
        }
        assert_eq!(rfc3339(1_767_323_045_678), "2026-01-02T03:04:05.678Z");
    }

    #[test]
    fn offsets_and_finer_fractions_are_understood() {
        assert_eq!(
            parse_rfc3339("2026-01-02T05:04:05.678901+02:00"),
            Some(1_767_323_045_678)
        );
        assert_eq!(parse_rfc3339("2026-01-02"), None);
        assert_eq!(parse_rfc3339("yesterday"), None);
    }

    #[test]
    fn instants_out_of_range_are_clamped() {
        assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(i64::MIN), "0000-01-01T00:00:00.000Z");
    }

    #[test]
    fn clocks_run_forward() {
        let (wall, boot) = (now_ms(), boot_ms());
        assert!(wall > 1_700_000_000_000);
        assert!(boot > 0 && boot_ms() >= boot);
    }
}
