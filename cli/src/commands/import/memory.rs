//! What was imported before: content is known by its digest, so that it is not counted twice once the
//! ids of its events are forgotten.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use weir_clickhouse::Db;
use weir_clickhouse::imports::{self, Import};
use weir_common::time::{now_ms, rfc3339};

use crate::exit::Failure;
use crate::import::Scan;
use crate::output::count;
use crate::settings::Settings;

/// What was imported before, as ClickHouse remembers it.
pub(super) struct Memory {
    db: Option<Db>,
    again: bool,
    window: Duration,
}

impl Memory {
    /// Connects to ClickHouse; with `again` it may be away.
    ///
    /// # Errors
    /// Those of settings and of the connection.
    pub(super) async fn open(settings: &Settings, again: bool) -> Result<Self> {
        let db = match settings.connect_clickhouse().await {
            Ok(db) => Some(db),
            Err(error) if again => {
                tracing::error!("this import will not be remembered: {error:#}");
                None
            }
            Err(error) => {
                return Err(error.context(
                    "cannot look up whether this was imported before (--again imports without asking)",
                ));
            }
        };
        Ok(Self {
            db,
            again,
            window: safe_window(settings.processor()?.dedup_window.0),
        })
    }

    /// Returns the first import of the content, if there was one and importing it again is harmless or
    /// wanted.
    ///
    /// # Errors
    /// Declines where it is neither; else those of a read.
    pub(super) async fn check(
        &self,
        source: &str,
        found: &Scan,
        name: &str,
    ) -> Result<Option<Import>> {
        let Some(db) = &self.db else { return Ok(None) };
        let before = imports::find(db, source, &found.digest).await?;
        if let Some(before) = &before
            && !self.again
            && !is_within(self.window, before.imported_at_ms, now_ms())
        {
            bail!(Failure::Declined(format!(
                "{name} was imported before, on {} as {} ({} events). The ids of its events are no longer \
                 remembered, so they would be counted twice. --again imports it all the same",
                rfc3339(before.imported_at_ms),
                before.file_name,
                count(before.events),
            )));
        }
        Ok(before)
    }

    /// Notes the import before its first event is sent, so that one that breaks off is known as well.
    /// The first import is the one that counts: repeats do not make the ids last longer.
    ///
    /// # Errors
    /// Those of an insert.
    pub(super) async fn remember(
        &self,
        source: &str,
        found: &Scan,
        name: &str,
        before: Option<&Import>,
    ) -> Result<()> {
        let Some(db) = &self.db else { return Ok(()) };
        let known = before.is_some_and(|b| is_within(self.window, b.imported_at_ms, now_ms()));
        if known || found.events() == 0 {
            return Ok(());
        }
        let import = Import {
            source_id: source.to_owned(),
            digest: found.digest.clone(),
            file_name: name.to_owned(),
            events: found.events(),
            imported_at_ms: 0,
        };
        imports::record(db, &import)
            .await
            .context("cannot note this import in the table `imports`")
    }
}

/// Ids are remembered by their own arrival, and an import takes its time: a twelfth of the window is
/// left as a margin.
fn safe_window(window: Duration) -> Duration {
    window - window / 12
}

fn is_within(window: Duration, then_ms: i64, now_ms: i64) -> bool {
    let age = u64::try_from(now_ms - then_ms).unwrap_or(0);
    Duration::from_millis(age) <= window
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_has_a_margin() {
        const HOUR: i64 = 3_600_000;
        let window = safe_window(Duration::from_secs(24 * 3600));
        assert!(is_within(window, 0, 22 * HOUR));
        assert!(!is_within(window, 0, 22 * HOUR + 1));
        // A server's clock may be ahead of ours.
        assert!(is_within(window, HOUR, 0));
    }
}
