//! From measurements to figures: medians over rounds, quantiles over requests, tables.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// Returns the median; 0 of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

/// Half of all took at most `p50_ms`, 99 of 100 at most `p99_ms`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Quantiles {
    /// The median, in milliseconds.
    pub(crate) p50_ms: f64,
    /// In milliseconds.
    pub(crate) p99_ms: f64,
}

impl Quantiles {
    /// Sorts times in microseconds and picks the two.
    pub(crate) fn of(mut micros: Vec<u32>) -> Self {
        micros.sort_unstable();
        let at = |percent: usize| {
            let place = (micros.len() * percent / 100).min(micros.len().saturating_sub(1));
            micros.get(place).map_or(0.0, |time| f64::from(*time) / 1e3)
        };
        Self {
            p50_ms: at(50),
            p99_ms: at(99),
        }
    }

    /// Returns the medians over rounds.
    pub(crate) fn median(rounds: &[Self]) -> Self {
        Self {
            p50_ms: round(median(rounds.iter().map(|one| one.p50_ms)), 2),
            p99_ms: round(median(rounds.iter().map(|one| one.p99_ms)), 2),
        }
    }
}

/// Returns `count` per second of `time`.
pub(crate) fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}

/// Returns the microseconds of `time` that fall to one of `count`.
pub(crate) fn micros_each(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / (count as f64).max(1.0)
}

/// Rounds for output.
pub(crate) fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// Prints a table whose columns, but the first, hold numbers.
pub(crate) fn print_table(title: &str, header: &[&str], rows: &[Vec<String>]) {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for place in 1..header.len() {
        if let Some(column) = table.column_mut(place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("\n{title}\n{table}");
}

/// Writes a number with spaces between groups of three digits, and as many decimals as are worth reading.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        small if small < 10.0 => 2,
        middle if middle < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    if rest.is_empty() {
        grouped
    } else {
        format!("{grouped}.{rest}")
    }
}

/// Writes a number of bytes in MiB.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", number(bytes as f64 / f64::from(1 << 20)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle_of_odd_and_between_the_middle_of_even() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median([]).abs() < 1e-9);
    }

    #[test]
    fn quantiles_of_few_and_many_times() {
        let many = Quantiles::of((1..=1000).map(|n| n * 1000).collect());
        assert!((many.p50_ms - 501.0).abs() < 1e-9, "{many:?}");
        assert!((many.p99_ms - 991.0).abs() < 1e-9, "{many:?}");
        let one = Quantiles::of(vec![2_000]);
        assert!((one.p99_ms - 2.0).abs() < 1e-9, "{one:?}");
        assert!(Quantiles::of(Vec::new()).p50_ms.abs() < 1e-9);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(number(1_234_567.0), "1 234 567");
        assert_eq!(number(12.34), "12.3");
        assert_eq!(number(0.456), "0.46");
        assert_eq!(number(100.0), "100");
    }
}
