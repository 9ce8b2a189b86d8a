//! The demo's numbers as tables, and what to try next.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use comfy_table::{CellAlignment, Table, presets};
use serde::Deserialize;
use serde_json::Value;
use weir_stack::{Description, Stack, http};

use super::send::Tally;
use crate::local::place::Found;

/// What a statement answers, with every number as a number.
#[derive(Debug, Deserialize)]
struct Rows {
    meta: Vec<Column>,
    data: Vec<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
}

/// How many records have a verdict.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verdicts {
    /// Rows of `events`.
    pub(crate) stored: u64,
    /// Rows of `failed_events`.
    pub(crate) failed: u64,
    /// Of those, repeats of a stored event.
    pub(crate) duplicates: u64,
}

impl Verdicts {
    /// Counts them as the reader.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(crate) fn count(description: &Description) -> Result<Self> {
        let rows = query(
            description,
            "SELECT (SELECT count() FROM events), count(), countIf(reason = 'duplicate') FROM failed_events",
        )?;
        let numbers: Vec<u64> = rows
            .data
            .first()
            .context("no row of counts")?
            .iter()
            .filter_map(Value::as_u64)
            .collect();
        match numbers[..] {
            [stored, failed, duplicates] => Ok(Self {
                stored,
                failed,
                duplicates,
            }),
            _ => bail!("counts are no numbers: {:?}", rows.data),
        }
    }

    /// Returns the number of records with a verdict.
    pub(crate) fn all(self) -> u64 {
        self.stored + self.failed
    }
}

/// Prints what was sent and what became of it.
///
/// # Errors
/// ClickHouse does not answer, or a `weir` command fails.
pub(crate) fn print(
    stack: &Stack,
    description: &Description,
    tally: &Tally,
    new: Verdicts,
) -> Result<()> {
    let refused: u64 = tally.refused.values().sum();
    let rate = tally.accepted as f64 / tally.took.max(Duration::from_millis(1)).as_secs_f64();
    println!(
        "\nSent {} requests with {} events in {:.1} s ({rate:.0} events/s); {refused} requests were refused as a whole (broken \
         JSON, unknown key).\nOf the {} events {} are stored, {} were repeats, {} were refused with a reason.",
        tally.requests,
        tally.accepted,
        tally.took.as_secs_f64(),
        tally.accepted,
        new.stored,
        new.duplicates,
        new.failed - new.duplicates,
    );
    println!("\nThe web site: weir stats --source web --last 7d --by day");
    print!(
        "{}",
        stack.weir(&["stats", "--source", "web", "--last", "7d", "--by", "day"])?
    );
    table(
        description,
        "All platforms",
        "SELECT platform, count() AS events, uniqExact(visitor_id) AS visitors, countIf(type IN ('page', 'screen')) AS views, \
         countIf(name = 'order_completed') AS orders, countIf(is_bot) AS from_bots \
         FROM events GROUP BY platform ORDER BY events DESC",
    )?;
    table(
        description,
        "Refused, and why",
        "SELECT reason, errors[1].path AS path, any(errors[1].message) AS message, count() AS events \
         FROM failed_events WHERE reason != 'duplicate' GROUP BY reason, path ORDER BY events DESC, path LIMIT 10",
    )?;
    println!("\nIs every record accounted for? weir verify");
    print!("{}", stack.weir(&["verify"])?);
    Ok(())
}

/// Prints what to try while the stack is up.
///
/// # Errors
/// The stack has no collector.
pub(crate) fn print_invitation(
    stack: &Stack,
    description: &Description,
    found: Found,
) -> Result<()> {
    let weir = stack.weir_path().display();
    let prefix = match found {
        Found::ByItself => String::new(),
        Found::ByVariable => format!("WEIR_STACK={} ", stack.stack_file().display()),
    };
    let clickhouse = &description.clickhouse;
    println!(
        "\nThe stack stays up. In another terminal:\n\n\
         Send an event\n  curl -u {key}: {ingest}/v1/track -H 'content-type: application/json' \
         -d '{{\"event\":\"Hello Weir\",\"anonymousId\":\"me\",\"properties\":{{\"mood\":\"curious\"}}}}'\n\
         and see it\n  {prefix}{weir} sql \"SELECT ts, name, properties FROM events WHERE name = 'hello_weir'\"\n\n\
         Numbers and proof\n  {prefix}{weir} stats --source web --last 7d\n  {prefix}{weir} failed ls\n  {prefix}{weir} verify\n\n\
         Read-only access for any ClickHouse client\n  {url}/?user={reader}&password={password}&database={database}\n",
        key = stack.write_key("web")?,
        ingest = stack.ingest_url()?,
        url = clickhouse.url,
        reader = clickhouse.reader,
        password = clickhouse.reader_password,
        database = clickhouse.database,
    );
    Ok(())
}

fn table(description: &Description, title: &str, statement: &str) -> Result<()> {
    let rows = query(description, statement)?;
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(rows.meta.iter().map(|column| column.name.clone()));
    for row in &rows.data {
        table.add_row(row.iter().map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }));
    }
    for (place, value) in rows.data.iter().take(1).flatten().enumerate() {
        if value.is_number()
            && let Some(column) = table.column_mut(place)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("\n{title}\n{table}");
    Ok(())
}

fn query(description: &Description, statement: &str) -> Result<Rows> {
    let access = &description.clickhouse;
    let headers = [
        ("X-ClickHouse-User", access.reader.as_str()),
        ("X-ClickHouse-Key", access.reader_password.as_str()),
        ("X-ClickHouse-Database", access.database.as_str()),
    ];
    let statement = format!("{statement} FORMAT JSONCompact");
    let answer = http::post(&format!("{}/", access.url), &headers, &statement)?;
    if answer.status != 200 {
        bail!(
            "ClickHouse answered {}: {}",
            answer.status,
            answer.body.trim()
        );
    }
    serde_json::from_str(&answer.body).context("ClickHouse's answer is no JSON")
}
